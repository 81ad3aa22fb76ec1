//! One file, in memory and on the disk.

use std::io;
use std::time::Duration;

use super::hash::Hash;
use super::record::{Description, HEAD, Mark, Phase};
use crate::forward::log::{Barrier, Storage, crc32c};

/// One file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: String,
    pub(super) description: Description,
    pub(super) mark: Mark,
    /// The mark before, while the newest was not yet held against the bytes it is about.
    pub(super) before: Option<Mark>,
    pub(super) verified: bool,
    /// Whether what the mark says is surely on the disk.
    pub(super) durable: bool,
    pub(super) hash: Hash,
    /// When an agent last asked for it, or the box started; since boot.
    pub(super) touched: Duration,
    /// How much the service centre has; `None` when it must be asked.
    pub(super) sent: Option<u64>,
    /// Reads in a row that failed.
    pub(super) unread: u32,
    /// Answers in a row by which the service centre went back.
    pub(super) went_back: u32,
    pub(super) doubt: Option<Doubt>,
}

/// A file was refused, and nothing proves yet that it is for the file's sake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// How often in a row.
    pub(super) times: u32,
    /// Ranges the service centre had taken until then, of any file.
    pub(super) taken: u64,
    /// Until then, since boot, it rests.
    pub(super) rest_until: Duration,
}

impl Entry {
    /// Makes `mark` and the `bytes` that come with it durable, and then true.
    pub(super) fn store(&mut self, storage: &dyn Storage, mark: Mark, bytes: &[u8]) -> io::Result<()> {
        self.write(storage, &mark, bytes)?;
        storage.sync(&self.file, Barrier::FileRange)?;
        if mark.phase != Phase::Part {
            storage.close(&self.file);
        }
        self.mark = mark;
        Ok(())
    }

    /// Writes `mark` and the `bytes` it is about, waiting for nothing.
    pub(super) fn write(&self, storage: &dyn Storage, mark: &Mark, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            storage.write(&self.file, HEAD as u64 + mark.first, bytes)?;
        }
        storage.write(&self.file, mark.place() as u64, &mark.encode())
    }

    /// Reads the file's bytes from `first` to before `end`.
    pub(super) fn read(&self, storage: &dyn Storage, first: u64, end: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(end - first).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = storage.read(&self.file, HEAD as u64 + first, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Whether the bytes the mark is about are there.
    pub(super) fn holds(&self, storage: &dyn Storage) -> io::Result<bool> {
        let (first, have) = (self.mark.first, self.mark.have);
        // A mark this long is none of ours, however good its checksum.
        if have - first > super::LONGEST_RANGE as u64 {
            return Ok(false);
        }
        if storage.size(&self.file)? < HEAD as u64 + have {
            return Ok(false);
        }
        let bytes = self.read(storage, first, have)?;
        Ok(bytes.len() as u64 == have - first && crc32c(&[&bytes]) == self.mark.check)
    }
}
