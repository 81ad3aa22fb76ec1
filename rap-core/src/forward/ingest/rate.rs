//! How many reports a second a port may bring: a token bucket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bound on a port's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Reports a second in the long run, at least 1.
    pub per_second: u32,
    /// Reports at once after a pause.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            per_second: 1000,
            burst: 4000,
        }
    }
}

/// A port's bucket. A request is let in while a token is left and then takes as many as it has reports, so a batch may
/// leave the bucket in debt: whole batches pass, and the rate holds all the same.
#[derive(Debug, Clone)]
pub(super) struct Bucket(Arc<Mutex<Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let tokens = f64::from(rate.burst.max(1));
        Self(Arc::new(Mutex::new(Level {
            rate,
            tokens,
            at: now,
        })))
    }

    /// Takes one token for a request.
    ///
    /// # Errors
    /// How long to wait when there is none; nothing is taken.
    pub(super) fn enter(&self, now: Instant) -> Result<(), Duration> {
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        level.fill(now);
        if level.tokens >= 1.0 {
            level.tokens -= 1.0;
            return Ok(());
        }
        let missing = 1.0 - level.tokens;
        Err(Duration::from_secs_f64(missing / level.speed()))
    }

    /// Takes the tokens of further reports of a request that was let in.
    pub(super) fn charge(&self, reports: usize) {
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        level.tokens -= f64::from(u32::try_from(reports).unwrap_or(u32::MAX));
    }
}

impl Level {
    fn speed(&self) -> f64 {
        f64::from(self.rate.per_second.max(1))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let full = f64::from(self.rate.burst.max(1));
        self.tokens = (self.tokens + passed * self.speed()).min(full);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_burst_passes_then_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(RATE, start);
        for _ in 0..3 {
            assert_eq!(bucket.enter(start), Ok(()));
        }
        assert_eq!(bucket.enter(start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.enter(start + Duration::from_millis(100)), Ok(()));
        assert!(bucket.enter(start + Duration::from_millis(100)).is_err());
    }

    #[test]
    fn a_batch_leaves_debt() {
        let start = Instant::now();
        let bucket = Bucket::new(RATE, start);
        assert_eq!(bucket.enter(start), Ok(()));
        bucket.charge(255);
        let wait = bucket.enter(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(25_400));
        assert_eq!(bucket.enter(start + wait), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(steps in proptest::collection::vec(0_u64..500, 1..200)) {
            let start = Instant::now();
            let bucket = Bucket::new(RATE, start);
            let (mut passed, mut entered) = (0, 0_u64);
            for step in steps {
                passed += step;
                let now = start + Duration::from_millis(passed);
                entered += u64::from(bucket.enter(now).is_ok());
                prop_assert!(entered <= 3 + passed / 100 + 1);
            }
        }
    }
}
