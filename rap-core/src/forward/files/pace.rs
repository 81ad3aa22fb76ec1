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
pub struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// Bytes the next range may have.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }

    /// Learns from a range of so many bytes that was answered after `time`. It grows to the double at most, and shrinks
    /// at once. A range smaller than it might have been says nothing of larger ones.
    pub fn learn(&mut self, bytes: usize, time: Duration) {
        let micros = time.as_micros().max(1);
        let fits = (bytes as u128 * STEP.as_micros() / micros).min(super::LONGEST_RANGE as u128);
        // At most LONGEST_RANGE.
        let fits = usize::try_from(fits).unwrap_or(LEAST);
        if fits < self.0 || bytes >= self.0 {
            let size = fits.min(2 * self.0).max(LEAST);
            self.0 = size / GRAIN * GRAIN;
        }
    }

    /// Nothing is known of the link any more.
    pub fn forget(&mut self) {
        self.0 = self.0.min(FIRST);
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
}
