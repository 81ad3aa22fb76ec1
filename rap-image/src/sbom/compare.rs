//! Holding a bill of materials against an image: is it this one's, and is it complete.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::Serialize;

use super::{Bom, reference};
use crate::verify::FoundUki;

/// Where a bill of materials and an image do not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Difference {
    /// It is about another image.
    OtherImage {
        /// Which fact differs.
        fact: &'static str,
        /// What the image has.
        image: String,
        /// What the bill says.
        bill: String,
    },
    /// The image has something that the bill does not name.
    Unnamed {
        /// What, by the name it would have in the bill.
        part: String,
    },
    /// The bill names something that the image does not have.
    Absent {
        /// What.
        part: String,
    },
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherImage { fact, image, bill } => {
                write!(
                    f,
                    "{fact}: the image has {image}, the bill of materials says {bill}"
                )
            }
            Self::Unnamed { part } => write!(f, "{part} is in the image, and not in the bill of materials"),
            Self::Absent { part } => write!(f, "{part} is in the bill of materials, and not in the image"),
        }
    }
}

/// Every difference between an image and a bill of materials; none when it is this image's.
#[must_use]
pub fn compare(uki: &FoundUki, bom: &Bom) -> Vec<Difference> {
    let about = &bom.metadata.component;
    let said = |name| about.property(name).unwrap_or("nothing").to_owned();
    let hash = about
        .hashes
        .first()
        .map_or("nothing", |hash| hash.content.as_str());
    let facts = [
        (
            "version",
            &uki.info.version,
            about.version.clone().unwrap_or_default(),
        ),
        ("build id", &uki.info.build_id, said("rap:build-id")),
        (
            "unsigned digest",
            &uki.unsigned_digest,
            said("rap:unsigned-digest"),
        ),
        ("SHA-256", &uki.sha256, hash.to_owned()),
    ];
    let other = facts.into_iter().filter(|(_, image, bill)| *image != bill);
    let mut differences: Vec<Difference> = other
        .map(|(fact, image, bill)| Difference::OtherImage {
            fact,
            image: image.clone(),
            bill,
        })
        .collect();
    let (image, bill) = (of_image(uki), of_bill(bom));
    let unnamed = image.difference(&bill).cloned();
    differences.extend(unnamed.map(|part| Difference::Unnamed { part }));
    let absent = bill.difference(&image).cloned();
    differences.extend(absent.map(|part| Difference::Absent { part }));
    differences
}

/// What an image is made of, by the image's own words.
fn of_image(uki: &FoundUki) -> BTreeSet<String> {
    let packages = uki
        .packages
        .iter()
        .map(|package| format!("deb:{}@{}", package.name, package.version));
    let programs = uki
        .programs
        .iter()
        .map(|program| format!("program:{}@sha256:{}", program.name(), program.sha256));
    let inventories = uki.programs.iter().filter_map(|program| program.crates.as_ref());
    let crates = inventories
        .flat_map(|inventory| inventory.compiled_in())
        .filter(|krate| !krate.root)
        .map(|krate| reference(&krate.name, &krate.version));
    packages.chain(programs).chain(crates).collect()
}

/// The same of a bill. C code and the standard library are said by no image, so nothing can be held against them.
fn of_bill(bom: &Bom) -> BTreeSet<String> {
    let parts = bom.components.iter().filter_map(|component| {
        let version = component.version.as_deref().unwrap_or_default();
        let (kind, _) = component.bom_ref.split_once(':')?;
        match kind {
            "deb" => Some(format!("deb:{}@{version}", component.name)),
            "program" => {
                let hash = component
                    .hashes
                    .first()
                    .map_or("nothing", |hash| hash.content.as_str());
                Some(format!("program:{}@sha256:{hash}", component.name))
            }
            "crate" if component.name != "std" => Some(reference(&component.name, version)),
            _ => None,
        }
    });
    parts.collect()
}
