//! Writing a file so that a power cut leaves the old one or the new one: temporary file, fsync, rename, fsync of the
//! directory.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::InitError;

/// A user's and a group's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Puts `content` into `path` with these permission bits and, unless `None`, this owner.
///
/// # Errors
/// When any step fails; the old file is there then.
pub(super) fn write(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), InitError> {
    let attempt = || {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        let temporary = directory.join(hidden);
        // A left-over of an interrupted attempt may be another user's, whose files the kernel does not open anew in a
        // folder that is shared (`fs.protected_regular`).
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Closed to others from its first moment.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        if let Some(owner) = owner {
            std::os::unix::fs::fchown(&file, Some(owner.user), Some(owner.group))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    attempt().map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory with these permission bits and owner, durably; one that is there gets them.
///
/// # Errors
/// When any step fails.
pub(super) fn directory(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), InitError> {
    let attempt = || {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(owner) = owner {
            std::os::unix::fs::chown(path, Some(owner.user), Some(owner.group))?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        path.parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    attempt().map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(
            directory.path().join(".key"),
            "left over, and longer than the new content",
        )
        .unwrap();
        write(&path, b"one", 0o644, None).unwrap();
        write(&path, b"two", 0o600, None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let error = write(&directory.path().join("no/where"), b"", 0o600, None).unwrap_err();
        assert!(error.to_string().contains("no/where"), "{error}");
    }
}
