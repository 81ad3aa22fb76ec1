//! A limit on the rate of sending: when may so many bytes go?
//!
//! Pure: it is told the time and says how long to wait. Over any time T at most `rate × (T + 0.25 s)` and one part go.

use std::time::Duration;

use crate::site::BitRate;

/// So much time that was not used may be made up for.
const BURST: Duration = Duration::from_millis(250);

/// When the line is free again, if it were as slow as it is to look.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: BitRate,
    free: Duration,
}

impl Pace {
    pub(crate) fn new(rate: BitRate) -> Self {
        Self {
            rate,
            free: Duration::ZERO,
        }
    }

    /// How many bytes to send at once: a tenth of a second's, so that sending is even, but not many small packets.
    pub(crate) fn part(&self) -> usize {
        self.rate
            .bytes_in(Duration::from_millis(100))
            .clamp(1200, 16 * 1024)
    }

    /// Takes room for `bytes` at `now`, on any clock that only goes forward; says how long to wait before sending them.
    pub(crate) fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        let start = self.free.max(now.saturating_sub(BURST));
        self.free = start + self.rate.time_for(bytes);
        start.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn pace() -> Pace {
        // 12,000 bytes a second.
        Pace::new("96 kbit/s".parse().unwrap())
    }

    #[test]
    fn after_the_first_part_each_waits_its_turn() {
        let mut pace = pace();
        assert_eq!(pace.take(6000, HOUR), Duration::ZERO);
        // A quarter of a second was made up for, another is to wait.
        assert_eq!(pace.take(1200, HOUR), Duration::from_millis(250));
        assert_eq!(pace.take(1200, HOUR), Duration::from_millis(350));
    }

    #[test]
    fn in_any_time_no_more_goes_than_the_rate_allows() {
        let (mut pace, mut now, mut sent) = (pace(), HOUR, 0);
        for step in 0..1000 {
            // Pauses of all kinds between.
            now += Duration::from_millis(step % 7 * 40);
            now += pace.take(1200, now);
            sent += 1200;
            let allowed = 12_000.0 * ((now - HOUR).as_secs_f64() + 0.25) + 1200.0;
            assert!(f64::from(sent) <= allowed, "{sent} bytes, {allowed} allowed");
        }
    }

    #[test]
    fn a_part_is_neither_a_crumb_nor_a_flood() {
        let part = |rate: &str| Pace::new(rate.parse().unwrap()).part();
        assert_eq!(part("8 kbit/s"), 1200);
        assert_eq!(part("1000 kbit/s"), 12_500);
        assert_eq!(part("1000 Mbit/s"), 16 * 1024);
    }
}
