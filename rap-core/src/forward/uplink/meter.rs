//! What went over the wire, counted below TLS and above it, since start and in the last minute.
//!
//! Below TLS these are the bytes of the TCP streams to the service centre (or to the relay, after it said 200): with
//! TLS's own, without those of TCP, IP and below. A handshake counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::moment;

/// The last minute is counted in so many slots…
const SLOTS: usize = 12;
/// … of so many seconds.
const SLOT_SECONDS: u64 = 5;

/// What is counted of traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// Bytes below TLS.
    pub(super) sent: u64,
    /// Bytes below TLS.
    pub(super) received: u64,
    /// Reports delivered.
    pub(super) reports: u64,
}

/// Where a connection stands: by comparing two of these an attempt is told from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Connections made.
    pub(super) connections: u64,
    /// Bytes of answers, above TLS.
    pub(super) answered: u64,
}

/// The counts, shared by the connections of one client.
#[derive(Debug, Default)]
pub(in crate::forward) struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: Amounts,
    minute: Minute,
    mark: Mark,
}

impl Meter {
    pub(super) fn connected(&self) {
        self.counts().mark.connections += 1;
    }

    /// So many bytes of an answer came, above TLS.
    pub(super) fn answered(&self, bytes: usize) {
        self.counts().mark.answered += bytes as u64;
    }

    pub(super) fn add(&self, amounts: Amounts) {
        let mut counts = self.counts();
        counts.total.add(amounts);
        counts.minute.add(moment::since_boot(), amounts);
    }

    pub(super) fn mark(&self) -> Mark {
        self.counts().mark
    }

    /// Since start, and in the last minute.
    pub(super) fn read(&self) -> (Amounts, Amounts) {
        let counts = self.counts();
        (counts.total, counts.minute.sum(moment::since_boot()))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Amounts {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.reports += other.reports;
    }
}

/// The last minute, to within a slot.
#[derive(Debug, Default)]
struct Minute([Slot; SLOTS]);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Which one it is, from 1 at time 0.
    number: u64,
    amounts: Amounts,
}

impl Minute {
    fn add(&mut self, now: Duration, amounts: Amounts) {
        let number = number(now);
        let index = usize::try_from(number % SLOTS as u64).unwrap_or_default();
        let Some(slot) = self.0.get_mut(index) else {
            return;
        };
        if slot.number != number {
            *slot = Slot {
                number,
                amounts: Amounts::default(),
            };
        }
        slot.amounts.add(amounts);
    }

    fn sum(&self, now: Duration) -> Amounts {
        let number = number(now);
        let mut sum = Amounts::default();
        let recent = self.0.iter().filter(|slot| slot.number + SLOTS as u64 > number);
        recent.for_each(|slot| sum.add(slot.amounts));
        sum
    }
}

fn number(now: Duration) -> u64 {
    now.as_secs() / SLOT_SECONDS + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_what_is_older() {
        let mut minute = Minute::default();
        let one = Amounts {
            sent: 1,
            received: 10,
            reports: 100,
        };
        let at = Duration::from_secs;
        assert_eq!(minute.sum(at(0)), Amounts::default());
        for second in 0..60 {
            minute.add(at(second), one);
        }
        assert_eq!(minute.sum(at(59)).sent, 60);
        assert_eq!(minute.sum(at(60)).received, 550);
        assert_eq!(minute.sum(at(114)).reports, 500);
        assert_eq!(minute.sum(at(115)), Amounts::default());
        // A slot is used again after a pause of any length.
        minute.add(at(1_000_000), one);
        assert_eq!(minute.sum(at(1_000_001)), one);
    }
}
