//! Chance that can be had again: each test prints its seed, and `RAP_SEED` gives it back.

use std::time::Duration;

/// A sequence of numbers that its seed decides.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by `RAP_SEED`, else by the process's number.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("RAP_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("RAP_SEED={seed}");
        Self(seed)
    }

    /// The next number, below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // A linear congruential step (Knuth, MMIX): any spread will do.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A time from `least` to `most` milliseconds, the latter excluded.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }
}
