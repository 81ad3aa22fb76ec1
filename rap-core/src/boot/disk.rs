//! The disk: its partitions, their fixed identifiers, and how the box finds, grows and marks them.
//!
//! ```text
//! 1  rap-esp         64 MiB   FAT32: the loader
//! 2  rap-a          256 MiB   slot
//! 3  rap-b          256 MiB   slot
//! 4  rap-provision    4 MiB   a tar archive, or zeros
//! 5  rap-data        the rest
//! ```
//!
//! Partitions begin at multiples of 1 MiB, the first at 1 MiB. Identifiers are constants: a box has one such disk.
//! The slots are of the *basic data* kind, not EFI system partitions, for which firmware makes boot entries of its
//! own. Whether the data partition's file system was made is bit 48 of its attributes ([`FILE_SYSTEM_MADE`]).
//!
//! A table is changed in an order that survives a power cut after any sector: the backup first, then, once that is on the
//! medium, the primary; reading takes the primary if it is sound, else the backup in the disk's last sector.

use std::io;
use std::os::unix::fs::FileExt;

use uuid::{Uuid, uuid};

use super::fat::Volume;
pub use super::gpt::Partition;
use super::gpt::{self, Copy, ENTRY_BYTES, Header};
use super::{SECTOR, fat};

const MIB: u64 = 1 << 20;
/// Bytes of the EFI system partition.
pub const ESP_BYTES: u64 = 64 * MIB;
/// Bytes of each slot.
pub const SLOT_BYTES: u64 = 256 * MIB;
/// Bytes of the provision partition.
pub const PROVISION_BYTES: u64 = 4 * MIB;
/// Bytes of the data partition in a fresh image; the box grows it to the disk's end.
pub const FRESH_DATA_BYTES: u64 = 256 * MIB;
/// The attribute bit of the data partition that says its file system was made.
pub const FILE_SYSTEM_MADE: u64 = 1 << 48;
/// How often [`Table::write`] waits for the disk; for the tests that leave out each time.
#[cfg(test)]
pub(crate) const WRITE_FLUSHES: u64 = 2;

const DISK: Uuid = uuid!("8d0f5f1e-6c3b-4d6a-9a2e-52415000d15c");
pub(super) const KIND_ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const KIND_BASIC_DATA: Uuid = uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
const KIND_LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
const ESP_SERIAL: u32 = 0x5241_5000;
/// What firmware starts by itself from an EFI system partition (UEFI 2.10 §3.5.1.1).
pub(super) const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

/// The partitions, in the order of their numbers.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The loader's file system.
    Esp,
    /// Slot A.
    SlotA,
    /// Slot B.
    SlotB,
    /// What the box is given before its first boot.
    Provision,
    /// What the box keeps.
    Data,
}

impl Place {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [Self::Esp, Self::SlotA, Self::SlotB, Self::Provision, Self::Data];

    /// Its number in the table, from 1, as in `/dev/sda1`.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["rap-esp", "rap-a", "rap-b", "rap-provision", "rap-data"][self as usize]
    }

    /// Its identifier: `PARTUUID`.
    #[must_use]
    pub fn guid(self) -> Uuid {
        [
            uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000001"),
            uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000002"),
            uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000003"),
            uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000004"),
            uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000005"),
        ][self as usize]
    }

    fn kind(self) -> Uuid {
        match self {
            Self::Esp => KIND_ESP,
            Self::SlotA | Self::SlotB => KIND_BASIC_DATA,
            Self::Provision | Self::Data => KIND_LINUX,
        }
    }

    fn fresh_bytes(self) -> u64 {
        [
            ESP_BYTES,
            SLOT_BYTES,
            SLOT_BYTES,
            PROVISION_BYTES,
            FRESH_DATA_BYTES,
        ][self as usize]
    }
}

/// What is wrong with a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Reading or writing it failed.
    #[error("cannot {action} {bytes} bytes at {offset} of the disk")]
    Io {
        /// `read` or `write`, or `flush`.
        action: &'static str,
        /// Where.
        offset: u64,
        /// How much.
        bytes: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither partition table is sound.
    #[error("neither the partition table at the disk's beginning nor its copy at the end is sound")]
    NoTable,
    /// A partition is missing or not where its number says.
    #[error("partition {number} is not `{name}`: this disk was not made by rap-image")]
    NotOurs {
        /// Its number.
        number: usize,
        /// The name it should have.
        name: &'static str,
    },
    /// The disk ends before its partitions do.
    #[error("the disk has {found} bytes, its partitions need {needed}")]
    TooSmall {
        /// Bytes of the disk.
        found: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The loader's file system could not be composed.
    #[error("cannot compose the loader's file system")]
    Loader(#[source] fat::FatError),
}

/// The partitions of one of our disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    partitions: Vec<Partition>,
}

impl Table {
    /// The table of a fresh image.
    #[must_use]
    pub fn fresh() -> Self {
        let mut next = MIB / SECTOR;
        let partitions = Place::ALL.map(|place| {
            let first = next;
            next += place.fresh_bytes() / SECTOR;
            let name = place.name().to_owned();
            Partition {
                kind: place.kind(),
                guid: place.guid(),
                first,
                last: next - 1,
                attributes: 0,
                name,
            }
        });
        Self {
            partitions: partitions.into(),
        }
    }

    /// The bytes of a fresh image: the partitions and 1 MiB after them.
    #[must_use]
    pub fn fresh_disk_bytes() -> u64 {
        let data = &Self::fresh().partitions[4];
        data.offset() + data.length() + MIB
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, place: Place) -> &Partition {
        &self.partitions[place as usize]
    }

    /// Whether the data partition's file system was made.
    #[must_use]
    pub fn file_system_made(&self) -> bool {
        self.partition(Place::Data).attributes & FILE_SYSTEM_MADE != 0
    }

    /// Reads the table of a disk of `bytes` bytes. Writes nothing.
    ///
    /// # Errors
    /// When reading fails, no table is sound, or the partitions are not ours.
    pub fn read(disk: &impl Disk, bytes: u64) -> Result<Self, DiskError> {
        let last = (bytes / SECTOR)
            .checked_sub(1)
            .filter(|&last| last > 1)
            .ok_or(DiskError::NoTable)?;
        let (_, partitions) = match read_copy(disk, 1)? {
            Some(found) => found,
            None => read_copy(disk, last)?.ok_or(DiskError::NoTable)?,
        };
        let is_foreign = |place: &Place| {
            partitions
                .get(*place as usize)
                .is_none_or(|found| found.guid != place.guid())
        };
        match Place::ALL.into_iter().find(is_foreign) {
            Some(place) => Err(DiskError::NotOurs {
                number: place.number(),
                name: place.name(),
            }),
            None => Ok(Self { partitions }),
        }
    }

    /// This table with the data partition reaching to the last whole MiB of a disk of `bytes` bytes. A disk that is
    /// too small leaves it as it is.
    #[must_use]
    pub fn grown(&self, bytes: u64) -> Self {
        let end = (bytes / MIB).saturating_sub(1) * MIB / SECTOR;
        let mut grown = self.clone();
        let data = &mut grown.partitions[Place::Data as usize];
        data.last = data.last.max(end.saturating_sub(1));
        grown
    }

    /// This table, saying that the data partition's file system was made.
    #[must_use]
    pub fn with_file_system_made(&self) -> Self {
        let mut made = self.clone();
        made.partitions[Place::Data as usize].attributes |= FILE_SYSTEM_MADE;
        made
    }

    /// Writes this table to a disk of `bytes` bytes, in the order that survives a power cut, and flushes. Idempotent.
    ///
    /// # Errors
    /// When the disk is too small or writing fails.
    pub fn write(&self, disk: &impl Disk, bytes: u64) -> Result<(), DiskError> {
        write_table(disk, DISK, &self.partitions, bytes)
    }
}

/// Writes a table of `partitions` to a disk of `bytes` bytes, in the order that survives a power cut, and flushes.
pub(super) fn write_table(
    disk: &impl Disk,
    guid: Uuid,
    partitions: &[Partition],
    bytes: u64,
) -> Result<(), DiskError> {
    let sectors = bytes / SECTOR;
    let last = partitions
        .iter()
        .map(|partition| partition.last)
        .max()
        .unwrap_or(0);
    let needed = last + 1 + gpt::ENTRY_SECTORS + 1;
    if sectors < needed {
        return Err(DiskError::TooSmall {
            found: bytes,
            needed: needed * SECTOR,
        });
    }
    let entries = gpt::encode_entries(partitions);
    let header = |copy| Header::of(copy, sectors, guid, &entries);
    let backup = header(Copy::Backup);
    disk.write_at(&gpt::protective_sector(sectors), 0)?;
    disk.write_at(&entries, backup.entries * SECTOR)?;
    disk.write_at(&backup.encode(), backup.own * SECTOR)?;
    disk.flush()?;
    let primary = header(Copy::Primary);
    // In whichever order these arrive: a header that does not fit its entries does not count.
    disk.write_at(&entries, primary.entries * SECTOR)?;
    disk.write_at(&primary.encode(), primary.own * SECTOR)?;
    disk.flush()
}

/// Grows the data partition to the end of a disk of `bytes` bytes, moves the backup table there and repairs whichever
/// of the two a power cut left damaged. Writes nothing when everything is already so. Returns the table in force.
///
/// # Errors
/// As [`Table::read`] and [`Table::write`].
pub fn grow(disk: &impl Disk, bytes: u64) -> Result<Table, DiskError> {
    let before = Table::read(disk, bytes)?;
    let after = before.grown(bytes);
    let last = bytes / SECTOR - 1;
    let in_force = |own: u64, other: u64| -> Result<bool, DiskError> {
        Ok(read_copy(disk, own)?
            .is_some_and(|(header, partitions)| header.other == other && partitions == after.partitions))
    };
    if !(in_force(1, last)? && in_force(last, 1)?) {
        after.write(disk, bytes)?;
    }
    Ok(after)
}

/// Sets the attribute that says the data partition's file system was made. Call it after the file system was flushed.
///
/// # Errors
/// As [`Table::read`] and [`Table::write`].
pub fn mark_file_system_made(disk: &impl Disk, bytes: u64) -> Result<Table, DiskError> {
    let made = Table::read(disk, bytes)?.with_file_system_made();
    made.write(disk, bytes)?;
    Ok(made)
}

/// The EFI system partition with `loader` as the program that firmware starts by itself.
///
/// # Errors
/// When the loader does not fit.
pub fn esp(loader: &[u8]) -> Result<Volume<'_>, DiskError> {
    let file = fat::File {
        path: LOADER,
        content: loader.into(),
    };
    fat::compose(ESP_BYTES, ESP_SERIAL, vec![file]).map_err(DiskError::Loader)
}

/// Writes a fresh image's table and volumes into an empty, sparse `disk`: zeros are left out.
///
/// # Errors
/// When writing fails.
pub fn write_fresh(disk: &impl Disk, volumes: &[(Place, &Volume<'_>)]) -> Result<(), DiskError> {
    let table = Table::fresh();
    for (place, volume) in volumes {
        let start = table.partition(*place).offset();
        for extent in &volume.extents {
            write_sparsely(disk, &extent.bytes, start + extent.offset)?;
        }
    }
    table.write(disk, Table::fresh_disk_bytes())
}

pub(super) fn write_sparsely(disk: &impl Disk, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
    const BLOCK: usize = 64 << 10;
    let mut at = offset;
    for block in bytes.chunks(BLOCK) {
        if block.iter().any(|&byte| byte != 0) {
            disk.write_at(block, at)?;
        }
        at += u64::try_from(block.len()).unwrap_or(0);
    }
    Ok(())
}

pub(super) fn read_copy(disk: &impl Disk, own: u64) -> Result<Option<(Header, Vec<Partition>)>, DiskError> {
    let mut sector = [0; 512];
    disk.read_at(&mut sector, own * SECTOR)?;
    let Some(header) = Header::decode(&sector, own) else {
        return Ok(None);
    };
    let expected = if own == 1 {
        gpt::PRIMARY_ENTRIES
    } else {
        own - gpt::ENTRY_SECTORS
    };
    if header.entries != expected {
        return Ok(None);
    }
    let mut entries = vec![0; ENTRY_BYTES];
    disk.read_at(&mut entries, header.entries * SECTOR)?;
    Ok(header.partitions(&entries).map(|partitions| (header, partitions)))
}

/// What is read and written at offsets: a block device, an image file, or a test's disk that loses power.
pub trait Disk {
    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError>;

    /// Writes all `bytes` at `offset`.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;

    /// Returns when everything written is on the medium.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn flush(&self) -> Result<(), DiskError>;
}

impl Disk for std::fs::File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let length = bytes.len();
        self.read_exact_at(bytes, offset).map_err(|source| DiskError::Io {
            action: "read",
            offset,
            bytes: length,
            source,
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write_all_at(bytes, offset).map_err(|source| DiskError::Io {
            action: "write",
            offset,
            bytes: bytes.len(),
            source,
        })
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.sync_data().map_err(|source| DiskError::Io {
            action: "flush",
            offset: 0,
            bytes: 0,
            source,
        })
    }
}

#[cfg(test)]
mod tests;
