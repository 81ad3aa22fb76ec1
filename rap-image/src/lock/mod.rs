//! `overlays/image.lock`: every package by name, version, path below a mirror, SHA-256 and size, and the Release files
//! they were found by. It names no host. `build` uses nothing the lock does not name.
//!
//! The text is TOML, sorted by package name, one small block each, so that a change reads well in a diff.

mod make;
mod refresh;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::archive::Archive;
use crate::archive::index::is_plain_path;
use rap_core::digest::Sha256;

pub use make::{Catalogue, make};
pub use refresh::{Change, Refused, changes, refresh};

/// What a package is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Files of the image, and the libraries they may need.
    Image,
    /// The kernel.
    Kernel,
    /// The loader and the stub.
    Boot,
    /// The lab's firmware.
    Lab,
    /// The build root.
    Toolchain,
}

/// A suite's Release file as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name, e.g. `trixie-security`.
    pub name: String,
    /// When Debian made it.
    #[serde(deserialize_with = "timestamp")]
    pub date: Timestamp,
    /// Hash of the signed text.
    pub sha256: Sha256,
}

/// One locked package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The tree it is in.
    pub archive: Archive,
    /// Its file below a mirror of that tree.
    pub path: String,
    /// The file's hash.
    pub sha256: Sha256,
    /// The file's size in bytes.
    pub size: u64,
    /// What it is for.
    pub groups: BTreeSet<Group>,
}

/// The lock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// The Release files, by name.
    #[serde(rename = "suite")]
    pub suites: Vec<Suite>,
    /// The packages, by name.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// Why a lock cannot be read, written or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("there is no lock at {0}; make one with `rap-image lock`")]
    Absent(PathBuf),
    /// It cannot be read.
    #[error("cannot read the lock {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is damaged or of another version.
    #[error("{path} is not a lock: {what}; take it from version control, or make it with `rap-image lock`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It cannot be written.
    #[error("cannot write the lock {0}")]
    Write(PathBuf, #[source] std::io::Error),
    /// A package is not in it.
    #[error("the lock does not name package {0:?}; an overlay changed: run `rap-image lock`")]
    NotLocked(String),
    /// A Release file is older than the locked one.
    #[error(
        "{suite}: the mirror's Release file is of {found}, the lock's of {locked}: the mirror is behind; use another, \
         or wait until it has caught up"
    )]
    Behind {
        /// The suite.
        suite: String,
        /// The mirror's date.
        found: Timestamp,
        /// The lock's date.
        locked: Timestamp,
    },
    /// A Release file is past its Valid-Until.
    #[error(
        "{suite}: the mirror's Release file was valid until {until} only: the mirror is stale or held back; use another \
         (or check this machine's clock)"
    )]
    Expired {
        /// The suite.
        suite: String,
        /// Until when.
        until: Timestamp,
    },
    /// A suite's InRelease is not to be believed.
    #[error(
        "{suite}: the mirror's InRelease is not to be believed, and was not used; try another mirror (--mirror)"
    )]
    Signature {
        /// The suite.
        suite: &'static str,
        /// Why not.
        #[source]
        source: crate::archive::signature::Error,
    },
    /// The keyring.
    #[error(transparent)]
    Keyring(crate::archive::signature::Error),
    /// A Release file is of no use.
    #[error(transparent)]
    Release(#[from] crate::archive::release::Error),
    /// An index is damaged.
    #[error(transparent)]
    Index(#[from] crate::archive::index::Damaged),
    /// An index cannot be decompressed.
    #[error("{0}: the package index cannot be decompressed")]
    Decompress(&'static str, #[source] std::io::Error),
    /// A wish cannot be met.
    #[error(transparent)]
    Resolve(#[from] crate::archive::resolve::Error),
    /// Nothing could be fetched.
    #[error(transparent)]
    Fetch(#[from] crate::fetch::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

const VERSION: u32 = 1;

impl Lock {
    /// A lock of these, sorted.
    #[must_use]
    pub fn new(mut suites: Vec<Suite>, mut packages: Vec<Package>) -> Self {
        suites.sort_by(|a, b| a.name.cmp(&b.name));
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            version: VERSION,
            suites,
            packages,
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// When it is not there or not a lock; a path that would leave the mirror is refused here.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Absent(path.to_owned()));
            }
            other => other.map_err(|error| Error::Read(path.to_owned(), error))?,
        };
        let damaged = |what: String| Error::Damaged {
            path: path.to_owned(),
            what,
        };
        let lock: Self = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if lock.version != VERSION {
            return Err(damaged(format!(
                "it is of version {}, expected {VERSION}",
                lock.version
            )));
        }
        match lock.packages.iter().find(|package| !is_plain_path(&package.path)) {
            Some(package) => Err(damaged(format!(
                "{} has the path {:?}",
                package.name, package.path
            ))),
            // Sorted again, in case a merge put blocks in another order.
            None => Ok(Self::new(lock.suites, lock.packages)),
        }
    }

    /// Writes it beside `path`, syncs it and renames it there: always the old lock or the new one, whole.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |error| Error::Write(path.to_owned(), error);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(self.to_text().as_bytes()).map_err(failed)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    /// As it is written.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = "# Written by `rap-image lock`; not edited by hand.\n".to_owned();
        text += &format!("version = {}\n", self.version);
        for Suite { name, date, sha256 } in &self.suites {
            text += &format!("\n[[suite]]\nname = \"{name}\"\ndate = \"{date}\"\nsha256 = \"{sha256}\"\n");
        }
        for Package {
            name,
            version,
            archive,
            path,
            sha256,
            size,
            groups,
        } in &self.packages
        {
            let groups: Vec<_> = groups.iter().map(|group| format!("{:?}", group.name())).collect();
            text += &format!(
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\narchive = \"{archive}\"\npath = \"{path}\"\n\
                 sha256 = \"{sha256}\"\nsize = {size}\ngroups = [{}]\n",
                groups.join(", ")
            );
        }
        text
    }

    /// One package.
    ///
    /// # Errors
    /// [`Error::NotLocked`].
    pub fn package(&self, name: &str) -> Result<&Package, Error> {
        let place = self
            .packages
            .binary_search_by(|package| package.name.as_str().cmp(name));
        let place = place.map_err(|_| Error::NotLocked(name.to_owned()))?;
        Ok(&self.packages[place])
    }

    /// The packages of a group, by name.
    #[must_use]
    pub fn group(&self, group: Group) -> Vec<&Package> {
        self.packages
            .iter()
            .filter(|package| package.groups.contains(&group))
            .collect()
    }

    /// The newest Release's time: what counts as the time of everything built from this lock.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.suites
            .iter()
            .map(|suite| suite.date)
            .max()
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Kernel => "kernel",
            Self::Boot => "boot",
            Self::Lab => "lab",
            Self::Toolchain => "toolchain",
        }
    }
}

#[cfg(test)]
mod tests;
