//! The volatile cache: sectors that were written and not flushed, over the file.
//!
//! Invariant: a sector in the map is newer than the same sector in the file. The map holds at most [`CAPACITY`]
//! bytes; when it is full everything is written back, as a real cache does under pressure.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{SECTOR, Survivors};

/// What the cache of a large real disk holds.
const CAPACITY: u64 = 256 * 1024 * 1024;
const BYTES: usize = 512;

/// A disk's platters, a file, and its volatile cache. [`Disk`](super::Disk) puts a network block device before it.
#[derive(Debug)]
pub struct Cache {
    file: File,
    size: u64,
    unflushed: BTreeMap<u64, Box<[u8; BYTES]>>,
}

impl Cache {
    /// A disk of `size` bytes, a whole number of sectors, whose platters are `file`.
    #[must_use]
    pub fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size,
            unflushed: BTreeMap::new(),
        }
    }

    /// Bytes on the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes written and not flushed.
    #[must_use]
    pub fn unflushed(&self) -> u64 {
        u64::try_from(self.unflushed.len() * BYTES).unwrap_or(u64::MAX)
    }

    /// Whether a request lies on the disk, in whole sectors.
    #[must_use]
    pub fn covers(&self, offset: u64, length: u64) -> bool {
        offset.is_multiple_of(SECTOR)
            && length.is_multiple_of(SECTOR)
            && offset.checked_add(length).is_some_and(|end| end <= self.size)
    }

    /// Reads what was written last, flushed or not.
    ///
    /// # Errors
    /// When the file cannot be read; so for every method, when it cannot be read or written.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)?;
        let first = offset / SECTOR;
        for (sector, chunk) in (first..).zip(into.chunks_exact_mut(BYTES)) {
            if let Some(newer) = self.unflushed.get(&sector) {
                chunk.copy_from_slice(&newer[..]);
            }
        }
        Ok(())
    }

    /// Takes a write into the cache only.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        for (sector, chunk) in (offset / SECTOR..).zip(from.chunks_exact(BYTES)) {
            let mut kept = Box::new([0; BYTES]);
            kept.copy_from_slice(chunk);
            self.unflushed.insert(sector, kept);
        }
        if self.unflushed() > CAPACITY {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// A forced write (FUA): this one is on the platters when it returns; the others are not.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn write_through(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.file.write_all_at(from, offset)?;
        for (sector, _) in (offset / SECTOR..).zip(from.chunks_exact(BYTES)) {
            self.unflushed.remove(&sector);
        }
        Ok(())
    }

    /// Everything written so far is on the platters when it returns.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((sector, bytes)) = self.unflushed.first_key_value() {
            self.file.write_all_at(&bytes[..], sector * SECTOR)?;
            self.unflushed.pop_first();
        }
        Ok(())
    }

    /// The power is gone: of what was not flushed only `survivors` reach the platters.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn cut(&mut self, survivors: Survivors) -> io::Result<()> {
        if let Survivors::Half { seed } = survivors {
            self.unflushed
                .retain(|&sector, _| scramble(seed ^ sector) & 1 == 1);
            self.flush()?;
        }
        self.unflushed.clear();
        Ok(())
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
