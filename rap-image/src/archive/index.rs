//! The Packages files of all suites as one index, the newest version of each package first.
//!
//! Records borrow from the text; only amd64 and `all` packages are read.

use std::collections::{BTreeMap, HashMap};

use super::stanza::{Stanza, stanzas};
use super::version::compare;
use super::{Archive, Suite};
use rap_core::digest::Sha256;

/// One package of one suite.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its name.
    pub package: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The suite it is from.
    pub suite: &'static str,
    /// The tree it is in.
    pub archive: Archive,
    /// `Depends`, unparsed.
    pub depends: &'a str,
    /// `Pre-Depends`, unparsed.
    pub pre_depends: &'a str,
    /// `Provides`, unparsed.
    pub provides: &'a str,
    /// Its file below the archive's base.
    pub path: &'a str,
    /// The file's hash.
    pub sha256: Sha256,
    /// The file's size in bytes.
    pub size: u64,
}

/// A package's record that lacks a needed field.
#[derive(Debug, thiserror::Error)]
#[error("{suite}: package {package:?} has no readable {field} in the index")]
pub struct Damaged {
    suite: &'static str,
    package: String,
    field: &'static str,
}

/// All packages of all suites.
#[derive(Debug, Default)]
pub struct Index<'a> {
    newest: HashMap<&'a str, Record<'a>>,
    providers: BTreeMap<&'a str, Vec<(&'a str, Option<&'a str>)>>,
}

impl<'a> Index<'a> {
    /// Adds one suite's Packages text. A version equal to one already there replaces it, so add in [`super::SUITES`]'
    /// order.
    ///
    /// # Errors
    /// When a record lacks its version, file, size or hash.
    pub fn add(&mut self, suite: &Suite, text: &'a str) -> Result<(), Damaged> {
        for stanza in stanzas(text) {
            let record = record(suite, stanza)?;
            let known = self.newest.get(record.package);
            if known.is_none_or(|known| compare(record.version, known.version).is_ge()) {
                self.newest.insert(record.package, record);
            }
        }
        self.providers.clear();
        for record in self.newest.values() {
            for provided in record
                .provides
                .split(',')
                .map(str::trim)
                .filter(|provided| !provided.is_empty())
            {
                let (name, version) = match provided.split_once('(') {
                    Some((name, version)) => (name.trim(), Some(version.trim_matches([' ', '=', ')']))),
                    None => (provided, None),
                };
                self.providers
                    .entry(name)
                    .or_default()
                    .push((record.package, version));
            }
        }
        self.providers
            .values_mut()
            .for_each(|providers| providers.sort_unstable());
        Ok(())
    }

    /// The newest version of a package.
    #[must_use]
    pub fn newest(&self, package: &str) -> Option<&Record<'a>> {
        self.newest.get(package)
    }

    /// Who provides a virtual package, by name: the package and the version it provides.
    #[must_use]
    pub fn providers(&self, package: &str) -> &[(&'a str, Option<&'a str>)] {
        self.providers.get(package).map_or(&[], Vec::as_slice)
    }
}

fn record<'a>(suite: &Suite, stanza: Stanza<'a>) -> Result<Record<'a>, Damaged> {
    let mut record = Record {
        package: "",
        version: "",
        suite: suite.name,
        archive: suite.archive,
        depends: "",
        pre_depends: "",
        provides: "",
        path: "",
        sha256: Sha256::of(b""),
        size: 0,
    };
    let mut sha256 = None;
    for (name, value) in stanza.fields() {
        match name {
            "Package" => record.package = value,
            "Version" => record.version = value,
            "Depends" => record.depends = value,
            "Pre-Depends" => record.pre_depends = value,
            "Provides" => record.provides = value,
            "Filename" => record.path = value,
            "Size" => record.size = value.parse().unwrap_or(0),
            "SHA256" => sha256 = value.parse().ok(),
            _ => {}
        }
    }
    let damaged = |field| Damaged {
        suite: suite.name,
        package: record.package.to_owned(),
        field,
    };
    if record.package.is_empty() {
        return Err(damaged("Package"));
    }
    if record.version.is_empty() {
        return Err(damaged("Version"));
    }
    if record.size == 0 {
        return Err(damaged("Size"));
    }
    if !is_plain_path(record.path) {
        return Err(damaged("Filename"));
    }
    record.sha256 = sha256.ok_or(damaged("SHA256"))?;
    Ok(record)
}

/// Relative, without `..` and without anything that would change meaning in a URL.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/+-._~:=@".contains(c);
    !path.is_empty()
        && path.chars().all(plain)
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}
