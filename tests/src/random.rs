//! Chance that can be had again: whoever uses it says its seed; a test prints it, and `RAP_SEED` gives it back.

use std::time::Duration;

/// A sequence of numbers that its seed decides.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// For a test: seeded by `RAP_SEED`, else by the process's number.
    #[must_use]
    pub fn of_test() -> Self {
        let seed = std::env::var("RAP_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("RAP_SEED={seed}");
        Self::new(seed)
    }

    /// Seeded by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighbours must not begin alike.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next number, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // A linear congruential step (Knuth, MMIX): any spread will do.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A time from `least` to `most` milliseconds, the latter excluded.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }
}
