//! How large a range may be, so that an alert never waits for long behind one. Pure.

use std::time::Duration;

/// The time one range should take, with its answer.
const STEP: Duration = Duration::from_secs(2);
/// At the beginning: two seconds at 128 kbit/s.
const FIRST: usize = 32 * 1024;
const LEAST: usize = 8 * 1024;
/// Sizes are multiples of this.
const GRAIN: usize = 4 * 1024;

/// The size of the next range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    size: usize,
    /// What the other side takes.
    most: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            size: FIRST,
            most: super::LONGEST_RANGE,
        }
    }
}

impl Pace {
    /// For a line on which so many bytes may be sent in a step's time.
    #[must_use]
    pub fn limited(per: impl FnOnce(Duration) -> usize) -> Self {
        Self {
            size: per(STEP).clamp(LEAST, FIRST) / GRAIN * GRAIN,
            ..Self::default()
        }
    }

    /// Bytes the next range may have.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.size
    }

    /// The other side takes no ranges of so many bytes. Returns whether a smaller one is worth trying.
    pub fn too_large(&mut self, bytes: usize) -> bool {
        let worth = bytes > LEAST;
        // When even small ones are not taken, it was not for their size.
        self.most = if worth {
            (bytes / 2).max(LEAST)
        } else {
            super::LONGEST_RANGE
        };
        self.size = self.size.min(self.most);
        worth
    }

    /// Learns from a range of so many bytes that was answered after `time`. It grows to the double at most, and shrinks
    /// at once. A range smaller than it might have been says nothing of larger ones.
    pub fn learn(&mut self, bytes: usize, time: Duration) {
        let micros = time.as_micros().max(1);
        let fits = (bytes as u128 * STEP.as_micros() / micros).min(self.most as u128);
        // At most `most`.
        let fits = usize::try_from(fits).unwrap_or(LEAST);
        if fits < self.size || bytes >= self.size {
            let size = fits.min(2 * self.size).max(LEAST);
            self.size = size / GRAIN * GRAIN;
        }
    }

    /// Nothing is known of the link any more.
    pub fn forget(&mut self) {
        self.size = self.size.min(FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after many ranges over a link of so many bytes a second with this round trip.
    fn settled(rate: f64, round_trip: Duration) -> usize {
        let mut pace = Pace::default();
        for _ in 0..30 {
            let time = Duration::from_secs_f64(pace.bytes() as f64 / rate) + round_trip;
            pace.learn(pace.bytes(), time);
        }
        pace.bytes()
    }

    #[test]
    fn a_range_takes_two_seconds_at_most() {
        let (none, slow) = (Duration::ZERO, Duration::from_millis(400));
        assert_eq!(settled(16_000.0, none), 28 * 1024);
        assert_eq!(settled(16_000.0, slow), 24 * 1024);
        assert_eq!(settled(1e9, none), super::super::LONGEST_RANGE);
        assert_eq!(settled(100.0, none), LEAST);
    }

    #[test]
    fn it_grows_slowly_and_shrinks_at_once() {
        let mut pace = Pace::default();
        pace.learn(FIRST, Duration::from_millis(1));
        assert_eq!(pace.bytes(), 2 * FIRST);
        pace.learn(100, Duration::from_millis(1));
        assert_eq!(
            pace.bytes(),
            2 * FIRST,
            "a file's short end says nothing of longer ranges"
        );
        pace.learn(2 * FIRST, Duration::from_secs(16));
        assert_eq!(pace.bytes(), LEAST);
        pace.learn(LEAST, Duration::ZERO);
        assert_eq!(pace.bytes(), 2 * LEAST);
        for _ in 0..10 {
            pace.learn(pace.bytes(), Duration::ZERO);
        }
        pace.forget();
        assert_eq!(pace.bytes(), FIRST);
    }

    #[test]
    fn it_keeps_to_what_the_other_side_takes() {
        let mut pace = Pace::default();
        assert!(pace.too_large(FIRST));
        assert_eq!(pace.bytes(), FIRST / 2);
        pace.learn(FIRST / 2, Duration::ZERO);
        assert_eq!(pace.bytes(), FIRST / 2);
        assert!(pace.too_large(FIRST / 2));
        assert!(!pace.too_large(pace.bytes()), "nothing smaller is worth trying");
        pace.learn(pace.bytes(), Duration::ZERO);
        assert_eq!(pace.bytes(), FIRST / 2, "it was not for the size");
        assert_eq!(Pace::limited(|_| 20_000).bytes(), 16 * 1024);
        assert_eq!(Pace::limited(|_| 1).bytes(), LEAST);
    }
}
