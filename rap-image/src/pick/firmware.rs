//! Single files out of a package, for what is not in the initramfs.

use super::Error;
use super::libraries::owner;
use crate::deb::{self, Contents};
use crate::lock::{Lock, Package};
use crate::overlay::PackageFile;
use crate::store::Store;

/// The content of one file of one package.
pub(super) fn file(wanted: &PackageFile, lock: &Lock, store: &Store) -> Result<Vec<u8>, Error> {
    let package = lock.package(&wanted.package)?;
    let contents = contents(package, store)?;
    if contents.member(&wanted.file).is_none() {
        return Err(Error::NoSuchFile {
            package: owner(package),
            path: wanted.file.clone(),
            wanted_by: "the overlays".to_owned(),
            hint: String::new(),
        });
    }
    contents
        .content(&wanted.file)
        .map_err(|error| Error::Package(owner(package), error))
}

/// A package's members.
pub(super) fn contents(package: &Package, store: &Store) -> Result<Contents, Error> {
    let tar = store.tar(&package.sha256, |file, out| deb::decompress(file, out));
    tar.and_then(Contents::read)
        .map_err(|error| Error::Package(owner(package), error))
}
