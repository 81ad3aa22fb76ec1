//! The machine's disk: a file behind a write cache that forgets when the power goes.
//!
//! QEMU reaches it as a network block device over a socket pair, served by a thread of ours (module `nbd`). Writes stay in
//! memory until the guest flushes them (or asks for a write to be forced), as in a disk with a volatile cache and no
//! capacitor; [`Disk::power_cut`] drops them. So software that says "done" before its flush is found out, which a
//! kill of QEMU alone would never do: what it wrote would lie safely in the host's page cache.
//!
//! Invariant: after a cut the file holds every sector that was flushed, and of the others only what the cut's rule
//! let survive.

mod cache;
mod nbd;
mod sparse;

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

pub use cache::Cache;
pub use sparse::copy_sparse;

use crate::{Error, Result};

/// Bytes in a sector, the unit in which a write is lost or kept.
pub const SECTOR: u64 = 512;

/// Which of the unflushed sectors a power cut spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None: everything that was not flushed is lost.
    None,
    /// About half of them, chosen by the seed: what a disk does that writes back in an order of its own.
    Half {
        /// The same seed spares the same sectors.
        seed: u64,
    },
}

/// A disk that can be connected to one machine at a time.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    cache: Arc<Mutex<Cache>>,
    server: Option<JoinHandle<()>>,
}

impl Disk {
    /// Uses `path` as it is; whoever opens a disk that is to be kept copies it first ([`copy_sparse`]).
    ///
    /// # Errors
    /// When the file cannot be opened for writing or is not a whole number of sectors.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::File {
            verb: "open the disk",
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size == 0 || size % SECTOR != 0 {
            return Err(Error::Setting(format!(
                "{} is no disk image: {size} bytes are not a whole number of {SECTOR}-byte sectors",
                path.display()
            )));
        }
        let cache = Arc::new(Mutex::new(Cache::new(file, size)));
        Ok(Self {
            path: path.to_owned(),
            cache,
            server: None,
        })
    }

    /// A new, empty disk of `bytes` in `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, bytes: u64) -> Result<Self> {
        let make = || File::create(path)?.set_len(bytes);
        make().map_err(|source| Error::File {
            verb: "create",
            path: path.to_owned(),
            source,
        })?;
        Self::open(path)
    }

    /// The file that holds what is on the platters. Not to be written while a machine runs.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written but not flushed.
    #[must_use]
    pub fn unflushed(&self) -> u64 {
        self.lock().unflushed()
    }

    /// Connects a machine: the descriptor is its end of the cable, and speaks NBD.
    ///
    /// # Errors
    /// When no socket pair can be made.
    pub fn connect(&mut self) -> Result<OwnedFd> {
        self.wait_disconnected();
        let failed = |source| Error::File {
            verb: "connect the disk",
            path: self.path.clone(),
            source,
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let cache = Arc::clone(&self.cache);
        self.server = Some(thread::spawn(move || {
            if let Err(error) = nbd::serve(&ours, &cache) {
                log::debug!("the disk's connection ended: {error}");
            }
        }));
        Ok(theirs.into())
    }

    /// The power is gone: whoever was connected must be dead already. What was not flushed is lost, but for
    /// `survivors`.
    ///
    /// # Errors
    /// When the survivors cannot be written to the file.
    pub fn power_cut(&mut self, survivors: Survivors) -> Result<()> {
        self.wait_disconnected();
        let done = self.lock().cut(survivors);
        done.map_err(|source| Error::File {
            verb: "write",
            path: self.path.clone(),
            source,
        })
    }

    /// Bytes on the platters turn into others, all their bits flipped, as they do in old flash: whoever is connected is told
    /// nothing, and may have them in a cache of its own.
    ///
    /// # Errors
    /// When they do not lie on the disk, or the file cannot be read or written.
    pub fn rot(&self, bytes: std::ops::Range<u64>) -> Result<()> {
        let mut cache = self.lock();
        let first = bytes.start / SECTOR * SECTOR;
        let end = bytes.end.next_multiple_of(SECTOR);
        if bytes.is_empty() || !cache.covers(first, end - first) {
            return Err(Error::Setting(format!("no bytes {bytes:?} lie on the disk")));
        }
        let mut content = vec![0; usize::try_from(end - first).unwrap_or(0)];
        let rotted = cache.read(first, &mut content).and_then(|()| {
            for (at, byte) in (first..).zip(&mut content) {
                *byte ^= if bytes.contains(&at) { 0xff } else { 0 };
            }
            cache.write_through(first, &content)
        });
        rotted.map_err(|source| Error::File {
            verb: "write",
            path: self.path.clone(),
            source,
        })
    }

    /// An orderly end: everything is written. Whoever was connected must be gone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settle(&mut self) -> Result<()> {
        self.wait_disconnected();
        let done = self.lock().flush();
        done.map_err(|source| Error::File {
            verb: "write",
            path: self.path.clone(),
            source,
        })
    }

    /// The server ends with the connection, after it has taken everything that was sent.
    fn wait_disconnected(&mut self) {
        if let Some(server) = self.server.take() {
            // A panic there has been printed; the cache is still whole.
            let _ = server.join();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
