//! Writing a file so that a power cut leaves the old one or the new one: temporary file, fsync, rename, fsync of the
//! directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

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
pub(crate) fn write(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = directory.join(hidden);
    // Closed to others from its first moment; a left-over of an interrupted attempt is written over.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
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
}

/// Makes a directory with these permission bits and owner, durably; one that is there gets them.
///
/// # Errors
/// When any step fails.
pub(crate) fn directory(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if let Some(owner) = owner {
        std::os::unix::fs::chown(path, Some(owner.user), Some(owner.group))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
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
        let nowhere = write(&directory.path().join("no/where"), b"", 0o600, None);
        assert_eq!(nowhere.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
