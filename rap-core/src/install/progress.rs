//! How far the writing is, in lines: now and then one, with rate and time left. Pure.

use std::time::Duration;

use crate::flash::Phase;

/// The shortest time between two lines.
const EVERY: Duration = Duration::from_secs(2);

/// The progress of one phase after another.
#[derive(Debug)]
pub(super) struct Progress {
    total: u64,
    phase: Option<Phase>,
    /// When the phase began, and its last line was.
    began: Duration,
    told: Duration,
}

impl Progress {
    /// Of `total` bytes in each phase.
    pub(super) fn new(total: u64) -> Self {
        Self {
            total: total.max(1),
            phase: None,
            began: Duration::ZERO,
            told: Duration::ZERO,
        }
    }

    /// Takes that at `now` (by a clock that only goes forward) `done` bytes of `phase` are done; returns a line when it
    /// is time for one.
    pub(super) fn at(&mut self, now: Duration, phase: Phase, done: u64) -> Option<String> {
        let is_new = self.phase != Some(phase);
        if is_new {
            (self.phase, self.began) = (Some(phase), now);
        }
        if !is_new && done < self.total && now.saturating_sub(self.told) < EVERY {
            return None;
        }
        self.told = now;
        let what = match phase {
            Phase::Write => "writing",
            Phase::Verify => "reading back",
        };
        let percent = done.min(self.total) * 100 / self.total;
        let (done, total) = (done >> 20, self.total >> 20);
        let mut line = format!("{what:12}  {percent:3} %  {done} of {total} MiB");
        let milliseconds = u64::try_from(now.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX);
        if let Some(rate) = (done * 1000).checked_div(milliseconds).filter(|rate| *rate > 0) {
            let left = (total.saturating_sub(done)).div_ceil(rate);
            line += &format!(", {rate} MiB/s, {left} s left");
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_now_and_then_with_rate_and_time_left() {
        let mut progress = Progress::new(100 << 20);
        let mut at = |seconds, phase, mib: u64| progress.at(Duration::from_secs(seconds), phase, mib << 20);
        assert_eq!(
            at(10, Phase::Write, 0).as_deref(),
            Some("writing         0 %  0 of 100 MiB")
        );
        assert_eq!(at(11, Phase::Write, 16), None);
        assert_eq!(
            at(12, Phase::Write, 40).as_deref(),
            Some("writing        40 %  40 of 100 MiB, 20 MiB/s, 3 s left")
        );
        assert_eq!(
            at(13, Phase::Write, 100).as_deref(),
            Some("writing       100 %  100 of 100 MiB, 33 MiB/s, 0 s left")
        );
        assert_eq!(
            at(13, Phase::Verify, 1).as_deref(),
            Some("reading back    1 %  1 of 100 MiB")
        );
    }

    #[test]
    fn nothing_to_do_and_no_time_at_all_are_no_trouble() {
        let mut progress = Progress::new(0);
        assert!(progress.at(Duration::ZERO, Phase::Write, 0).is_some());
        assert!(progress.at(Duration::MAX, Phase::Write, u64::MAX).is_some());
    }
}
