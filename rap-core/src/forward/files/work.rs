//! What is done with files while nobody asks: checking what was found at start, and reading again for their digest.

use super::record::Phase;
use super::shelf::{Key, PutError, Shelf};

/// Bytes read at once.
const CHUNK: u64 = 256 * 1024;

impl Shelf {
    /// Does a little of what is to be done, waiting for the disk at most twice. Returns whether something was done.
    pub fn work(&mut self) -> bool {
        let is_behind = |entry: &super::shelf::Entry| {
            entry.mark.phase == Phase::Part && !entry.is_left_alone() && entry.hash.at < entry.mark.have
        };
        let behind = self.entries.iter().find(|(_, entry)| is_behind(entry));
        let Some(key) = behind.map(|(key, _)| key.clone()) else {
            return false;
        };
        if let Err(error) = self.catch_up(&key) {
            match error {
                PutError::WrongDigest => {
                    log::warn!("a file from {} is given up: {error}", key.source);
                    self.discard(&key);
                }
                // Its agent will hear that the disk failed.
                _ => self.unreadable(&key, &error),
            }
        }
        true
    }

    /// Reads a file further for its digest; with its last byte it is acknowledged or given up.
    fn catch_up(&mut self, key: &Key) -> Result<(), PutError> {
        self.verify(key)?;
        let Some(entry) = self.entries.get_mut(key) else {
            return Ok(());
        };
        let end = entry.mark.have.min(entry.hash.at.saturating_add(CHUNK));
        if entry.hash.at < end {
            let bytes = entry.read(self.storage.as_ref(), entry.hash.at, end)?;
            if bytes.len() as u64 != end - entry.hash.at {
                return Err(std::io::Error::other("it is shorter than it was").into());
            }
            entry.hash.take(entry.hash.at, &bytes);
        }
        if entry.hash.phase(&entry.description)? == Phase::Whole {
            self.acknowledge(key)?;
        }
        Ok(())
    }

    /// The digest is right: from here on the file is kept.
    fn acknowledge(&mut self, key: &Key) -> Result<(), PutError> {
        self.settle(key)?;
        let Some(mut mark) = self.next_mark(key) else {
            return Ok(());
        };
        mark.phase = Phase::Whole;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.store(self.storage.as_ref(), mark, &[])?;
        }
        Ok(())
    }
}
