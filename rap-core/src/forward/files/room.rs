//! Which files there is room for, and which are given up for others. What was acknowledged as kept never is.

use std::time::Duration;

use super::record::{HEAD, Phase};
use super::shelf::{Entry, Key, PutError, Shelf};

/// Files of all ports together.
const MOST_FILES: usize = 4096;
/// Files of all ports together that are not whole yet.
const MOST_PARTS: usize = 64;

/// Why a file does not fit, or that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    /// Its port has its share.
    Share,
    /// The partition is too full: reports come first.
    Disk,
}

impl Shelf {
    /// Makes room for a new file of `size` bytes, by giving up what may be: files set aside, refused ones, parts nobody
    /// went on with for a while; the least recently touched first.
    pub(super) fn make_room(&mut self, key: &Key, size: u64, now: Duration) -> Result<(), PutError> {
        loop {
            let fit = self.fit(&key.source, size);
            let gave_up = match fit {
                Fit::Yes => return Ok(()),
                Fit::Share => self.give_up(now, |source| source == key.source),
                Fit::Disk => self.drop_damaged() || self.give_up(now, |_| true),
            };
            if !gave_up {
                return Err(PutError::Full);
            }
        }
    }

    /// Whether the partition has room for another range of a file that was begun.
    pub(super) fn room_for_range(&self, bytes: u64) -> Result<(), PutError> {
        match self.free() >= bytes {
            true => Ok(()),
            false => Err(PutError::Full),
        }
    }

    /// Gives up parts nobody went on with for long.
    pub(super) fn tidy(&mut self, now: Duration) {
        let is_stale = |entry: &Entry| now.saturating_sub(entry.touched) >= self.config.stale;
        let parts = self.entries.iter().filter(|(_, e)| e.mark.phase == Phase::Part);
        let stale: Vec<Key> = parts
            .filter(|(_, e)| is_stale(e))
            .map(|(key, _)| key.clone())
            .collect();
        for key in stale {
            self.abandon(&key, "nobody went on with it");
        }
    }

    fn fit(&self, source: &str, size: u64) -> Fit {
        let ports = self.config.ports.max(1);
        let of_port = || self.entries.values().filter(|e| e.description.source == source);
        let parts = of_port().filter(|e| e.mark.phase == Phase::Part).count();
        let used = of_port().fold(0_u64, |sum, e| sum.saturating_add(e.description.size));
        let crowded =
            of_port().count() >= (MOST_FILES / ports).max(1) || parts >= (MOST_PARTS / ports).max(1);
        if crowded || used.saturating_add(size) > self.config.share() {
            return Fit::Share;
        }
        let parts = self.entries.values().filter(|e| e.mark.phase == Phase::Part);
        let owed = parts.fold(0_u64, |sum, e| {
            sum.saturating_add(e.description.size.saturating_sub(e.mark.have))
        });
        let needed = owed.saturating_add(size).saturating_add(HEAD as u64);
        if self.free() < needed { Fit::Disk } else { Fit::Yes }
    }

    /// Bytes that the log of reports can never come to need.
    fn free(&self) -> u64 {
        // When it cannot be told, writing will tell.
        let free = self.storage.free_space().unwrap_or(u64::MAX);
        free.saturating_sub((self.reserve)())
    }

    fn drop_damaged(&mut self) -> bool {
        let Some(name) = self.damaged.pop() else {
            return false;
        };
        log::warn!("{name}, which was damaged, is given up for other files");
        self.remove(&name);
        true
    }

    fn give_up(&mut self, now: Duration, is_for: impl Fn(&str) -> bool) -> bool {
        let may_go = |entry: &Entry| match entry.mark.phase {
            Phase::Refused => true,
            Phase::Part => now.saturating_sub(entry.touched) >= self.config.grace,
            Phase::Whole => false,
        };
        let candidates = self
            .entries
            .iter()
            .filter(|(key, entry)| is_for(&key.source) && may_go(entry));
        let first = candidates.min_by_key(|(_, e)| (e.mark.phase == Phase::Part, e.touched, e.mark.order));
        let Some(key) = first.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.abandon(&key, "its room is needed");
        true
    }

    fn abandon(&mut self, key: &Key, why: &str) {
        if let Some(entry) = self.discard(key) {
            let name = entry.description.name.as_str();
            log::warn!(
                "the file \"{name}\" from {} is given up, with {} of {} bytes: {why}",
                key.source,
                entry.mark.have,
                entry.description.size
            );
        }
    }
}
