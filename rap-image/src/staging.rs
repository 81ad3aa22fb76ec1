//! An image on the desk, made ready to boot: a copy of its disk, as large as a real one, with what a box is given
//! before its first boot.
//!
//! Invariants: the image itself is never written; the copy is gone with the value that holds it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rap_core::boot::SECTOR;
use rap_core::boot::disk::{PROVISION_BYTES, Place, Table};
use rap_core::provision::{self, IDENTITY_FILES, is_proxy_password};
use rap_core::site::{Mistakes, Proxy, Site};
use rap_qemu::accelerator::Accelerator;
use rap_qemu::disk::{Disk, copy_sparse};
use rap_qemu::firmware::Firmware;
use rap_qemu::machine::Options;

/// The disk in an image's directory.
pub const DISK: &str = "disk.img";
/// Where the quick start's image is.
pub const IMAGE: &str = "target/image/qemu";
/// The copy's size: the box grows its data partition to it.
const GROWN_BYTES: u64 = 2 << 30;

/// Why an image cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// There is no image.
    #[error("{0} does not exist; build the image first: rap-image build")]
    NoImage(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The site's description is wrong.
    #[error("the site's description cannot be used")]
    Site(#[source] Mistakes),
    /// A file of the identity is missing.
    #[error("{} is missing; make the development keys: rap-image keys dev", .0.display())]
    NoIdentity(PathBuf),
    /// The password of a proxy is missing.
    #[error("{} is missing; write the password of the proxy's user into it, in one line", .0.display())]
    NoPassword(PathBuf),
    /// The disk is not one of ours.
    #[error("{path} is not one of rap-image's disks")]
    NotOurs {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rap_core::boot::disk::DiskError,
    },
    /// The archive does not fit.
    #[error("site and identity make {found} bytes; the provision partition has {PROVISION_BYTES}")]
    TooLarge {
        /// Bytes of the archive.
        found: usize,
    },
    /// The machine.
    #[error("cannot put the machine together")]
    Machine(#[from] rap_qemu::Error),
}

/// What a box is given before its first boot: the provision partition, an archive with zeros behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel(Vec<u8>);

impl Parcel {
    /// Checks `site` and takes the identity's files from the directory `identity`.
    ///
    /// # Errors
    /// All mistakes of the site, or the first file that is missing: of the identity, or the password of one of the
    /// site's proxies; or that all of it does not fit.
    pub fn new(site: &str, identity: &Path) -> Result<Self, StagingError> {
        let parsed = Site::parse(site, Path::new("site.toml")).map_err(StagingError::Site)?;
        let with_user = parsed.egress.proxies.iter().filter(|proxy| proxy.user.is_some());
        let passwords: Vec<String> = with_user.map(Proxy::password_file).collect();
        let mut files = BTreeMap::new();
        for name in IDENTITY_FILES
            .into_iter()
            .chain(passwords.iter().map(String::as_str))
        {
            let path = identity.join(name);
            let content = std::fs::read(&path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound if is_proxy_password(name) => StagingError::NoPassword(path.clone()),
                io::ErrorKind::NotFound => StagingError::NoIdentity(path.clone()),
                _ => StagingError::File {
                    verb: "read",
                    path: path.clone(),
                    source,
                },
            })?;
            files.insert(name.to_owned(), content);
        }
        let mut content = provision::pack(site, &files);
        let found = content.len();
        let size = usize::try_from(PROVISION_BYTES).unwrap_or(usize::MAX);
        if found > size {
            return Err(StagingError::TooLarge { found });
        }
        content.resize(size, 0);
        Ok(Self(content))
    }

    /// The whole partition.
    #[must_use]
    pub fn partition(&self) -> &[u8] {
        &self.0
    }
}

/// An image that is ready to boot.
#[derive(Debug)]
pub struct Staged {
    /// The machine's parts; memory and cables may be changed.
    pub options: Options,
    /// Holds the copy; to be kept as long as the machine.
    pub place: tempfile::TempDir,
}

/// Copies the disk of the image in `directory`, gives it `parcel` if there is one, and puts a machine around it.
///
/// # Errors
/// When there is no image, no firmware, no room, or the disk is not one of ours.
pub fn stage(directory: &Path, parcel: Option<&Parcel>) -> Result<Staged, StagingError> {
    let image = directory.join(DISK);
    if !image.is_file() {
        return Err(StagingError::NoImage(image));
    }
    let firmware = Firmware::find(directory)?;
    let failed = |source| StagingError::File {
        verb: "copy",
        path: image.clone(),
        source,
    };
    let place = tempfile::Builder::new()
        .prefix("rap-disk-")
        .tempdir()
        .map_err(failed)?;
    let copy = place.path().join(DISK);
    copy_sparse(&image, &copy, GROWN_BYTES)?;
    if let Some(parcel) = parcel {
        provide(&copy, parcel)?;
    }
    let accelerator = Accelerator::probe(&firmware)?;
    Ok(Staged {
        options: Options::new(firmware, accelerator, Disk::open(&copy)?),
        place,
    })
}

/// Writes the provision partition of the disk at `path`.
fn provide(path: &Path, parcel: &Parcel) -> Result<(), StagingError> {
    let failed = |source| StagingError::File {
        verb: "write",
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let table = Table::read(&file, bytes).map_err(|source| StagingError::NotOurs {
        path: path.to_owned(),
        source,
    })?;
    let offset = table.partition(Place::Provision).first * SECTOR;
    file.write_all_at(parcel.partition(), offset).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rap_core::boot::disk::write_fresh;

    fn identity(place: &Path) -> PathBuf {
        for name in IDENTITY_FILES {
            std::fs::write(place.join(name), name).unwrap();
        }
        place.to_owned()
    }

    #[test]
    fn the_parcel_lands_in_the_provision_partition_of_the_copy() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("copy");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(GROWN_BYTES).unwrap();
        write_fresh(&file, &[]).unwrap();
        let parcel = Parcel::new(rap_core::site::EXAMPLE, &identity(place.path())).unwrap();
        provide(&path, &parcel).unwrap();

        let offset = Table::read(&file, GROWN_BYTES)
            .unwrap()
            .partition(Place::Provision)
            .first
            * SECTOR;
        let mut partition = vec![0; usize::try_from(PROVISION_BYTES).unwrap()];
        file.read_exact_at(&mut partition, offset).unwrap();
        let found = provision::unpack(&partition).unwrap().expect("a parcel");
        assert_eq!(found.site.as_deref(), Some(rap_core::site::EXAMPLE));
        assert_eq!(found.identity.len(), IDENTITY_FILES.len());
    }

    #[test]
    fn a_missing_key_names_the_file_and_the_fix() {
        let place = tempfile::tempdir().unwrap();
        let identity = identity(place.path());
        std::fs::remove_file(identity.join("device.key")).unwrap();
        let error = Parcel::new(rap_core::site::EXAMPLE, &identity)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("device.key is missing") && error.contains("rap-image keys dev"),
            "{error}"
        );
    }

    #[test]
    fn a_proxy_with_a_user_needs_its_password() {
        let place = tempfile::tempdir().unwrap();
        let identity = identity(place.path());
        let site = rap_core::site::EXAMPLE.replace("# user =", "user =");
        let error = Parcel::new(&site, &identity).unwrap_err().to_string();
        assert!(error.contains("proxy-hospital.password is missing"), "{error}");
        std::fs::write(identity.join("proxy-hospital.password"), "s3cret\n").unwrap();
        let parcel = provision::unpack(&Parcel::new(&site, &identity).unwrap().0);
        let parcel = parcel.unwrap().expect("a parcel");
        assert_eq!(parcel.identity["proxy-hospital.password"], b"s3cret\n");
    }

    #[test]
    fn a_missing_image_says_how_to_build_one() {
        let error = stage(Path::new("/nonexistent"), None).unwrap_err().to_string();
        assert_eq!(
            error,
            "/nonexistent/disk.img does not exist; build the image first: rap-image build"
        );
    }
}
