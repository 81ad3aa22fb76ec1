//! Which segments exist and who may take one: the bound, and the part kept for alerts.

use std::io;

use super::{Config, Storage};
use crate::forward::lane::Lane;

const PREFIX: &str = "segment-";
const TEMPORARY: &str = "new";
const ZEROS: usize = 64 * 1024;

/// The segments that nobody holds, and how many there may be in all.
#[derive(Debug)]
pub(super) struct Space {
    free: Vec<String>,
    made: usize,
    next_name: u64,
    limit: usize,
    reserve: usize,
    segment: u64,
}

impl Space {
    /// Finds the segments there are. All are free at first; see [`Space::take_all`].
    pub(super) fn open(storage: &dyn Storage, config: &Config) -> io::Result<Self> {
        let mut numbered: Vec<(u64, String)> = Vec::new();
        for name in storage.list()? {
            let number = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                numbered.push((number, name));
            }
        }
        numbered.sort();
        let next_name = numbered.last().map_or(1, |(number, _)| number + 1);
        let free: Vec<String> = numbered.into_iter().map(|(_, name)| name).collect();
        let existing = (free.len() as u64).saturating_mul(config.segment);
        // A tenth of the partition stays free for whatever else lives on it.
        let room = existing.saturating_add(storage.free_space()?) / 10 * 9;
        let limit = usize::try_from(config.total.min(room) / config.segment).unwrap_or(usize::MAX);
        let limit = limit.max(4);
        Ok(Self {
            made: free.len(),
            free,
            next_name,
            limit,
            reserve: (limit / 10).max(1),
            segment: config.segment,
        })
    }

    /// Takes every segment, to look into it.
    pub(super) fn take_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.free)
    }

    /// Gives one back: it may be overwritten from now on.
    pub(super) fn give_back(&mut self, name: String) {
        self.free.push(name);
    }

    /// Makes what alerts may need and one for routine before they are needed.
    pub(super) fn prepare(&mut self, storage: &dyn Storage, alerts_hold: usize) {
        while self.free.len() < self.kept_for_alerts(alerts_hold) + 1 && self.made < self.limit {
            match self.make(storage) {
                Ok(name) => self.free.push(name),
                Err(error) => {
                    log::warn!("no room on the data partition for the log's next segment: {error}");
                    break;
                }
            }
        }
    }

    /// Takes a segment for `lane`, or says that there is none for it.
    pub(super) fn take(&mut self, storage: &dyn Storage, lane: Lane, alerts_hold: usize) -> Option<String> {
        let kept = match lane {
            Lane::Alert => 0,
            Lane::Routine => self.kept_for_alerts(alerts_hold),
        };
        let obtainable = self.free.len() + self.limit.saturating_sub(self.made);
        if obtainable <= kept {
            return None;
        }
        if self.free.len() <= kept {
            // The free ones are the alerts': this one must be new.
            return self.make(storage).ok();
        }
        self.free.pop()
    }

    fn kept_for_alerts(&self, alerts_hold: usize) -> usize {
        self.reserve.saturating_sub(alerts_hold)
    }

    fn make(&mut self, storage: &dyn Storage) -> io::Result<String> {
        let made = self.try_make(storage);
        if made.is_err() {
            // Half a segment must not keep the last room of a full disk; when emptying it fails too, so be it.
            let _ = storage.create(TEMPORARY);
        }
        made
    }

    /// Zero-filled and synced under a temporary name first: a segment that has its name is whole.
    fn try_make(&mut self, storage: &dyn Storage) -> io::Result<String> {
        let name = format!("{PREFIX}{:06}", self.next_name);
        storage.create(TEMPORARY)?;
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < self.segment {
            let length = usize::try_from(self.segment - at).unwrap_or(ZEROS).min(ZEROS);
            storage.write(TEMPORARY, at, &zeros[..length])?;
            at += length as u64;
        }
        storage.sync(TEMPORARY)?;
        storage.rename(TEMPORARY, &name)?;
        storage.sync_directory()?;
        self.next_name += 1;
        self.made += 1;
        Ok(name)
    }
}
