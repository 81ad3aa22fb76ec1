//! A slow line: so many bits a second and so much delay each way, in user space.
//!
//! For where the kernel has no `netem`. Bytes leave one after the other as a line sends them and arrive later by the
//! delay; what does not fit waits outside, in the sender's socket. Invariant: no byte is earlier than the line allows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A line's properties, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Bits of TCP payload a second; `None` is no limit.
    pub rate: Option<u64>,
    /// One way.
    pub delay: Duration,
}

/// One direction of a line.
#[derive(Debug)]
pub(super) struct Line {
    link: Link,
    /// When the last byte taken has left.
    free: Mutex<Instant>,
}

/// When some bytes are where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// They have left, and the next ones may be taken.
    pub(super) left: Instant,
    /// They are there.
    pub(super) there: Instant,
}

impl Line {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Sends `bytes` bytes now.
    pub(super) fn send(&self, bytes: usize, now: Instant) -> Times {
        let takes = self.link.rate.map_or(Duration::ZERO, |rate| {
            let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
            Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate.max(1))
        });
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let left = now.max(*free) + takes;
        *free = left;
        Times {
            left,
            there: left + self.link.delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_queue_on_a_line_and_arrive_later() {
        let link = Link {
            rate: Some(128_000),
            delay: Duration::from_millis(200),
        };
        let line = Line::new(link);
        let begin = Instant::now();
        let first = line.send(1600, begin);
        assert_eq!(first.left - begin, Duration::from_millis(100));
        assert_eq!(first.there - begin, Duration::from_millis(300));
        // Somebody else's, at the same moment: behind the first.
        assert_eq!(line.send(1600, begin).left - begin, Duration::from_millis(200));
        // A pause is not saved up.
        let later = begin + Duration::from_secs(9);
        assert_eq!(line.send(1600, later).left - later, Duration::from_millis(100));
        let free = Line::new(Link { rate: None, ..link });
        assert_eq!(
            free.send(1 << 30, begin).there,
            free.send(1, begin).there,
            "no limit, only delay"
        );
    }
}
