//! How fast the slots are read and written, so that the rest of the box does not wait for the disk.

use std::time::{Duration, Instant};

/// Asked after each piece of work.
pub trait Pace {
    /// `bytes` more were read or written. Waits as long as it likes; `false` ends the work.
    fn after(&mut self, bytes: u64) -> bool;
}

/// As fast as it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtOnce;

impl Pace for AtOnce {
    fn after(&mut self, _bytes: u64) -> bool {
        true
    }
}

/// So many bytes a second on average since the first.
#[derive(Debug, Clone, Copy)]
pub struct Gently {
    bytes_per_second: u64,
    began: Option<Instant>,
    bytes: u64,
}

impl Gently {
    /// At most `bytes_per_second`, of which 0 counts as 1.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            began: None,
            bytes: 0,
        }
    }

    /// How long to wait when so many bytes took so long.
    fn pause(&self, took: Duration) -> Duration {
        let due = Duration::from_millis(self.bytes.saturating_mul(1000) / self.bytes_per_second);
        due.saturating_sub(took)
    }
}

impl Pace for Gently {
    fn after(&mut self, bytes: u64) -> bool {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.bytes = self.bytes.saturating_add(bytes);
        std::thread::sleep(self.pause(began.elapsed()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_what_is_left_of_the_time() {
        let pace = Gently {
            bytes: 3 << 20,
            ..Gently::new(1 << 20)
        };
        assert_eq!(pace.pause(Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(pace.pause(Duration::from_secs(9)), Duration::ZERO);
        assert!(Gently::new(u64::MAX).after(1));
    }
}
