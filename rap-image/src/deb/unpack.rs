//! Whole packages unpacked into a folder: the build root. Merged-/usr, modes and links kept, owned by who runs it.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{Error, clean, data};
use crate::lock::Package;
use crate::store::Store;

/// The top folders that are links into `usr`.
pub const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Unpacks packages over each other into `folder`, which is made; a later one's file replaces an earlier one's.
///
/// `bin`, `lib`, `lib64` and `sbin` become links to `usr/…`. On an error the folder is left as far as it came:
/// unpack beside the final name and rename.
///
/// # Errors
/// When a package is not in the store, damaged, or has a path that would leave `folder` (also through a link).
pub fn unpack_all(packages: &[&Package], store: &Store, folder: &Path) -> Result<(), Error> {
    let writing = |error| Error::Write(folder.to_owned(), error);
    fs::create_dir_all(folder).map_err(writing)?;
    let root = folder.canonicalize().map_err(writing)?;
    for name in MERGED {
        make_folder(&root.join("usr").join(name))?;
        match symlink(format!("usr/{name}"), root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(writing(error)),
            _ => {}
        }
    }
    packages.iter().try_for_each(|package| {
        let file = store.file(&package.sha256)?;
        let named = |error| Error::Package(format!("{} {}", package.name, package.version), Box::new(error));
        unpack(file, &root).map_err(named)
    })
}

/// Unpacks one package below `root`, a canonical path.
pub(super) fn unpack(package: impl Read, root: &Path) -> Result<(), Error> {
    let mut archive = tar::Archive::new(data(package)?);
    for entry in archive.entries().map_err(Error::Read)? {
        let mut entry = entry.map_err(Error::Read)?;
        let path = clean(&entry.path_bytes())?;
        if path.is_empty() {
            continue;
        }
        let place = place(root, &path)?;
        let writing = |error| Error::Write(place.clone(), error);
        let mode = Permissions::from_mode(entry.header().mode().map_err(Error::Read)? & 0o7777);
        match entry.header().entry_type() {
            // A folder that is there, also as a link to one, stays.
            tar::EntryType::Directory if place.is_dir() => {}
            tar::EntryType::Directory => {
                fs::create_dir(&place).map_err(writing)?;
                fs::set_permissions(&place, mode).map_err(writing)?;
            }
            tar::EntryType::Regular => {
                remove(&place).map_err(writing)?;
                let mut file = File::create_new(&place).map_err(writing)?;
                io::copy(&mut entry, &mut file).map_err(writing)?;
                file.set_permissions(mode).map_err(writing)?;
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(Error::Read)?.unwrap_or_default();
                remove(&place).map_err(writing)?;
                symlink(target, &place).map_err(writing)?;
            }
            tar::EntryType::Link => {
                let first = self::place(root, &clean(&entry.link_name_bytes().unwrap_or_default())?)?;
                remove(&place).map_err(writing)?;
                fs::hard_link(first, &place).map_err(writing)?;
            }
            _ => return Err(Error::UnknownKind(path)),
        }
    }
    Ok(())
}

/// Where a cleaned path is written; its folder exists afterwards and is inside `root`, whatever links lead there.
fn place(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let place = root.join(path);
    let folder = place.parent().unwrap_or(root);
    // The deepest folder that is there decides: below it nothing exists that could be a link.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(root);
    let real = there
        .canonicalize()
        .map_err(|error| Error::Write(there.to_owned(), error))?;
    if !real.starts_with(root) {
        return Err(Error::HostilePath(path.to_owned()));
    }
    make_folder(folder)?;
    Ok(place)
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::Write(folder.to_owned(), error))
}

/// Removes what is in the way of a file or link.
fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
