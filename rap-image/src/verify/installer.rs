//! An installer's medium, and what it would write: the image in it is unpacked as the installer does, and then read as any.
//!
//! Held against each other: the medium and the function that makes it, the package and the digest in the order, and the
//! program that firmware starts and the image's own, of which it is to differ by one word and one archive.

use std::fs::File;
use std::io::Write as _;

use rap_core::boot::disk::{Place, Table};
use rap_core::boot::fat::FatError;
use rap_core::boot::medium::{self, Medium};
use rap_core::flash::{FlashError, Plan};
use rap_core::install::package::{Package, PackageError};
use rap_core::install::{self, Order, OrderError};
use rap_core::paths;

use super::volume::{Window, file_of};
use super::{Found, FoundInstaller, LOADER, UKI, VerifyError, compare, content, read_disk};
use crate::cpio;
use crate::signing::signed_by;
use crate::uki::{self, Program};
use rap_core::digest::Sha256;

/// What is wrong with an installer's medium.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// It was cut off.
    #[error("it has {found} bytes, its partition reaches to {expected}: it was cut off")]
    Truncated {
        /// Bytes it has.
        found: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// The program does not make such a medium.
    #[error("its program does not fit on a medium")]
    Volume(#[source] FatError),
    /// It has no order.
    #[error("its program has no `{0}`: it is not this builder's, or of another version")]
    Absent(&'static str),
    /// The order.
    #[error("what it is to do cannot be read")]
    Order(#[source] OrderError),
    /// The package.
    #[error("what it would write is damaged")]
    Package(#[source] PackageError),
    /// Unpacking.
    #[error("what it would write cannot be unpacked into a temporary file")]
    Unpack(#[source] std::io::Error),
    /// Unpacking onto a disk.
    #[error("what it would write cannot be unpacked into a temporary file")]
    Flash(#[source] FlashError),
    /// Another program than the image's.
    #[error(
        "its program is not the image's own with an order and a package added: what installs is not what is installed"
    )]
    OtherProgram,
}

/// A medium, unpacked.
pub(super) struct Unpacked {
    /// What firmware starts.
    pub(super) program: Vec<u8>,
    order: Order,
    package_bytes: usize,
    /// The disk that it would write, and its bytes.
    pub(super) disk: File,
    pub(super) bytes: u64,
}

/// What is on the medium in `file`, of `length` bytes; `None` when it is no installer's.
pub(super) fn read(file: &File, length: u64) -> Result<Option<Found>, VerifyError> {
    let Some(unpacked) = unpack(file, length)? else {
        return Ok(None);
    };
    let mut found = read_disk(&unpacked.disk, unpacked.bytes)?;
    let program = Program::parse(&unpacked.program).map_err(VerifyError::Uki)?;
    let unsigned_digest = program.authenticode();
    let own = extended(&unpacked, &program)?;
    if Program::parse(&own).map_err(VerifyError::Uki)?.authenticode() != unsigned_digest {
        return Err(MediumError::OtherProgram.into());
    }
    found.installer = Some(FoundInstaller {
        bytes: unpacked.program.len(),
        sha256: Sha256::of(&unpacked.program).to_string(),
        unsigned_digest: unsigned_digest.to_string(),
        signed_by: signed_by(&program),
        unattended: unpacked.order.unattended,
        replace: unpacked.order.replace,
        package: unpacked.order.package.to_string(),
        package_bytes: unpacked.package_bytes,
    });
    Ok(Some(found))
}

/// Unpacks the medium in `file`, of `length` bytes; `None` when it is no installer's.
pub(super) fn unpack(file: &File, length: u64) -> Result<Option<Unpacked>, VerifyError> {
    let Some(partition) = medium::find(file, length).map_err(VerifyError::Disk)? else {
        return Ok(None);
    };
    let expected = partition.offset().saturating_add(partition.length());
    if length < expected {
        return Err(MediumError::Truncated {
            found: length,
            expected,
        }
        .into());
    }
    let window = Window::of(file, &partition, medium::NAME);
    let program = file_of(&window, LOADER)?;
    let made = Medium::new(&program).map_err(MediumError::Volume)?;
    compare(&window, made.volume())?;
    let parsed = Program::parse(&program).map_err(VerifyError::Uki)?;
    parsed.check().map_err(VerifyError::Uki)?;
    let initramfs = parsed.required(".initrd").map_err(VerifyError::Uki)?;
    let archives = cpio::read(initramfs).map_err(VerifyError::Initramfs)?;
    let in_it = |path: &'static str| {
        content(&archives, path.trim_start_matches('/')).ok_or(MediumError::Absent(path))
    };
    let order = Order::parse(in_it(paths::INSTALLER)?).map_err(MediumError::Order)?;
    let package = in_it(paths::PACKAGE)?;
    let bytes = Table::fresh_disk_bytes();
    let disk = written(&order, package, bytes)?;
    let package_bytes = package.len();
    Ok(Some(Unpacked {
        order,
        package_bytes,
        disk,
        bytes,
        program,
    }))
}

/// A file that is the disk of `bytes` bytes that an installer with this order and package would write.
fn written(order: &Order, package: &[u8], bytes: u64) -> Result<File, MediumError> {
    let mut file = tempfile::NamedTempFile::new().map_err(MediumError::Unpack)?;
    file.write_all(package).map_err(MediumError::Unpack)?;
    let package = Package::open(file.path(), order, &|| ()).map_err(MediumError::Package)?;
    let disk = tempfile::tempfile().map_err(MediumError::Unpack)?;
    disk.set_len(bytes).map_err(MediumError::Unpack)?;
    let plan = Plan::new(package, bytes);
    plan.write(&disk, "", &|_, _| ()).map_err(MediumError::Flash)?;
    plan.finish(&disk).map_err(MediumError::Flash)?;
    Ok(disk)
}

/// The image's own program with what the installer's has more.
fn extended(unpacked: &Unpacked, program: &Program<'_>) -> Result<Vec<u8>, VerifyError> {
    let slot = Place::SlotA;
    let table = Table::read(&unpacked.disk, unpacked.bytes).map_err(VerifyError::Disk)?;
    let own = file_of(
        &Window::of(&unpacked.disk, table.partition(slot), slot.name()),
        UKI,
    )?;
    let parsed = Program::parse(&own).map_err(VerifyError::Uki)?;
    let of = |program: &Program<'_>| program.required(".initrd").map(<[u8]>::to_vec);
    let (own_files, all_files) = (
        of(&parsed).map_err(VerifyError::Uki)?,
        of(program).map_err(VerifyError::Uki)?,
    );
    let more = all_files
        .strip_prefix(own_files.as_slice())
        .ok_or(MediumError::OtherProgram)?;
    uki::extended(&own, install::WORD, more).map_err(VerifyError::Uki)
}
