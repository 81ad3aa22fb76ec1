//! An image on the desk, made ready to boot: a copy of its disk, as large as a real one, with what a box is given
//! before its first boot.
//!
//! Invariants: the image itself is never written; the copy is gone with the value that holds it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rap_core::boot::disk::{Place, Table};
use rap_qemu::accelerator::Accelerator;
use rap_qemu::disk::{Disk, copy_sparse};
use rap_qemu::firmware::Firmware;
use rap_qemu::machine::Options;

use crate::parcel::{Parcel, ParcelError};

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
    /// The disk is not one of ours.
    #[error("{path} is not one of rap-image's disks")]
    NotOurs {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rap_core::boot::disk::DiskError,
    },
    /// What the box is given.
    #[error("the box cannot be given this")]
    Parcel(#[from] ParcelError),
    /// The machine.
    #[error("cannot put the machine together")]
    Machine(#[from] rap_qemu::Error),
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
    let offset = table.partition(Place::Provision).offset();
    file.write_all_at(&parcel.partition()?, offset).map_err(failed)
}

#[cfg(test)]
mod tests {
    use rap_core::boot::disk::{PROVISION_BYTES, write_fresh};
    use rap_core::provision::{self, IDENTITY_FILES};

    use super::*;
    use crate::parcel::tests::identity;

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
            .offset();
        let mut partition = vec![0; usize::try_from(PROVISION_BYTES).unwrap()];
        file.read_exact_at(&mut partition, offset).unwrap();
        let found = provision::unpack(&partition).unwrap().expect("a parcel");
        assert_eq!(found.site.as_deref(), Some(rap_core::site::EXAMPLE));
        assert_eq!(found.identity.len(), IDENTITY_FILES.len());
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
