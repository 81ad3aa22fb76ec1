//! Counters watched over the last minute: how fast they grow.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the trend looks.
const WINDOW: Duration = Duration::from_mins(1);

/// `N` counters over the last minute.
#[derive(Debug, Clone)]
pub(super) struct Trend<const N: usize> {
    seen: VecDeque<(Duration, [u64; N])>,
}

impl<const N: usize> Default for Trend<N> {
    fn default() -> Self {
        Self {
            seen: VecDeque::new(),
        }
    }
}

impl<const N: usize> Trend<N> {
    /// Takes note of the counters `now`, a time since any fixed moment, and says how much they grew a second within
    /// the last minute, or since the first call. One that shrinks has begun anew.
    pub(super) fn per_second(&mut self, now: Duration, counters: [u64; N]) -> [f64; N] {
        self.seen.push_back((now, counters));
        // The oldest one kept is as old as the window, or older by one step.
        while self
            .seen
            .get(1)
            .is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW)
        {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front() else {
            return [0.0; N];
        };
        let seconds = now.saturating_sub(*since).as_secs_f64();
        std::array::from_fn(|i| match seconds {
            s if s > 0.0 => counters[i].saturating_sub(before[i]) as f64 / s,
            _ => 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_minute() {
        let mut trend = Trend::default();
        let at = Duration::from_secs;
        assert_eq!(trend.per_second(at(100), [0, 5]), [0.0, 0.0]);
        assert_eq!(trend.per_second(at(110), [20, 5]), [2.0, 0.0]);
        // Nothing came for two minutes.
        for second in (112..=230).step_by(2) {
            trend.per_second(at(second), [20, 5]);
        }
        assert_eq!(trend.per_second(at(232), [20, 5]), [0.0, 0.0]);
        assert!(trend.seen.len() < 40, "{}", trend.seen.len());
    }

    #[test]
    fn a_counter_that_begins_anew_is_no_rate() {
        let mut trend = Trend::default();
        trend.per_second(Duration::from_secs(1), [1000]);
        assert_eq!(trend.per_second(Duration::from_secs(2), [3]), [0.0]);
    }
}
