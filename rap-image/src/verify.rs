//! Reading an image again: a disk image or a UKI, down to the last file, holding everything against the rules it was
//! made by.
//!
//! Independent of the writer where that is cheap: the file systems are read by another FAT implementation, and then
//! held against the function that makes them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rap_core::boot::disk::{self, DiskError, Partition, Table};
use rap_core::boot::environment::{Environment, EnvironmentError};
use rap_core::boot::fat::Volume;
use rap_core::boot::slot::{Label, SlotError, slot_image};
use rap_core::build_info::BuildInfo;
use rap_core::flash::mark;

use crate::auditable::{AuditableError, Inventory, compilers};
use crate::cpio::{self, CpioError};
use crate::elf;
use crate::image::{CONTENTS, CORE, Contents};
use crate::payload::{Entry, Kind};
use crate::signing::{CheckError, check, signed_by};
use crate::uki::{Program, UkiError};
use rap_core::digest::Sha256;

mod found;
mod installer;
mod volume;

pub use found::{
    Found, FoundInstaller, FoundLoader, FoundPart, FoundPartition, FoundProgram, FoundRoot, FoundSlot,
    FoundUki,
};

pub use installer::MediumError;

#[doc(hidden)]
pub use volume::file_in_partition;
use volume::{Window, file_of};

/// The loader, on its partition.
const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// The UKI, in its slot.
const UKI: &str = "RAP.EFI";
/// The TUF root whose updates the image takes.
const UPDATE_ROOT: &str = "etc/rap/update-root.json";
/// Where our programs are.
const PROGRAMS: &str = "usr/bin/";

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// Neither of the two.
    #[error("{0} is neither a disk image nor a unified kernel image")]
    Neither(PathBuf),
    /// A device that was not flashed to the end.
    #[error("the flash of {0} was interrupted: nothing on it boots; flash it again")]
    Interrupted(PathBuf),
    /// It was cut off.
    #[error("the disk image has {found} bytes, its partitions reach to {expected}: it was cut off")]
    Truncated {
        /// Bytes it has.
        found: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// An installer's medium.
    #[error("the installer's medium is not as it should be")]
    Medium(#[from] MediumError),
    /// Its partitions.
    #[error("the partitions are not what they should be")]
    Disk(#[source] DiskError),
    /// A file system.
    #[error("cannot read `{file}` from partition `{partition}`")]
    FileSystem {
        /// The partition.
        partition: &'static str,
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file system differs from the function that makes it.
    #[error(
        "partition `{partition}` differs at byte {offset} from what its files make: it was damaged or written by others"
    )]
    Differs {
        /// The partition.
        partition: &'static str,
        /// The first extent that differs, in bytes from the partition's beginning.
        offset: u64,
    },
    /// A slot's environment.
    #[error("the environment of partition `{0}` is not valid")]
    Environment(&'static str, #[source] EnvironmentError),
    /// A slot.
    #[error("partition `{0}` cannot be a slot")]
    Slot(&'static str, #[source] SlotError),
    /// The UKI.
    #[error("the unified kernel image is damaged")]
    Uki(#[source] UkiError),
    /// The initramfs.
    #[error("the initramfs is damaged")]
    Initramfs(#[source] CpioError),
    /// A file that every image has.
    #[error("`{0}` is not in the image: it was not made by this builder or is damaged")]
    Absent(&'static str),
    /// The sentinel is not at the end.
    #[error("the initramfs does not end with the sentinel `{0}`: files are missing")]
    Sentinel(&'static str),
    /// What the image says of itself cannot be read.
    #[error("`{0}` in the image cannot be read")]
    Json(&'static str, #[source] serde_json::Error),
    /// A program of ours.
    #[error("/{0} in the image is damaged")]
    Program(String, #[source] AuditableError),
    /// A program's signature.
    #[error("`{program}` would not be started by firmware that has this key alone")]
    Signature {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: CheckError,
    },
    /// Archives and the list of parts do not agree.
    #[error("the initramfs has {found} archives, the image's own list names {listed}")]
    Parts {
        /// Archives there are.
        found: usize,
        /// Parts listed.
        listed: usize,
    },
}

/// Reads an image.
///
/// # Errors
/// What is wrong with it first.
pub fn read(path: &Path) -> Result<Found, VerifyError> {
    let failed = |error| VerifyError::Read(path.to_owned(), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut head = [0; 520];
    let length = length_of(&file).map_err(failed)?;
    let has_head = length >= 520 && file.read_exact(&mut head).is_ok();
    if has_head && head.starts_with(b"MZ") {
        let bytes = std::fs::read(path).map_err(failed)?;
        return Ok(Found {
            installer: None,
            partitions: Vec::new(),
            loader: None,
            slots: Vec::new(),
            uki: read_uki(&bytes)?,
        });
    }
    if has_head && head[510..512] == [0x55, 0xaa] {
        if let Some(found) = installer::read(&file, length)? {
            return Ok(found);
        }
        return read_disk(&file, length);
    }
    if length >= 1024 && mark::find(&file).ok().flatten().is_some() {
        return Err(VerifyError::Interrupted(path.to_owned()));
    }
    Err(VerifyError::Neither(path.to_owned()))
}

/// Holds the signature of every program that firmware starts from the image at `path`, which [`read`] found sound,
/// against `certificate` (DER).
///
/// # Errors
/// The first that is not signed by its key.
pub fn check_signatures(path: &Path, certificate: &[u8]) -> Result<(), VerifyError> {
    let failed = |error| VerifyError::Read(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let length = length_of(&file).map_err(failed)?;
    let programs = match (installer::unpack(&file, length)?, Table::read(&file, length)) {
        (Some(medium), _) => {
            let table = Table::read(&medium.disk, medium.bytes).map_err(VerifyError::Disk)?;
            let mut programs = programs_of(&medium.disk, &table)?;
            programs.push(("the installer's BOOTX64.EFI", medium.program));
            programs
        }
        (None, Ok(table)) => programs_of(&file, &table)?,
        (None, Err(_)) => vec![("rap.efi", std::fs::read(path).map_err(failed)?)],
    };
    // A vacant slot's is empty.
    for (program, bytes) in programs.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let parsed = Program::parse(bytes).map_err(VerifyError::Uki)?;
        check(&parsed, certificate).map_err(|source| VerifyError::Signature { program, source })?;
    }
    Ok(())
}

/// What firmware starts from a disk.
fn programs_of(file: &File, table: &Table) -> Result<Vec<(&'static str, Vec<u8>)>, VerifyError> {
    let of =
        |place: disk::Place, name| file_of(&Window::of(file, table.partition(place), place.name()), name);
    Ok(vec![
        ("BOOTX64.EFI", of(disk::Place::Esp, LOADER)?),
        ("RAP.EFI", of(Label::A.place(), UKI)?),
        ("RAP.EFI", of(Label::B.place(), UKI)?),
    ])
}

/// `RAP.EFI` in the first slot of the fresh disk image at `path`.
///
/// # Errors
/// When it is not to be had.
pub fn first_uki(path: &Path) -> Result<Vec<u8>, VerifyError> {
    let failed = |error| VerifyError::Read(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let length = length_of(&file).map_err(failed)?;
    let table = Table::read(&file, length).map_err(VerifyError::Disk)?;
    let place = Label::A.place();
    file_of(&Window::of(&file, table.partition(place), place.name()), UKI)
}

/// Of a device too, whose metadata says nothing.
fn length_of(mut file: &File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    Ok(length)
}

fn read_disk(file: &File, length: u64) -> Result<Found, VerifyError> {
    let expected = Table::fresh_disk_bytes();
    if length < expected {
        return Err(VerifyError::Truncated {
            found: length,
            expected,
        });
    }
    let table = Table::read(file, length).map_err(VerifyError::Disk)?;
    let window = |place: disk::Place| Window::of(file, table.partition(place), place.name());
    let esp = window(disk::Place::Esp);
    let loader = file_of(&esp, LOADER)?;
    let found_loader = found_loader(&loader)?;
    compare(&esp, &disk::esp(&loader).map_err(VerifyError::Disk)?)?;

    let mut slots = Vec::new();
    let mut newest: Option<(u32, Vec<u8>)> = None;
    for label in [Label::A, Label::B] {
        let window = window(label.place());
        let (environment, uki) = read_slot(&window, label)?;
        slots.push(FoundSlot {
            label: label.text(),
            state: format!("{:?}", environment.state).to_lowercase(),
            revision: environment.revision,
            watchdog_seconds: environment.watchdog_seconds,
            kernel_file: environment.kernel_file,
            uki_bytes: uki.len(),
        });
        if newest
            .as_ref()
            .is_none_or(|(revision, _)| environment.revision > *revision)
        {
            newest = Some((environment.revision, uki));
        }
    }
    let uki = newest.map(|(_, uki)| uki).unwrap_or_default();
    let partitions = disk::Place::ALL
        .map(|place| found_partition(table.partition(place)))
        .into();
    Ok(Found {
        installer: None,
        partitions,
        loader: Some(found_loader),
        slots,
        uki: read_uki(&uki)?,
    })
}

fn found_loader(loader: &[u8]) -> Result<FoundLoader, VerifyError> {
    let program = Program::parse(loader).map_err(VerifyError::Uki)?;
    Ok(FoundLoader {
        bytes: loader.len(),
        sha256: Sha256::of(loader).to_string(),
        unsigned_digest: program.authenticode().to_string(),
        signed_by: signed_by(&program),
    })
}

fn read_slot(window: &Window<'_>, label: Label) -> Result<(Environment, Vec<u8>), VerifyError> {
    let partition = window.partition;
    let environment = Environment::decode(&file_of(window, "BGENV.DAT")?)
        .map_err(|source| VerifyError::Environment(partition, source))?;
    let uki = file_of(window, UKI)?;
    let wanted =
        slot_image(&uki, label, &environment).map_err(|source| VerifyError::Slot(partition, source))?;
    compare(window, &wanted)?;
    Ok((environment, uki))
}

fn compare(window: &Window<'_>, wanted: &Volume<'_>) -> Result<(), VerifyError> {
    for extent in &wanted.extents {
        if window.bytes(extent.offset, extent.bytes.len())? != *extent.bytes {
            return Err(VerifyError::Differs {
                partition: window.partition,
                offset: extent.offset,
            });
        }
    }
    Ok(())
}

fn found_partition(partition: &Partition) -> FoundPartition {
    FoundPartition {
        name: partition.name.clone(),
        guid: partition.guid.to_string(),
        offset: partition.offset(),
        bytes: partition.length(),
    }
}

/// Reads a UKI.
///
/// # Errors
/// What is wrong with it first.
pub fn read_uki(bytes: &[u8]) -> Result<FoundUki, VerifyError> {
    let program = Program::parse(bytes).map_err(VerifyError::Uki)?;
    program.check().map_err(VerifyError::Uki)?;
    let required = |name| program.required(name).map_err(VerifyError::Uki);
    let text = |name| required(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    required(".linux")?;
    let archives = cpio::read(required(".initrd")?).map_err(VerifyError::Initramfs)?;
    let sentinel = rap_core::paths::SENTINEL;
    let last = archives.last().and_then(|archive| archive.last());
    if last.is_none_or(|entry| entry.path != sentinel.trim_start_matches('/')) {
        return Err(VerifyError::Sentinel(sentinel));
    }
    let contents: Contents = json(&archives, CONTENTS)?;
    let info: BuildInfo = json(&archives, "etc/rap/build.json")?;
    if contents.parts.len() != archives.len() {
        return Err(VerifyError::Parts {
            found: archives.len(),
            listed: contents.parts.len(),
        });
    }
    let programs = programs(&contents.parts, &archives)?;
    let update_root = match content(&archives, UPDATE_ROOT) {
        Some(_) => Some(json(&archives, UPDATE_ROOT)?),
        None => None,
    };
    Ok(FoundUki {
        bytes: bytes.len(),
        sha256: Sha256::of(bytes).to_string(),
        unsigned_digest: program.authenticode().to_string(),
        signed_by: signed_by(&program),
        sections: program
            .sections
            .iter()
            .map(|section| (section.name.clone(), section.virtual_size))
            .collect(),
        command_line: text(".cmdline")?,
        kernel_version: text(".uname")?,
        info,
        parts: contents
            .parts
            .into_iter()
            .zip(&archives)
            .map(|(owner, entries)| found_part(owner, entries))
            .collect(),
        packages: contents.packages,
        programs,
        update_root,
    })
}

/// Our own programs, each with the crates it says it is made of.
fn programs(owners: &[String], archives: &[Vec<Entry>]) -> Result<Vec<FoundProgram>, VerifyError> {
    let ours = owners.iter().zip(archives).filter(|(owner, _)| *owner == CORE);
    let files = ours
        .flat_map(|(_, entries)| entries)
        .filter_map(|entry| match &entry.kind {
            Kind::File(content) if entry.path.starts_with(PROGRAMS) => Some((&entry.path, content)),
            _ => None,
        });
    files
        .map(|(path, content)| {
            let failed = |source| VerifyError::Program(path.clone(), source);
            // What the builder's own tests put there is no program.
            let is_program = elf::is_elf(content);
            Ok(FoundProgram {
                path: path.clone(),
                bytes: content.len(),
                sha256: Sha256::of(content).to_string(),
                compilers: if is_program {
                    compilers(content).map_err(failed)?
                } else {
                    Vec::new()
                },
                crates: if is_program {
                    Inventory::of_program(content).map_err(failed)?
                } else {
                    None
                },
            })
        })
        .collect()
}

fn json<T: serde::de::DeserializeOwned>(
    archives: &[Vec<Entry>],
    path: &'static str,
) -> Result<T, VerifyError> {
    let content = content(archives, path).ok_or(VerifyError::Absent(path))?;
    serde_json::from_slice(content).map_err(|error| VerifyError::Json(path, error))
}

fn content<'a>(archives: &'a [Vec<Entry>], path: &str) -> Option<&'a [u8]> {
    let entry = archives.iter().flatten().find(|entry| entry.path == path);
    match entry.map(|entry| &entry.kind) {
        Some(Kind::File(content)) => Some(content),
        _ => None,
    }
}

fn found_part(owner: String, entries: &[Entry]) -> FoundPart {
    let size = |entry: &Entry| match &entry.kind {
        Kind::File(content) => content.len(),
        Kind::Directory | Kind::Link(_) => 0,
    };
    FoundPart {
        owner,
        bytes: entries.iter().map(size).sum(),
        paths: entries.iter().map(|entry| entry.path.clone()).collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
