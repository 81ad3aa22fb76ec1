//! The bill of materials of an image: every Debian package a file of it comes from, our programs, every crate and the
//! C code compiled into them, as CycloneDX 1.6 in JSON.
//!
//! What is in the image is read from the image: its own list of packages, and the crates that each program carries
//! ([`crate::auditable`]). What that is, is read where the image came from: hashes from the lock, licences from the
//! packages in the store and from the crates in cargo's registry, each held against its hash before it is believed.
//! An image of another commit needs that commit's lock.
//!
//! Invariants: the same image, lock and `Cargo.lock` give the same bytes: no clock, no host, no order of a directory.
//! What could not be found out is said (`NOASSERTION`) and never guessed.

mod compare;
mod crates;
mod cyclonedx;
mod debian;
mod licence;
mod native;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rap_core::digest::Sha256;

use crate::auditable::{Crate, Inventory};
use crate::lock::Lock;
use crate::store::Store;
use crate::verify::{FoundProgram, FoundUki};

pub use compare::{Difference, compare};
pub use crates::{CrateError, Registry};
use cyclonedx::{Aggregate, Composition, Dependency, Metadata, Tools, property};
pub use cyclonedx::{Bom, Component, Kind};
pub use debian::PackageError;
pub use licence::NOASSERTION;
#[doc(hidden)]
pub use licence::of_copyright;
pub use native::{NATIVE, Native, WITHOUT};

/// Bytes of a bill of materials that is read, at most: ours has 0.3 MB.
const LIMIT: u64 = 32 << 20;
/// The licence of our own code, and of Rust's standard library.
const RUST_LICENCE: &str = "MIT OR Apache-2.0";

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// A package.
    #[error("package {name} {version} cannot be described")]
    Package {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Why not.
        #[source]
        source: Box<PackageError>,
    },
    /// A crate.
    #[error("crate {name} {version} cannot be described")]
    Crate {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Why not.
        #[source]
        source: Box<CrateError>,
    },
    /// A program without its list.
    #[error(
        "/{0} does not say which crates it is made of: the image is older than this, or not of this builder; build it again"
    )]
    NoCrates(String),
    /// An image without programs of ours.
    #[error("the image has none of our programs in it")]
    NoPrograms,
    /// The time of the image is none.
    #[error("the image's build time {0} is no time")]
    Time(u64),
    /// Cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// Not one of ours.
    #[error("{0} is no CycloneDX 1.6 bill of materials in JSON")]
    Foreign(PathBuf),
    /// Not to be written; plain data in memory gives no such error.
    #[error("the bill of materials cannot be written")]
    Write(#[source] serde_json::Error),
}

/// Where an image came from.
#[derive(Debug)]
pub struct Origin<'a> {
    /// The lock it was built from.
    pub lock: &'a Lock,
    /// The store with the lock's packages.
    pub store: &'a Store,
    /// The crates.
    pub registry: &'a Registry,
}

/// Makes the bill of materials of an image.
///
/// # Errors
/// When something of the image is not in its origin, or the origin is damaged.
pub fn make(uki: &FoundUki, origin: &Origin<'_>) -> Result<Bom, SbomError> {
    let mut components = packages(uki, origin)?;
    let debian: Vec<String> = components
        .iter()
        .map(|component| component.bom_ref.clone())
        .collect();
    if uki.programs.is_empty() {
        return Err(SbomError::NoPrograms);
    }
    let mut dependencies = Vec::new();
    let mut programs = Vec::new();
    let mut compiled = BTreeSet::new();
    for program in &uki.programs {
        let inventory = program.crates.as_ref();
        let inventory = inventory.ok_or_else(|| SbomError::NoCrates(program.path.clone()))?;
        let mut needs = dependencies_of(inventory, &mut dependencies);
        needs.extend(standard_library(program).map(|library| library.bom_ref));
        programs.push(format!("program:{}", program.name()));
        dependencies.push(Dependency::new(format!("program:{}", program.name()), needs));
        components.push(ours(program, &uki.info.version));
        compiled.extend(inventory.compiled_in().filter(|krate| !krate.root).map(named));
        components.extend(standard_library(program));
    }
    for (name, version, is_local) in &compiled {
        let failed = |source| SbomError::Crate {
            name: name.clone(),
            version: version.clone(),
            source: Box::new(source),
        };
        let unused = native::is_unused(name, &compiled);
        let found = origin
            .registry
            .describe(name, version, *is_local, unused)
            .map_err(failed)?;
        let at = reference(name, version);
        dependencies
            .iter_mut()
            .filter(|dependency| dependency.of == at)
            .for_each(|dependency| {
                dependency
                    .depends_on
                    .extend(found[1..].iter().map(|part| part.bom_ref.clone()))
            });
        components.extend(found);
    }
    components.sort_by(|a, b| a.bom_ref.cmp(&b.bom_ref));
    components.dedup_by(|a, b| a.bom_ref == b.bom_ref);
    dependencies.push(Dependency::new(
        "image".to_owned(),
        [debian.clone(), programs.clone()].concat(),
    ));
    dependencies.sort_by(|a, b| a.of.cmp(&b.of));
    dependencies.dedup_by(|a, b| a.of == b.of);
    let compositions = vec![
        Composition {
            aggregate: Aggregate::Complete,
            assemblies: vec!["image".to_owned()],
            dependencies: programs,
        },
        // Which package needs which is not said here: the image has files of them, not packages.
        Composition {
            aggregate: Aggregate::Unknown,
            assemblies: Vec::new(),
            dependencies: debian,
        },
    ];
    let mut bom = Bom::new(metadata(uki)?, components, dependencies, compositions);
    bom.number().map_err(SbomError::Write)?;
    Ok(bom)
}

/// Reads a bill of materials that [`make`] made.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> Result<Bom, SbomError> {
    use std::io::Read as _;
    let failed = |error| SbomError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Bom::parse(&bytes).ok_or_else(|| SbomError::Foreign(path.to_owned()))
}

fn packages(uki: &FoundUki, origin: &Origin<'_>) -> Result<Vec<Component>, SbomError> {
    let described = uki.packages.iter().map(|package| {
        debian::component(package, origin.lock, origin.store).map_err(|source| SbomError::Package {
            name: package.name.clone(),
            version: package.version.clone(),
            source: Box::new(source),
        })
    });
    described.collect()
}

fn metadata(uki: &FoundUki) -> Result<Metadata, SbomError> {
    let info = &uki.info;
    let built = i64::try_from(info.built)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let mut image = Component::new(Kind::OperatingSystem, "image", "rap", &info.version);
    image.description = Some(format!("RAP appliance image ({})", info.overlays.join(", ")));
    image.hash(&uki.sha256);
    image.properties = vec![
        property("rap:build-id", &info.build_id),
        property("rap:development", if info.development { "true" } else { "false" }),
        property("rap:fips", if info.fips { "true" } else { "false" }),
        property("rap:kernel", &uki.kernel_version),
        property("rap:unsigned-digest", &uki.unsigned_digest),
    ];
    let tool = Component::new(Kind::Application, "tool", "rap-image", env!("CARGO_PKG_VERSION"));
    Ok(Metadata {
        // When the newest of what it is made of was made, not now.
        timestamp: built.ok_or(SbomError::Time(info.built))?.to_string(),
        tools: Tools {
            components: vec![tool],
        },
        component: image,
    })
}

/// A program of ours.
fn ours(program: &FoundProgram, version: &str) -> Component {
    let name = program.name();
    let mut component = Component::new(Kind::Application, &format!("program:{name}"), name, version);
    component.expression(RUST_LICENCE);
    component.hash(&program.sha256);
    component.properties = program
        .compilers
        .iter()
        .map(|text| property("rap:made-by", text))
        .chain([property("rap:path", &format!("/{}", program.path))])
        .collect();
    component
}

/// Rust's standard library, which is linked into every program and listed by no lock; its version is the compiler's.
fn standard_library(program: &FoundProgram) -> Option<Component> {
    let text = program
        .compilers
        .iter()
        .find_map(|text| text.strip_prefix("rustc version "))?;
    let version = text.split(' ').next()?;
    let mut component = Component::new(Kind::Library, &reference("std", version), "std", version);
    component.description = Some(format!("Rust's standard library, of rustc {text}"));
    component.expression(RUST_LICENCE);
    Some(component)
}

/// A crate: its name, its version, whether it is of this repository.
fn named(krate: &Crate) -> (String, String, bool) {
    (krate.name.clone(), krate.version.clone(), krate.source == "local")
}

/// What a crate is called in the document.
fn reference(name: &str, version: &str) -> String {
    format!("crate:{name}@{version}")
}

/// Adds what each crate that is compiled in depends on, among those; returns what the root does.
fn dependencies_of(inventory: &Inventory, all: &mut Vec<Dependency>) -> Vec<String> {
    let mut root = Vec::new();
    for krate in inventory.compiled_in() {
        let needs = krate
            .dependencies
            .iter()
            .filter_map(|index| inventory.packages.get(*index));
        let needs = needs.filter(|needed| inventory.compiled_in().any(|krate| krate == *needed));
        let needs: Vec<String> = needs
            .map(|needed| reference(&needed.name, &needed.version))
            .collect();
        if krate.root {
            root = needs;
        } else {
            all.push(Dependency::new(reference(&krate.name, &krate.version), needs));
        }
    }
    root
}

/// SHA-256 of a text's bytes, for properties.
fn hash_of(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

#[cfg(test)]
mod tests;
