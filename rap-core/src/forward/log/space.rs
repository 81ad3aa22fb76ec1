//! Which segments exist and who may take one: the bound, the part kept for alerts, and the one for dead letters.
//!
//! Segments are made ahead (see [`Preparation`]), so that acknowledging waits for zeros only when reports come faster
//! than they can be made.

use std::io;
use std::sync::Arc;

use super::Config;
use super::frame::Owner;
use super::storage::{Barrier, Storage};
use crate::forward::lane::Lane;

const PREFIX: &str = "segment-";
const TEMPORARY: &str = "new-";
const ZEROS: usize = 64 * 1024;
/// Free segments for routine reports that are made before they are needed.
const AHEAD: usize = 2;

/// How many segments each owner holds.
pub(super) type Held = [usize; 3];

/// The segments that nobody holds, and how many there may be in all.
#[derive(Debug)]
pub(super) struct Space {
    free: Vec<String>,
    /// Segments that exist or are being made.
    made: usize,
    next_name: u64,
    /// As many as the configuration allows.
    most: usize,
    /// As many as there is room for at present.
    limit: usize,
    segment: u64,
    preparing: bool,
    full: bool,
}

impl Space {
    /// Finds the segments there are. All are taken at first: give back those that hold nothing.
    pub(super) fn open(storage: &dyn Storage, config: &Config) -> io::Result<(Self, Vec<String>)> {
        let mut numbered: Vec<(u64, String)> = Vec::new();
        for name in storage.list()? {
            let number = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                numbered.push((number, name));
            } else if name.starts_with(TEMPORARY) {
                // It was being made when the box stopped. Left alone it would only take room.
                drop(storage.remove(&name));
            }
        }
        numbered.sort();
        let next_name = numbered.last().map_or(1, |(number, _)| number + 1);
        let names: Vec<String> = numbered.into_iter().map(|(_, name)| name).collect();
        let mut space = Self {
            free: Vec::new(),
            made: names.len(),
            next_name,
            most: config.segments(),
            limit: 0,
            segment: config.segment,
            preparing: false,
            full: false,
        };
        space.look(storage);
        Ok((space, names))
    }

    /// How many segments nobody holds.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// How many segments there may be at present.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many segments only alerts may take: a tenth of what is configured, at most half of what there is room for.
    pub(super) fn reserve(&self) -> usize {
        (self.most / 10).min(self.limit / 2).max(1)
    }

    /// How many segments dead letters may hold.
    pub(super) fn most_dead(&self) -> usize {
        (self.most / 16).max(2)
    }

    /// Bytes of the partition that must stay free, so that there is room for all segments there may be.
    pub(super) fn claim(&self) -> u64 {
        let all = (self.most as u64).saturating_mul(self.segment);
        // A tenth stays free: see `look`.
        let needed = all.saturating_add(all / 9).saturating_add(self.segment);
        needed.saturating_sub((self.made as u64).saturating_mul(self.segment))
    }

    /// Gives one back: it may be overwritten from now on. One of another size, or too many, is removed.
    pub(super) fn give_back(&mut self, storage: &dyn Storage, name: String) {
        let right = storage.size(&name).is_ok_and(|size| size == self.segment);
        if right && self.made <= self.most {
            self.free.push(name);
        } else {
            self.made = self.made.saturating_sub(1);
            if let Err(error) = storage.remove(&name) {
                log::warn!("{name} is not needed any more and cannot be removed: {error}");
            }
        }
    }

    /// One that cannot even be read is left alone.
    pub(super) fn abandon(&mut self, name: &str, error: &io::Error) {
        log::error!("{name} cannot be read and is left alone: {error}");
    }

    /// Takes a segment for `owner`, or says that there is none for it.
    pub(super) fn take(&mut self, storage: &Arc<dyn Storage>, owner: Owner, held: Held) -> Option<String> {
        let kept = self.kept_from(owner, held);
        if self.free.len() > kept {
            // In turn, so that all wear alike.
            return Some(self.free.remove(0));
        }
        // The free ones are for others: this one must be new.
        if self.free.len() + self.limit.saturating_sub(self.made) <= kept {
            return None;
        }
        let made = self.begin(storage).make();
        self.end(made)
    }

    /// A segment that should be made before it is needed, if there is one to be made and none in the making.
    pub(super) fn preparation(&mut self, storage: &Arc<dyn Storage>, held: Held) -> Option<Preparation> {
        if self.preparing {
            return None;
        }
        let wanted = self.kept_from(Owner::Lane(Lane::Routine), held) + AHEAD;
        if self.free.len() >= wanted || self.made >= self.most {
            return None;
        }
        self.look(storage.as_ref());
        if self.made >= self.limit {
            self.complain("the data partition has no room for it");
            return None;
        }
        self.preparing = true;
        Some(self.begin(storage))
    }

    /// Takes over what was prepared. Returns whether it is there.
    pub(super) fn prepared(&mut self, prepared: Prepared) -> bool {
        self.preparing = false;
        let name = self.end(prepared);
        let there = name.is_some();
        self.free.extend(name);
        there
    }

    /// How many free segments `owner` must leave to others.
    fn kept_from(&self, owner: Owner, held: Held) -> usize {
        let alert = self
            .reserve()
            .saturating_sub(held[Owner::Lane(Lane::Alert).index()]);
        let dead = usize::from(held[Owner::Dead.index()] == 0);
        match owner {
            Owner::Lane(Lane::Alert) => dead,
            Owner::Lane(Lane::Routine) => alert + dead,
            // One is theirs, more are not more important than alerts.
            Owner::Dead if dead == 1 => 0,
            Owner::Dead => alert,
        }
    }

    /// Looks how many segments there is room for; a tenth of the partition stays free for whatever else lives on it.
    fn look(&mut self, storage: &dyn Storage) {
        // When it cannot be told, making one will tell.
        let free = storage.free_space().unwrap_or(u64::MAX);
        let existing = (self.made as u64).saturating_mul(self.segment);
        let room = (existing.saturating_add(free) / 10).saturating_mul(9) / self.segment.max(1);
        self.limit = usize::try_from(room)
            .unwrap_or(usize::MAX)
            .max(self.made)
            .min(self.most);
    }

    fn begin(&mut self, storage: &Arc<dyn Storage>) -> Preparation {
        self.made += 1;
        self.next_name += 1;
        Preparation {
            storage: Arc::clone(storage),
            number: self.next_name - 1,
            size: self.segment,
        }
    }

    fn end(&mut self, prepared: Prepared) -> Option<String> {
        match prepared.0 {
            Ok(name) => {
                self.full = false;
                Some(name)
            }
            Err(error) => {
                self.made = self.made.saturating_sub(1);
                self.complain(&error.to_string());
                None
            }
        }
    }

    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.full, true) {
            log::warn!("the log cannot grow to its next segment: {why}");
        }
    }
}

/// A segment about to be made; needs no hold on the log meanwhile.
pub struct Preparation {
    storage: Arc<dyn Storage>,
    number: u64,
    size: u64,
}

/// What came of a [`Preparation`]; give it back to the log.
#[must_use]
pub struct Prepared(io::Result<String>);

impl Preparation {
    /// Makes the segment: writes zeros, waits for the disk.
    pub fn make(self) -> Prepared {
        let temporary = format!("{TEMPORARY}{:06}", self.number);
        let made = self.try_make(&temporary);
        if made.is_err() {
            // Half a segment must not keep the last room of a full disk; when removing it fails too, so be it.
            drop(self.storage.remove(&temporary));
        }
        Prepared(made)
    }

    /// Zero-filled and synced under a temporary name first: a segment that has its name is whole.
    fn try_make(&self, temporary: &str) -> io::Result<String> {
        let name = format!("{PREFIX}{:06}", self.number);
        self.storage.create(temporary)?;
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < self.size {
            let length = usize::try_from(self.size - at).unwrap_or(ZEROS).min(ZEROS);
            self.storage.write(temporary, at, &zeros[..length])?;
            at += length as u64;
        }
        self.storage.sync(temporary, Barrier::SegmentZeros)?;
        self.storage.rename(temporary, &name)?;
        self.storage.sync_directory(Barrier::SegmentName)?;
        Ok(name)
    }
}
