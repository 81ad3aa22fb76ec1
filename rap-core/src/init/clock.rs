//! The clock's floor: a time that has certainly passed, so that no certificate looks as if it were from the future.
//!
//! No battery clock is trusted. The floor is the latest of the image's build time and the time saved on the data
//! partition; and as time passes, the floor rises with the kernel's monotonic clock. What is saved is that risen
//! floor and not the wall clock: a wall clock that somebody set years ahead would otherwise hold the box there for
//! ever.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::{InitError, durable};
use crate::audit::{Event, Kind};
use crate::paths;

pub(super) use crate::moment::since_boot;

/// How often the time is saved.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(600);

/// A time that has passed, and the moment since boot at which that was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floor {
    since_1970: u64,
    at: Duration,
}

impl Floor {
    pub(super) fn new(since_1970: u64, at: Duration) -> Self {
        Self { since_1970, at }
    }

    /// The floor at a later moment, in seconds since 1970.
    pub(super) fn seconds(self, now: Duration) -> u64 {
        self.since_1970
            .saturating_add(now.saturating_sub(self.at).as_secs())
    }

    /// This floor, or `since_1970` where that is later.
    pub(super) fn raised(self, since_1970: u64, now: Duration) -> Self {
        Self::new(self.seconds(now).max(since_1970), now)
    }
}

/// Sets the wall clock to the floor where it is earlier; then returns what there is to tell.
pub(super) fn hold(floor: Floor) -> Option<Event> {
    let floor = i64::try_from(floor.seconds(since_boot())).unwrap_or(0);
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if now >= floor {
        return None;
    }
    let time = Timespec {
        tv_sec: floor,
        tv_nsec: 0,
    };
    match clock_settime(ClockId::Realtime, time) {
        Ok(()) => {
            log::info!("clock set from {now} to its floor {floor}");
            let event = Event::new(
                Kind::ClockSet,
                "the clock was earlier than a time that has certainly passed",
            );
            Some(event.with("from", now).with("to", floor))
        }
        Err(error) => {
            log::error!("cannot set the clock to its floor {floor}: {error}");
            None
        }
    }
}

/// The floor with what is saved on the data partition; `set` becomes how the clock was set by it.
pub(super) fn raise(floor: Floor, set: &mut Option<Event>) -> Floor {
    let saved = saved(Path::new(paths::TIME));
    let floor = floor.raised(saved.unwrap_or(0), since_boot());
    *set = hold(floor).or(set.take());
    floor
}

/// The time saved in `file`; a missing or damaged file is no time.
pub(super) fn saved(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Saves the risen floor in `file`, durably.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn save(file: &Path, floor: Floor) -> Result<(), InitError> {
    let text = format!("{}\n", floor.seconds(since_boot()));
    durable::write(file, text.as_bytes(), 0o644, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_rises_with_time_and_never_falls() {
        let floor = Floor::new(1000, Duration::from_secs(5));
        assert_eq!(floor.seconds(Duration::from_secs(15)), 1010);
        assert_eq!(floor.seconds(Duration::ZERO), 1000);
        let now = Duration::from_secs(15);
        assert_eq!(floor.raised(900, now).seconds(now), 1010);
        assert_eq!(floor.raised(2000, now).seconds(now), 2000);
    }

    #[test]
    fn what_is_saved_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("time");
        assert_eq!(saved(&file), None);
        save(&file, Floor::new(1_700_000_000, since_boot())).unwrap();
        assert!((1_700_000_000..1_700_000_005).contains(&saved(&file).unwrap()));
        std::fs::write(&file, "\0\0").unwrap();
        assert_eq!(saved(&file), None);
    }
}
