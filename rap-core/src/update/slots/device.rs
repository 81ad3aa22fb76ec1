//! What a slot is on.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use rustix::fs::{Advice, fadvise};

use crate::boot::disk::{Disk, DiskError};

/// Bytes that are compared and written at once where little changes: a page of the kernel's.
const PAGE: usize = 4096;

/// Why the disk is waited for. Each is needed: a test leaves out each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Barrier {
    /// The old file system is gone before anything of the new one is there.
    Destroyed,
    /// The new one is there but for its first sector.
    Written,
    /// The slot is armed.
    Armed,
    /// The trial is over: confirmed.
    Confirmed,
    /// The slot is not started any more.
    Failed,
    /// The other slot ranks last before this one's revision begins anew.
    Vacated,
    /// This slot's revision begins anew before the other's follows it.
    Renumbered,
    /// What was mended is there before it is read back and relied upon.
    Mended,
}

impl Barrier {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Destroyed,
        Self::Written,
        Self::Armed,
        Self::Confirmed,
        Self::Failed,
        Self::Vacated,
        Self::Renumbered,
        Self::Mended,
    ];
}

/// A block device. A write of one sector (512 bytes) is whole or not there; of a longer one each sector is for itself.
pub trait Device {
    /// Its bytes.
    ///
    /// # Errors
    /// What asking gave.
    fn length(&self) -> Result<u64, DiskError>;

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
    fn flush(&self, why: Barrier) -> Result<(), DiskError>;

    /// What was flushed is read from the medium from now on, and not from memory.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    fn forget(&self) -> Result<(), DiskError>;
}

impl<D: Device> Device for &D {
    fn length(&self) -> Result<u64, DiskError> {
        (**self).length()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        (**self).read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        (**self).write_at(bytes, offset)
    }

    fn flush(&self, why: Barrier) -> Result<(), DiskError> {
        (**self).flush(why)
    }

    fn forget(&self) -> Result<(), DiskError> {
        (**self).forget()
    }
}

impl Device for File {
    fn length(&self) -> Result<u64, DiskError> {
        let mut file: &Self = self;
        file.seek(SeekFrom::End(0)).map_err(|source| DiskError::Io {
            action: "measure",
            offset: 0,
            bytes: 0,
            source,
        })
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        Disk::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        Disk::write_at(self, bytes, offset)
    }

    fn flush(&self, _why: Barrier) -> Result<(), DiskError> {
        Disk::flush(self)
    }

    fn forget(&self) -> Result<(), DiskError> {
        fadvise(self, 0, None, Advice::DontNeed).map_err(|error| DiskError::Io {
            action: "forget",
            offset: 0,
            bytes: 0,
            source: error.into(),
        })
    }
}

/// Makes the bytes at `offset` be `wanted` by writing only those pages that are not so yet or cannot be read. Says whether
/// any was written.
pub(super) fn settle(device: &impl Device, wanted: &[u8], offset: u64) -> Result<bool, DiskError> {
    let mut page = [0; PAGE];
    let mut at = offset;
    let mut wrote = false;
    for wanted in wanted.chunks(PAGE) {
        let found = &mut page[..wanted.len()];
        if device.read_at(found, at).is_err() || found != wanted {
            device.write_at(wanted, at)?;
            wrote = true;
        }
        at += wanted.len() as u64;
    }
    Ok(wrote)
}
