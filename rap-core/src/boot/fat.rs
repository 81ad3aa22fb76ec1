//! A FAT32 file system as a pure function of its files: the same files give the same bytes, everywhere and always.
//!
//! The layout depends only on the files' order and sizes: every file lies in one run of clusters, directories first,
//! then the files in the order given. Times are 1980-01-01, the volume's id is the caller's, names are 8.3 in upper
//! case. The result is a list of [`Extent`]s: together they hold every byte that has a meaning, so that they can be
//! written over an older file system; what lies between them is free.
//!
//! ```text
//! sector 0  boot sector, 1 information, 6 and 7 their copies
//!        R  first allocation table, then the second; R is chosen so that the clusters begin at a multiple of 4 KiB
//!           clusters from number 2: root directory, subdirectories, files
//! ```
//!
//! Source of the rules: Microsoft's "FAT32 File System Specification", version 1.03.

use std::borrow::Cow;
use std::ops::Range;

mod directory;

use super::SECTOR;
use directory::Tree;

/// Fewer clusters than this and every driver takes the volume for FAT16 (specification, "FAT Type Determination").
const FEWEST_CLUSTERS: u64 = 65_525;
const RESERVED: u64 = 32;
/// The sector of the boot sector's copy; the information sector's is behind it.
pub(super) const BOOT_COPY: u64 = 6;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
const MEDIA: u8 = 0xf8;

/// What is wrong with what a file system was to be made of.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FatError {
    /// The volume cannot be FAT32.
    #[error(
        "a volume of {0} bytes cannot be FAT32: it needs at least 33 MiB, at most 128 GiB, in whole sectors"
    )]
    VolumeSize(u64),
    /// A name is not 8.3 in upper case.
    #[error("`{0}` is not a name of at most 8 and 3 characters from A-Z, 0-9, `_` and `-`")]
    Name(String),
    /// The same path twice, or a file where a directory is needed.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// The files do not fit.
    #[error("the files need {needed} bytes, the volume has room for {room}")]
    Full {
        /// Bytes needed, in whole clusters.
        needed: u64,
        /// Bytes the volume has for files.
        room: u64,
    },
}

/// A file to be put into the volume.
#[derive(Debug, Clone)]
pub struct File<'a> {
    /// Its path, parted by `/`, e.g. `EFI/BOOT/BOOTX64.EFI`.
    pub path: &'a str,
    /// Its content.
    pub content: Cow<'a, [u8]>,
}

/// Bytes at an offset from the volume's first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent<'a> {
    /// Bytes from the beginning of the volume.
    pub offset: u64,
    /// What is there.
    pub bytes: Cow<'a, [u8]>,
}

/// A composed volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume<'a> {
    /// Its size in bytes.
    pub size: u64,
    /// What is in it, by ascending offset; extents do not overlap.
    pub extents: Vec<Extent<'a>>,
}

/// Where things lie in a volume of a size: the geometry that the boot sector describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    sectors: u64,
    sectors_per_cluster: u64,
    reserved: u64,
    sectors_per_table: u64,
    clusters: u64,
}

/// Composes a volume of `size` bytes with the serial number `id`.
///
/// # Errors
/// When the size cannot be FAT32, a name is not 8.3, a path is there twice or the files do not fit.
pub fn compose<'a>(size: u64, id: u32, files: Vec<File<'a>>) -> Result<Volume<'a>, FatError> {
    let lengths: Vec<(&str, u64)> = files
        .iter()
        .map(|file| (file.path, u64::try_from(file.content.len()).unwrap_or(u64::MAX)))
        .collect();
    let mut volume = frame(size, id, &lengths)?;
    let places = places(size, &lengths)?;
    volume.extents.extend(
        files
            .into_iter()
            .zip(places)
            .filter(|(file, _)| !file.content.is_empty())
            .map(|(file, offset)| Extent {
                offset,
                bytes: file.content,
            }),
    );
    Ok(volume)
}

/// As [`compose`], without the files' content: boot sectors, tables and directories, from paths and lengths alone.
///
/// # Errors
/// As [`compose`].
pub fn frame<'a>(size: u64, id: u32, files: &[(&str, u64)]) -> Result<Volume<'a>, FatError> {
    let geometry = Geometry::of(size)?;
    let tree = Tree::of_lengths(files, &geometry)?;
    let mut extents = vec![
        Extent {
            offset: 0,
            bytes: geometry.boot_sectors(id, tree.clusters()).into(),
        },
        Extent {
            offset: geometry.table(0),
            bytes: geometry.allocation(&tree.chains()).into(),
        },
        Extent {
            offset: geometry.table(1),
            bytes: geometry.allocation(&tree.chains()).into(),
        },
    ];
    extents.extend(tree.directories(&geometry));
    Ok(Volume { size, extents })
}

/// The offset of each file in a volume of `size` bytes, from the files' paths and lengths alone. An empty file has
/// no place; its offset is 0.
///
/// # Errors
/// As [`compose`].
pub fn places(size: u64, files: &[(&str, u64)]) -> Result<Vec<u64>, FatError> {
    let geometry = Geometry::of(size)?;
    Ok(Tree::of_lengths(files, &geometry)?.places(&geometry))
}

/// The bytes that a driver changes by itself when it writes over the file `number` of `files`, all of them in the root
/// directory: its dates (specification, "FAT Directory Structure"), the flags of a volume in use in both tables' second
/// entry ("File Allocation Table") and the hints of the information sector ("FAT32 FSInfo").
///
/// # Errors
/// As [`compose`].
pub fn volatile(size: u64, files: &[(&str, u64)], number: usize) -> Result<Vec<Range<u64>>, FatError> {
    let geometry = Geometry::of(size)?;
    let root = Tree::of_lengths(files, &geometry)?.root(&geometry);
    let entry = root + u64::try_from(number).unwrap_or(0) * directory::ENTRY as u64;
    Ok([
        (SECTOR + 488, 8),
        (geometry.table(0) + 7, 1),
        (geometry.table(1) + 7, 1),
        (entry + 18, 2),
        (entry + 22, 4),
    ]
    .map(|(at, length)| at..at + length)
    .into())
}

impl Geometry {
    /// The largest clusters that leave enough of them for FAT32: the table stays small.
    fn of(size: u64) -> Result<Self, FatError> {
        if !size.is_multiple_of(SECTOR) || u32::try_from(size / SECTOR).is_err() {
            return Err(FatError::VolumeSize(size));
        }
        [64, 32, 16, 8, 4, 2, 1]
            .into_iter()
            .map(|sectors_per_cluster| Self::with_clusters_of(sectors_per_cluster, size / SECTOR))
            .find(|geometry| (FEWEST_CLUSTERS..0x0fff_fff0).contains(&geometry.clusters))
            .ok_or(FatError::VolumeSize(size))
    }

    fn with_clusters_of(sectors_per_cluster: u64, sectors: u64) -> Self {
        let upper_bound = sectors / sectors_per_cluster + 2;
        let sectors_per_table = (upper_bound * 4).div_ceil(SECTOR);
        let reserved = (RESERVED + 2 * sectors_per_table).next_multiple_of(8) - 2 * sectors_per_table;
        let for_clusters = sectors.saturating_sub(reserved + 2 * sectors_per_table);
        let clusters = for_clusters / sectors_per_cluster;
        Self {
            sectors,
            sectors_per_cluster,
            reserved,
            sectors_per_table,
            clusters,
        }
    }

    fn cluster_bytes(&self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_bytes())
    }

    fn table(&self, number: u64) -> u64 {
        (self.reserved + number * self.sectors_per_table) * SECTOR
    }

    fn offset_of(&self, cluster: u32) -> u64 {
        self.table(2) + (u64::from(cluster) - 2) * self.cluster_bytes()
    }

    /// Sectors 0 to 7: the boot sector, the information sector and their copies.
    fn boot_sectors(&self, id: u32, used: u32) -> Vec<u8> {
        let mut boot = [0_u8; 512];
        let mut at = |offset: usize, bytes: &[u8]| boot[offset..offset + bytes.len()].copy_from_slice(bytes);
        at(0, &[0xeb, 0x58, 0x90]);
        at(3, b"RAP     ");
        at(11, &low16(SECTOR));
        at(13, &[self.sectors_per_cluster.to_le_bytes()[0]]);
        at(14, &low16(self.reserved));
        at(16, &[2]);
        at(21, &[MEDIA]);
        at(24, &low16(63));
        at(26, &low16(255));
        at(32, &low32(self.sectors));
        at(36, &low32(self.sectors_per_table));
        at(44, &low32(2));
        at(48, &low16(1));
        at(50, &low16(BOOT_COPY));
        at(64, &[0x80, 0, 0x29]);
        at(67, &id.to_le_bytes());
        at(71, b"NO NAME    FAT32   ");
        at(510, &[0x55, 0xaa]);

        let mut information = [0_u8; 512];
        information[0..4].copy_from_slice(b"RRaA");
        information[484..488].copy_from_slice(b"rrAa");
        information[488..492].copy_from_slice(&low32(self.clusters - u64::from(used)));
        information[492..496].copy_from_slice(&(used + 2).to_le_bytes());
        information[510..512].copy_from_slice(&[0x55, 0xaa]);

        let mut sectors = vec![0; 8 * 512];
        for copy in [0, 6 * 512] {
            sectors[copy..copy + 512].copy_from_slice(&boot);
            sectors[copy + 512..copy + 1024].copy_from_slice(&information);
        }
        sectors[2 * 512 + 510..3 * 512].copy_from_slice(&[0x55, 0xaa]);
        sectors
    }

    /// A whole allocation table, from the runs of clusters in use, given as (first, count).
    fn allocation(&self, chains: &[(u32, u32)]) -> Vec<u8> {
        let mut table = vec![0x0fff_ff00 | u32::from(MEDIA), END_OF_CHAIN];
        for &(first, count) in chains {
            table.extend((first + 1)..(first + count));
            table.push(END_OF_CHAIN);
        }
        let mut bytes: Vec<u8> = table.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.resize(
            usize::try_from(self.sectors_per_table * SECTOR).unwrap_or(usize::MAX),
            0,
        );
        bytes
    }
}

/// The low 16 bits, as FAT stores them; the geometry's limits keep the value below 65,536.
fn low16(value: u64) -> [u8; 2] {
    let [a, b, ..] = value.to_le_bytes();
    [a, b]
}

/// The low 32 bits, as FAT stores them; the geometry's limits keep the value below 2^32.
fn low32(value: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = value.to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests;
