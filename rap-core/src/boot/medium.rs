//! The installer's medium: one EFI system partition with one program in it, which firmware starts by itself.
//!
//! Nothing on it may be taken for the appliance's: its identifiers and names are others, and there is no `EFILABEL` and no
//! `BGENV.DAT`, by which Boot Guard finds a slot on whatever disk it is.
//!
//! ```text
//! 1 MiB  rap-installer   FAT32: \EFI\BOOT\BOOTX64.EFI, as long as that needs
//! ```

use uuid::{Uuid, uuid};

use super::SECTOR;
use super::disk::{Disk, DiskError, KIND_ESP, LOADER, read_copy, write_sparsely, write_table};
use super::fat::{self, FatError, Volume};
use super::gpt::Partition;

const MIB: u64 = 1 << 20;
const DISK: Uuid = uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150001457");
const PARTITION: Uuid = uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000011");
const SERIAL: u32 = 0x5241_5010;
/// What the file system needs besides the program: two allocation tables, of 4 bytes a cluster of 512 bytes or more.
const OVERHEAD: u64 = 8 * MIB;
/// Below this every driver takes a file system for FAT16.
const FEWEST: u64 = 64 * MIB;

/// The partition's name, by which the installer knows its own medium.
pub const NAME: &str = "rap-installer";

/// A medium that is made.
#[derive(Debug)]
pub struct Medium<'a> {
    volume: Volume<'a>,
    partition: Partition,
}

impl<'a> Medium<'a> {
    /// With `program` as what firmware starts.
    ///
    /// # Errors
    /// When the program is larger than a FAT32 file can be.
    pub fn new(program: &'a [u8]) -> Result<Self, FatError> {
        let needed = program.len() as u64 + program.len() as u64 / 64 + OVERHEAD;
        let bytes = needed.max(FEWEST).next_multiple_of(MIB);
        let file = fat::File {
            path: LOADER,
            content: program.into(),
        };
        Ok(Self {
            volume: fat::compose(bytes, SERIAL, vec![file])?,
            partition: Partition {
                kind: KIND_ESP,
                guid: PARTITION,
                first: MIB / SECTOR,
                last: (MIB + bytes) / SECTOR - 1,
                attributes: 0,
                name: NAME.to_owned(),
            },
        })
    }

    /// Bytes of the whole medium.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.partition.offset() + self.partition.length() + MIB
    }

    /// Its partition's file system.
    #[must_use]
    pub fn volume(&self) -> &Volume<'a> {
        &self.volume
    }

    /// Writes it into an empty, sparse `disk`: zeros are left out.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&self, disk: &impl Disk) -> Result<(), DiskError> {
        for extent in &self.volume.extents {
            write_sparsely(disk, &extent.bytes, self.partition.offset() + extent.offset)?;
        }
        write_table(disk, DISK, std::slice::from_ref(&self.partition), self.bytes())
    }
}

/// The medium's partition on a disk of `bytes` bytes; `None` when the disk is none.
///
/// # Errors
/// When the disk cannot be read.
pub fn find(disk: &impl Disk, bytes: u64) -> Result<Option<Partition>, DiskError> {
    // Whole media are longer, and what was cut off still has the first copy.
    if bytes < MIB {
        return Ok(None);
    }
    let found = read_copy(disk, 1)?.map(|(_, partitions)| partitions);
    let first = found.into_iter().flatten().next();
    Ok(first.filter(|partition| partition.guid == PARTITION && partition.first <= partition.last))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, SeekFrom};

    use crate::boot::disk::Table;

    use super::*;

    #[test]
    fn others_read_it_and_it_is_not_taken_for_the_appliance() {
        let program: Vec<u8> = (0..3_000_001_u32).map(|n| n.to_le_bytes()[1]).collect();
        let medium = Medium::new(&program).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(medium.bytes()).unwrap();
        medium.write(&file).unwrap();
        assert!(matches!(
            Table::read(&file, medium.bytes()),
            Err(DiskError::NotOurs { number: 1, .. })
        ));
        assert_eq!(
            find(&file, medium.bytes()).unwrap(),
            Some(medium.partition.clone())
        );
        assert_eq!(find(&file, MIB - 1).unwrap(), None);
        let disk = gpt::GptConfig::new()
            .writable(false)
            .open_from_device(Box::new(file.try_clone().unwrap()))
            .unwrap();
        assert_eq!(disk.partitions().len(), 1);
        assert_eq!(disk.partitions()[&1].name, NAME);

        file.seek(SeekFrom::Start(medium.partition.offset())).unwrap();
        let mut partition = vec![0; usize::try_from(medium.partition.length()).unwrap()];
        file.read_exact(&mut partition).unwrap();
        let system =
            fatfs::FileSystem::new(std::io::Cursor::new(partition), fatfs::FsOptions::new()).unwrap();
        let mut found = Vec::new();
        let root = system.root_dir();
        root.open_file(LOADER).unwrap().read_to_end(&mut found).unwrap();
        assert!(found == program);
        let names: Vec<String> = root.iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["EFI"]);
    }
}
