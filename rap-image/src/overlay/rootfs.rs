//! An overlay's `rootfs/`: files put into the image as they are. Modes are 0755 where anybody may execute, else 0644,
//! so that the image does not depend on the umask of who cloned.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Error, Overlay};
use crate::payload::{Entry, Kind};

/// Every folder, file and link, sorted by path. None when there is no `rootfs/`.
///
/// # Errors
/// What cannot be read, or be in an image.
pub fn rootfs(overlay: &Overlay) -> Result<Vec<Entry>, Error> {
    let root = overlay.folder.join("rootfs");
    let mut entries = Vec::new();
    if root.is_dir() {
        walk(
            &root,
            "",
            &format!("file of overlays/{}", overlay.name),
            &mut entries,
        )?;
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn walk(folder: &Path, below: &str, reason: &str, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let unreadable = |error| Error::Read(folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let place = entry.path();
        let unreadable = |error| Error::Read(place.clone(), error);
        let unusable = || Error::Unusable(place.clone());
        let name = entry.file_name().into_string().map_err(|_| unusable())?;
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let data = fs::symlink_metadata(&place).map_err(unreadable)?;
        let (mode, kind) = if data.is_dir() {
            walk(&place, &path, reason, entries)?;
            (0o755, Kind::Directory)
        } else if data.is_symlink() {
            let target = fs::read_link(&place).map_err(unreadable)?;
            (
                0o777,
                Kind::Link(target.into_os_string().into_string().map_err(|_| unusable())?),
            )
        } else if data.is_file() {
            let mode = if data.permissions().mode() & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            (mode, Kind::File(fs::read(&place).map_err(unreadable)?))
        } else {
            return Err(unusable());
        };
        entries.push(Entry {
            path,
            mode,
            kind,
            reason: reason.to_owned(),
        });
    }
    Ok(())
}
