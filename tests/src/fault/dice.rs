//! Chance that can be repeated: the same seed, the same story.

use std::time::Duration;

/// A generator of numbers (SplitMix64, Steele, Lea and Flood 2014): good enough to choose by.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The one of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll().checked_rem(bound).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `things`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        let index = self.below(things.len() as u64);
        things[usize::try_from(index).unwrap_or_default()]
    }

    /// A time below `bound`, in whole milliseconds.
    pub fn time_below(&mut self, bound: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
    }
}
