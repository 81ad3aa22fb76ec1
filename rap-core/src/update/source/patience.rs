//! When a line is too slow to be waited for: pure, it is told how long each read took and what it gave.
//!
//! A file of a slow line takes its time: as long as there is progress nobody is in a hurry. A server that gives a byte
//! now and then would hold the box for ever, so a byte is no progress.

use std::time::Duration;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TCP connection, its TLS handshake, and each read or write; four times that for an answer's head.
    pub step: Duration,
    /// For [`Self::least`] bytes of a file.
    pub window: Duration,
    /// So many bytes are progress.
    pub least: u64,
}

impl Default for Patience {
    /// 2.2 kbit/s are enough, and lost for 30 s without hurting.
    fn default() -> Self {
        Self {
            step: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 16 << 10,
        }
    }
}

/// Watches one file come.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Patience,
    /// Since there was progress last.
    waited: Duration,
    came: u64,
}

/// There was no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slow {
    /// Since there was progress last.
    pub(super) waited: Duration,
    /// Bytes since then.
    pub(super) came: u64,
}

impl Watch {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// A read took so long and gave so many bytes.
    pub(super) fn took(&mut self, time: Duration, bytes: usize) -> Result<(), Slow> {
        self.waited += time;
        self.came += bytes as u64;
        if self.came >= self.patience.least {
            self.waited = Duration::ZERO;
            self.came = 0;
        } else if self.waited > self.patience.window {
            return Err(Slow {
                waited: self.waited,
                came: self.came,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_line_is_waited_for_and_a_byte_now_and_then_is_not() {
        // 16 kbit/s: 2 KiB a second, for an hour.
        let mut watch = Watch::new(Patience::default());
        for _ in 0..3600 {
            watch.took(Duration::from_secs(1), 2048).unwrap();
        }
        let mut watch = Watch::new(Patience::default());
        let mut seconds = 0;
        let slow = loop {
            seconds += 1;
            if let Err(slow) = watch.took(Duration::from_secs(1), 1) {
                break slow;
            }
        };
        assert_eq!((seconds, slow.came), (61, 61));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_waited_for_longer_than_its_share(reads in proptest::collection::vec((0..30_u64, 0..20_000_usize), 1..400)) {
            let mut watch = Watch::new(Patience::default());
            let (mut time, mut bytes) = (0, 0);
            for (seconds, came) in reads {
                time += seconds;
                bytes += came as u64;
                if watch.took(Duration::from_secs(seconds), came).is_err() {
                    break;
                }
                // A window and a step for each share of progress, and one more.
                proptest::prop_assert!(time <= 90 * (bytes / (16 << 10) + 1), "{time} s for {bytes} bytes");
            }
        }
    }
}
