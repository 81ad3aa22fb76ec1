//! Writing an image to a device, on the desk and by the installer: no more than is used, nothing left of what was there before that could be taken for
//! ours, read back and compared.
//!
//! Of each partition, everything up to its last used block is written, zeros too, and at least its first
//! [`CLEARED_BYTES`] and its last [`TAIL_BYTES`]: old file systems begin there, and old arrays and pools say at the end
//! what they are. The rest of a slot or of the data partition is never read before the box has written it.
//!
//! The image is a [`Source`]: a disk image on the desk, a compressed package in the installer.
//!
//! Invariant: the device has no partition table from the first write until everything else is on it, and was read back
//! where that was asked for: a device that was pulled out halfway, or that loses bytes, does not boot at all. Meanwhile
//! a [`mark`] is where the table's header will be; who finds it knows that somebody did not come to the end.

pub mod device;
pub mod mark;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};

use crate::boot::disk::{Disk, DiskError, Partition, Place, Table};

/// Bytes at the beginning of each partition that are written in any case.
pub const CLEARED_BYTES: u64 = 8 << 20;
/// Bytes at the end of each partition that are written in any case.
pub const TAIL_BYTES: u64 = 1 << 20;
/// Bytes at both ends of the device where partition tables live.
const TABLE_BYTES: usize = 1 << 20;
/// What is read, written and compared at once.
const BLOCK: usize = 1 << 20;
/// Dirty pages that may gather before they are waited for: progress tells what is on the device, not in memory.
const FLUSH_EVERY: u64 = 16 << 20;

/// Why a device could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// The image.
    #[error("cannot read {name}")]
    Image {
        /// What the image calls itself.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device cannot be opened.
    #[error("cannot open {0} for writing; are you root, and does nothing use it?")]
    Open(PathBuf, #[source] io::Error),
    /// The device failed.
    #[error("the device failed: it does not boot now; the next flash of it begins anew")]
    Device(#[source] DiskError),
    /// What was read back is not what was written.
    #[error(
        "byte {offset} of the device is not what was written there: it is worn out or not as large as it says; take another"
    )]
    Differs {
        /// Where, from the beginning of the device.
        offset: u64,
    },
    /// The partition table that was read back is not the one that was written.
    #[error("the partition table read back is not the one that was written: take another device")]
    Table,
}

/// An image: what each partition begins with. Behind that are zeros.
pub trait Source {
    /// What it is called, for who is told that it cannot be read.
    fn name(&self) -> String;

    /// Its partitions.
    fn table(&self) -> &Table;

    /// Bytes that a partition begins with, at most its length.
    fn used(&self, place: Place) -> u64;

    /// All of these bytes, partition by partition, from the beginning. It is called once for each pass.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// What is going on, for who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Writing.
    Write,
    /// Reading back.
    Verify,
}

impl<S: Source> Source for &S {
    fn name(&self) -> String {
        (**self).name()
    }

    fn table(&self) -> &Table {
        (**self).table()
    }

    fn used(&self, place: Place) -> u64 {
        (**self).used(place)
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        (**self).open()
    }
}

/// A part of the device that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: u64,
    bytes: u64,
    content: Content,
}

/// What a [`Piece`] is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// What the image has in the same place.
    Image,
    /// Zeros.
    Nothing,
}

/// An image, and what of it goes where on a device.
#[derive(Debug)]
pub struct Plan<S> {
    source: S,
    pieces: Vec<Piece>,
    table: Table,
    device_bytes: u64,
}

impl<S: Source> Plan<S> {
    /// For a device of `device_bytes` bytes, which are enough ([`device::Device::refusals`]).
    pub fn new(source: S, device_bytes: u64) -> Self {
        let table = source.table().grown(device_bytes);
        let mut pieces = Vec::new();
        for place in Place::ALL {
            pieces.extend(pieces_of(table.partition(place), source.used(place)));
        }
        Self {
            source,
            pieces,
            table,
            device_bytes,
        }
    }

    /// Bytes that are written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }

    /// Writes everything but the partition table to `device`, telling `progress` how many bytes are on it. `build` is
    /// the image's build id, for who finds the device when this was interrupted.
    ///
    /// # Errors
    /// Then the device has no partition table.
    pub fn write(
        &self,
        device: &impl Disk,
        build: &str,
        progress: &dyn Fn(Phase, u64),
    ) -> Result<(), FlashError> {
        let failed = FlashError::Device;
        let mut beginning = vec![0; TABLE_BYTES];
        beginning[mark::PLACE].copy_from_slice(&mark::encode(build));
        device.write_at(&beginning, 0).map_err(failed)?;
        device
            .write_at(&vec![0; TABLE_BYTES], self.device_bytes - TABLE_BYTES as u64)
            .map_err(failed)?;
        device.flush().map_err(failed)?;
        let (mut done, mut dirty) = (0, 0);
        self.each_block(|offset, content| {
            device.write_at(content, offset).map_err(failed)?;
            done += content.len() as u64;
            dirty += content.len() as u64;
            if dirty >= FLUSH_EVERY {
                device.flush().map_err(failed)?;
                dirty = 0;
                progress(Phase::Write, done);
            }
            Ok(())
        })?;
        device.flush().map_err(failed)?;
        progress(Phase::Write, done);
        Ok(())
    }

    /// Writes the partition table, with which the device boots, in place of the mark, and reads it back.
    ///
    /// # Errors
    /// When the device fails, or gives back another table.
    pub fn finish(&self, device: &(impl Disk + AsFd)) -> Result<(), FlashError> {
        self.table
            .write(device, self.device_bytes)
            .map_err(FlashError::Device)?;
        forget(device)?;
        let table = Table::read(device, self.device_bytes).map_err(FlashError::Device)?;
        if table == self.table {
            Ok(())
        } else {
            Err(FlashError::Table)
        }
    }

    /// Reads everything back from `device` itself, not from memory, and compares.
    ///
    /// # Errors
    /// With the first byte that differs.
    pub fn verify(
        &self,
        device: &(impl Disk + AsFd),
        progress: &dyn Fn(Phase, u64),
    ) -> Result<(), FlashError> {
        forget(device)?;
        let mut found = vec![0; BLOCK];
        let mut done = 0;
        self.each_block(|offset, content| {
            let found = &mut found[..content.len()];
            device.read_at(found, offset).map_err(FlashError::Device)?;
            if found != content {
                let same = found
                    .iter()
                    .zip(content)
                    .take_while(|(found, wanted)| found == wanted);
                return Err(FlashError::Differs {
                    offset: offset + same.count() as u64,
                });
            }
            done += content.len() as u64;
            progress(Phase::Verify, done);
            Ok(())
        })
    }

    /// Calls `take` with each block that is to be on the device, in order.
    fn each_block(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), FlashError>,
    ) -> Result<(), FlashError> {
        let failed = |source| FlashError::Image {
            name: self.source.name(),
            source,
        };
        let mut image = self.source.open().map_err(failed)?;
        let mut buffer = vec![0; BLOCK];
        for piece in &self.pieces {
            let mut at = 0;
            while at < piece.bytes {
                let length = usize::try_from(piece.bytes - at).unwrap_or(BLOCK).min(BLOCK);
                let block = &mut buffer[..length];
                match piece.content {
                    Content::Image => image.read_exact(block).map_err(failed)?,
                    Content::Nothing => block.fill(0),
                }
                take(piece.offset + at, block)?;
                at += length as u64;
            }
        }
        Ok(())
    }
}

/// What is written of a partition of which the image uses `used` bytes: those, zeros up to [`CLEARED_BYTES`], and zeros
/// in the last [`TAIL_BYTES`].
fn pieces_of(partition: &Partition, used: u64) -> impl Iterator<Item = Piece> {
    let (start, length) = (partition.offset(), partition.length());
    let beginning = used.max(CLEARED_BYTES.min(length));
    let tail = beginning.max(length.saturating_sub(TAIL_BYTES));
    let parts = [
        (0, used, Content::Image),
        (used, beginning, Content::Nothing),
        (tail, length, Content::Nothing),
    ];
    let some = parts.into_iter().filter(|(from, to, _)| from < to);
    some.map(move |(from, to, content)| Piece {
        offset: start + from,
        bytes: to - from,
        content,
    })
}

/// Drops clean pages: what is read afterwards comes from the device and not from memory.
fn forget(device: &impl AsFd) -> Result<(), FlashError> {
    fadvise(device, 0, None, Advice::DontNeed).map_err(|error| {
        FlashError::Device(DiskError::Io {
            action: "read",
            offset: 0,
            bytes: 0,
            source: error.into(),
        })
    })
}

/// Opens a device that nobody else uses: the kernel refuses one that is mounted (open(2), `O_EXCL`).
///
/// # Errors
/// When it cannot be opened, or somebody uses it.
pub fn open(path: &Path) -> Result<File, FlashError> {
    let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(exclusive);
    options
        .open(path)
        .map_err(|source| FlashError::Open(path.to_owned(), source))
}
