//! Files that appear under their names only when all of them are whole.
//!
//! Everything is written beside its final place under a name that begins with `.partial-`; [`Staging::publish`]
//! renames all of it at the end. An error, a full disk or a panic leaves nothing under a final name and removes what
//! was begun; what a killed build left is removed by the next one.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rap_core::boot::disk::{self, DiskError, Place, Table};
use rap_core::boot::fat::Volume;
use rap_core::boot::medium::Medium;
use tempfile::NamedTempFile;

const PREFIX: &str = ".partial-";

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The folder.
    #[error("cannot make the folder {0}")]
    Folder(PathBuf, #[source] std::io::Error),
    /// A file, for want of room.
    #[error(
        "no room left to write {path} ({bytes} bytes); free some and build again, nothing was left half-written"
    )]
    Full {
        /// Its final place.
        path: PathBuf,
        /// How much was to be written.
        bytes: u64,
    },
    /// A file.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] std::io::Error),
    /// The disk image.
    #[error("cannot write {0}")]
    Disk(PathBuf, #[source] DiskError),
}

/// Files on their way to a folder.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    files: Vec<(NamedTempFile, PathBuf)>,
}

impl Staging {
    /// Makes the folder and removes what a killed build left in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn new(folder: &Path) -> Result<Self, OutputError> {
        let failed = |error| OutputError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            files: Vec::new(),
        })
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// When there is no room, or writing fails.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.folder.join(name);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut file = self.begin()?;
        file.write_all(bytes)
            .map_err(|error| explain(error, &path, length))?;
        self.files.push((file, path));
        Ok(())
    }

    /// Writes a fresh disk image, sparse.
    ///
    /// # Errors
    /// When there is no room, or writing fails.
    pub fn disk(&mut self, name: &str, volumes: &[(Place, &Volume<'_>)]) -> Result<(), OutputError> {
        self.sparse(name, Table::fresh_disk_bytes(), |file| {
            disk::write_fresh(file, volumes)
        })
    }

    /// Writes the medium of an installer, sparse.
    ///
    /// # Errors
    /// When there is no room, or writing fails.
    pub fn medium(&mut self, name: &str, medium: &Medium<'_>) -> Result<(), OutputError> {
        self.sparse(name, medium.bytes(), |file| medium.write(file))
    }

    fn sparse(
        &mut self,
        name: &str,
        bytes: u64,
        write: impl FnOnce(&File) -> Result<(), DiskError>,
    ) -> Result<(), OutputError> {
        let path = self.folder.join(name);
        let file = self.begin()?;
        file.as_file()
            .set_len(bytes)
            .map_err(|error| explain(error, &path, bytes))?;
        write(file.as_file()).map_err(|error| match error {
            DiskError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                OutputError::Full {
                    path: path.clone(),
                    bytes,
                }
            }
            error => OutputError::Disk(path.clone(), error),
        })?;
        self.files.push((file, path));
        Ok(())
    }

    /// Renames everything to its final name, in the order in which it was written.
    ///
    /// # Errors
    /// When renaming fails.
    pub fn publish(self) -> Result<(), OutputError> {
        for (file, path) in &self.files {
            flush(file.as_file()).map_err(|error| OutputError::Write(path.clone(), error))?;
        }
        for (file, path) in self.files {
            file.persist(&path)
                .map_err(|error| OutputError::Write(path, error.error))?;
        }
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| OutputError::Folder(self.folder.clone(), error))
    }

    fn begin(&self) -> Result<NamedTempFile, OutputError> {
        let failed = |error| OutputError::Write(self.folder.clone(), error);
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))
            .map_err(failed)?;
        Ok(file)
    }
}

fn flush(file: &File) -> std::io::Result<()> {
    file.sync_all()
}

fn explain(error: std::io::Error, path: &Path, bytes: u64) -> OutputError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => OutputError::Full {
            path: path.to_owned(),
            bytes,
        },
        _ => OutputError::Write(path.to_owned(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_its_name_before_everything_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".partial-left"), "by a killed build").unwrap();
        std::fs::write(folder.path().join("a"), "old").unwrap();
        let mut staging = Staging::new(folder.path()).unwrap();
        staging.file("a", b"new").unwrap();
        staging.file("b", b"new").unwrap();
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"old");
        drop(staging);
        assert_eq!(names(folder.path()), ["a"]);

        let mut staging = Staging::new(folder.path()).unwrap();
        staging.file("a", b"new").unwrap();
        staging.file("b", b"new").unwrap();
        staging.publish().unwrap();
        assert_eq!(names(folder.path()), ["a", "b"]);
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"new");
        assert_eq!(
            std::fs::metadata(folder.path().join("b"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o644
        );
    }

    #[test]
    fn a_full_disk_says_so() {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
            .write(b"x")
            .unwrap_err();
        let error = explain(full, Path::new("target/image/rap.efi"), 7).to_string();
        assert_eq!(
            error,
            "no room left to write target/image/rap.efi (7 bytes); free some and build again, nothing was left half-written"
        );
    }
}
