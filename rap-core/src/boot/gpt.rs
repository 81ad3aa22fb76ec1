//! The bytes of a GUID partition table: pure encoding and decoding of headers and entries (UEFI 2.10 §5.3).
//!
//! Written here and not by a crate, because the order of the writes matters to us: growing must survive a power cut
//! after every sector. The table has 128 entries of 128 bytes: 32 sectors after the header, and 32 before the copy
//! of the header in the disk's last sector.

use crc::{CRC_32_ISO_HDLC, Crc};
use uuid::Uuid;

use super::SECTOR;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Entries in a table.
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Sectors of the entries.
pub(super) const ENTRY_SECTORS: u64 = 32;
/// First sector of the primary table's entries.
pub(super) const PRIMARY_ENTRIES: u64 = 2;
/// Bytes of the entries.
pub(super) const ENTRY_BYTES: usize = ENTRIES * ENTRY;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Uuid,
    /// Itself: `PARTUUID`.
    pub guid: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector, inclusive.
    pub last: u64,
    /// Attribute bits; 48 to 63 belong to the partition's kind.
    pub attributes: u64,
    /// Its name.
    pub name: String,
}

impl Partition {
    /// Where it begins, in bytes from the disk's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.first * SECTOR
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        (self.last + 1 - self.first) * SECTOR
    }
}

/// What one header says, besides the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) own: u64,
    pub(super) other: u64,
    pub(super) entries: u64,
    pub(super) first_usable: u64,
    pub(super) last_usable: u64,
    pub(super) disk: Uuid,
    entries_checksum: u32,
}

/// Which of the two headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    Primary,
    Backup,
}

impl Header {
    /// The header of a disk of `sectors` sectors.
    pub(super) fn of(copy: Copy, sectors: u64, disk: Uuid, entries: &[u8]) -> Self {
        let last = sectors - 1;
        let (own, other, at) = match copy {
            Copy::Primary => (1, last, PRIMARY_ENTRIES),
            Copy::Backup => (last, 1, last - ENTRY_SECTORS),
        };
        let first_usable = PRIMARY_ENTRIES + ENTRY_SECTORS;
        let last_usable = last - ENTRY_SECTORS - 1;
        let entries_checksum = CRC.checksum(entries);
        Self {
            own,
            other,
            entries: at,
            first_usable,
            last_usable,
            disk,
            entries_checksum,
        }
    }

    /// The header's sector.
    pub(super) fn encode(&self) -> [u8; 512] {
        let mut sector = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"EFI PART");
        put(8, &0x0001_0000_u32.to_le_bytes());
        put(12, &92_u32.to_le_bytes());
        put(24, &self.own.to_le_bytes());
        put(32, &self.other.to_le_bytes());
        put(40, &self.first_usable.to_le_bytes());
        put(48, &self.last_usable.to_le_bytes());
        put(56, &self.disk.to_bytes_le());
        put(72, &self.entries.to_le_bytes());
        put(80, &128_u32.to_le_bytes());
        put(84, &128_u32.to_le_bytes());
        put(88, &self.entries_checksum.to_le_bytes());
        let checksum = CRC.checksum(&sector[..92]);
        sector[16..20].copy_from_slice(&checksum.to_le_bytes());
        sector
    }

    /// Reads a header's sector found at `own`; `None` when it is none, is damaged or says it belongs elsewhere.
    pub(super) fn decode(sector: &[u8; 512], own: u64) -> Option<Self> {
        let mut unsealed = *sector;
        unsealed[16..20].fill(0);
        let sound = &sector[..8] == b"EFI PART"
            && u32_at(sector, 12) == 92
            && u32_at(sector, 16) == CRC.checksum(&unsealed[..92])
            && u64_at(sector, 24) == own
            && u32_at(sector, 80) == 128
            && u32_at(sector, 84) == 128;
        let mut disk = [0; 16];
        disk.copy_from_slice(&sector[56..72]);
        sound.then(|| Self {
            own,
            other: u64_at(sector, 32),
            entries: u64_at(sector, 72),
            first_usable: u64_at(sector, 40),
            last_usable: u64_at(sector, 48),
            disk: Uuid::from_bytes_le(disk),
            entries_checksum: u32_at(sector, 88),
        })
    }

    /// The partitions, when `entries` are the ones this header was written with and each lies within the disk.
    pub(super) fn partitions(&self, entries: &[u8]) -> Option<Vec<Partition>> {
        if entries.len() != ENTRY_BYTES || CRC.checksum(entries) != self.entries_checksum {
            return None;
        }
        let used = entries
            .chunks_exact(ENTRY)
            .take_while(|entry| entry[..16] != [0; 16]);
        let partitions: Vec<Partition> = used.map(decode_entry).collect();
        let within = |partition: &Partition| {
            self.first_usable <= partition.first
                && partition.first <= partition.last
                && partition.last <= self.last_usable
        };
        partitions.iter().all(within).then_some(partitions)
    }
}

/// The entries' sectors.
pub(super) fn encode_entries(partitions: &[Partition]) -> Vec<u8> {
    let mut bytes = vec![0; ENTRY_BYTES];
    for (entry, partition) in bytes.chunks_exact_mut(ENTRY).zip(partitions) {
        entry[..16].copy_from_slice(&partition.kind.to_bytes_le());
        entry[16..32].copy_from_slice(&partition.guid.to_bytes_le());
        entry[32..40].copy_from_slice(&partition.first.to_le_bytes());
        entry[40..48].copy_from_slice(&partition.last.to_le_bytes());
        entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
        for (place, unit) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    bytes
}

fn decode_entry(entry: &[u8]) -> Partition {
    let guid = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&entry[at..at + 16]);
        Uuid::from_bytes_le(bytes)
    };
    let units: Vec<u16> = entry[56..]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    Partition {
        kind: guid(0),
        guid: guid(16),
        first: u64_at(entry, 32),
        last: u64_at(entry, 40),
        attributes: u64_at(entry, 48),
        name: String::from_utf16_lossy(&units[..end]),
    }
}

/// The first sector, which tells tools that know no GUID tables to keep off (UEFI 2.10 §5.2.3).
pub(super) fn protective_sector(sectors: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    let count = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    sector[446..458].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    sector[458..462].copy_from_slice(&count.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
