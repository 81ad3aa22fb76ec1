//! A repository in one file, or on a stick that the file was written to as it is: a tar of the same files.
//!
//! Invariants: only regular files with a [`Name`] are taken, each once, each wholly within the bundle; links, devices and
//! long names are refused. Opening reads headers only and follows nothing they say but how far to go on; no more than
//! [`MOST_FILES`] are looked at. Nothing is unpacked: a file is read where it stands.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::{Name, Source, SourceError};

/// Entries of a bundle, at most: two whole images and more patches than anybody makes.
const MOST_FILES: usize = 16 * 1024;
/// The most characters of an entry's name that are shown.
const MOST_SHOWN: usize = 120;

/// A bundle whose table is known.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    file: File,
    files: BTreeMap<Name, Place>,
}

/// Where a file stands in the bundle.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    bytes: u64,
}

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read, or is no tar.
    #[error("{}: cannot be read as a tar archive; a bundle is made by `rap-image bundle`", path.display())]
    Read {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An entry that has no business in a bundle.
    #[error("{}: the bundle holds \"{entry}\", which is {why}; expected files metadata/FILE, targets/FILE and pieces/HASH", path.display())]
    Entry {
        /// The bundle.
        path: PathBuf,
        /// Its name, cleaned and cut.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It ends before its last file does.
    #[error("{}: the bundle ends within {name}: copy it again", path.display())]
    Truncated {
        /// The bundle.
        path: PathBuf,
        /// The file that is not whole.
        name: Name,
    },
    /// Too many entries.
    #[error("{}: the bundle has more than {MOST_FILES} entries", path.display())]
    TooMany {
        /// The bundle.
        path: PathBuf,
    },
}

impl Bundle {
    /// Opens the bundle at `path` and reads its table.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(|source| BundleError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of(file, path)
    }

    /// As [`open`](Self::open), of a file that is open already.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn of(file: File, path: &Path) -> Result<Self, BundleError> {
        let mut bundle = Self {
            path: path.to_owned(),
            file,
            files: BTreeMap::new(),
        };
        bundle.files = bundle.table()?;
        Ok(bundle)
    }

    /// The files in it, in the order of their names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.files.keys()
    }

    fn table(&self) -> Result<BTreeMap<Name, Place>, BundleError> {
        let unreadable = |source| BundleError::Read {
            path: self.path.clone(),
            source,
        };
        // A stick that the bundle was written to as it is tells its length only so.
        let length = (&self.file).seek(SeekFrom::End(0)).map_err(unreadable)?;
        (&self.file).rewind().map_err(unreadable)?;
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(&self.file);
        // Raw: long names and the like would be read into memory, as long as they say they are.
        let entries = archive.entries_with_seek().map_err(unreadable)?.raw(true);
        for (count, entry) in entries.enumerate() {
            if count >= MOST_FILES {
                return Err(BundleError::TooMany {
                    path: self.path.clone(),
                });
            }
            let entry = entry.map_err(unreadable)?;
            let path = entry.path_bytes();
            let text = String::from_utf8_lossy(path.strip_prefix(b"./").unwrap_or(&path));
            let kind = entry.header().entry_type();
            if kind == EntryType::Directory && is_folder(&text) {
                continue;
            }
            let wrong = |why| Err(self.wrong(&text, why));
            if kind != EntryType::Regular {
                return wrong("no regular file");
            }
            let Ok(name) = text.parse::<Name>() else {
                return wrong("none of a repository");
            };
            let place = Place {
                at: entry.raw_file_position(),
                bytes: entry.size(),
            };
            if place.at.checked_add(place.bytes).is_none_or(|end| end > length) {
                return Err(BundleError::Truncated {
                    path: self.path.clone(),
                    name,
                });
            }
            if files.insert(name, place).is_some() {
                return wrong("there twice");
            }
        }
        Ok(files)
    }

    fn wrong(&self, entry: &str, why: &'static str) -> BundleError {
        let shown = entry.chars().filter(|c| !c.is_control()).take(MOST_SHOWN);
        BundleError::Entry {
            path: self.path.clone(),
            entry: shown.collect(),
            why,
        }
    }
}

/// Whether it is a folder of a repository, as tar lists them.
fn is_folder(path: &str) -> bool {
    ["", ".", super::METADATA, super::TARGETS, crate::release::PIECES].contains(&path.trim_end_matches('/'))
}

impl Source for Bundle {
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        let place = self
            .files
            .get(name)
            .ok_or_else(|| SourceError::NotThere { name: name.clone() })?;
        let too_long = || SourceError::TooLong {
            name: name.clone(),
            limit,
        };
        if place.bytes > limit {
            return Err(too_long());
        }
        let mut content = vec![0; usize::try_from(place.bytes).map_err(|_| too_long())?];
        match self.file.read_exact_at(&mut content, place.at) {
            Ok(()) => Ok(content),
            Err(source) => Err(SourceError::Read {
                path: self.path.clone(),
                name: name.clone(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
