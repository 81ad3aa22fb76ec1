//! What is known of the time, without trusting the wall clock.
//!
//! *Certain* is a time that has passed: the image's own, what a signed release said, what init saved, and the clock of a
//! repository that proved who it is, each risen with the kernel's monotonic clock. *Best* is the repository's clock where
//! it was heard since the start, else the wall clock, which init holds to its floor; it decides windows and waves only.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::moment::since_boot;
use crate::paths;

/// The time, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knowledge {
    /// Seconds since 1970 that had passed at a moment since boot.
    floor: (u64, Duration),
    /// The repository's time at a moment since boot.
    heard: Option<(u64, Duration)>,
}

impl Knowledge {
    /// With a time that has certainly passed.
    pub(super) fn new(floor: u64) -> Self {
        let saved = std::fs::read_to_string(Path::new(paths::TIME)).ok();
        let saved = saved.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self {
            floor: (floor.max(saved), since_boot()),
            heard: None,
        }
    }

    /// The repository, which proved who it is, has this time.
    pub(super) fn hear(&mut self, date: u64) {
        self.heard = Some((date, since_boot()));
    }

    /// Whether a repository that proved who it is was heard since the start.
    pub(super) fn heard(&self) -> bool {
        self.heard.is_some()
    }

    /// This time has certainly passed.
    pub(super) fn raise(&mut self, time: u64) {
        let now = since_boot();
        self.floor = (risen(self.floor, now).max(time), now);
    }

    /// Seconds since 1970 that have certainly passed.
    pub(super) fn certain(&self) -> u64 {
        let now = since_boot();
        let heard = self.heard.map_or(0, |heard| risen(heard, now));
        risen(self.floor, now).max(heard)
    }

    /// What time it is, as well as is known.
    pub(super) fn best(&self) -> u64 {
        match self.heard {
            Some(heard) => risen(heard, since_boot()),
            None => {
                let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                wall.map_or(0, |wall| wall.as_secs()).max(self.certain())
            }
        }
    }
}

fn risen((seconds, at): (u64, Duration), now: Duration) -> u64 {
    seconds.saturating_add(now.saturating_sub(at).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_clock_decides_windows_and_raises_the_certain_time() {
        let mut knowledge = Knowledge::new(1000);
        assert!(knowledge.best() >= 1_700_000_000, "the wall clock");
        knowledge.hear(500);
        assert!((500..600).contains(&knowledge.best()));
        assert!(knowledge.certain() >= 1000);
        knowledge.hear(5_000_000_000);
        assert!(knowledge.certain() >= 5_000_000_000);
    }

    #[test]
    fn what_a_release_says_raises_it_for_good() {
        let mut knowledge = Knowledge::new(1000);
        knowledge.raise(4_000_000_000);
        knowledge.raise(7);
        assert!(knowledge.certain() >= 4_000_000_000);
        assert!(risen((10, Duration::from_secs(5)), Duration::from_secs(9)) == 14);
    }
}
