//! Who tells something, by the kernel's word, and how much anybody may tell.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::confine::NEEDS;
use crate::init;

/// Events at once.
const BURST: u64 = 64;
/// Time for another one: a day of one that tells without end is some 8,600 records, and the trail holds more.
const PAUSE: Duration = Duration::from_secs(10);

/// Users' names as services.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers(BTreeMap<u32, &'static str>);

impl Peers {
    /// The users of this image.
    pub(super) fn of_this_box() -> Self {
        let known = NEEDS.iter().filter_map(|needs| {
            let (user, _) = init::user(needs.user).ok()?;
            Some((user, needs.service))
        });
        Self(known.collect())
    }

    /// Whether a service runs as `user`.
    pub(super) fn knows(&self, user: u32) -> bool {
        self.0.contains_key(&user)
    }

    /// The service that runs as `user`; root is init's.
    pub(super) fn service(&self, user: u32) -> String {
        match self.0.get(&user) {
            _ if user == 0 => "init".to_owned(),
            Some(service) => (*service).to_owned(),
            None => format!("user-{user}"),
        }
    }
}

/// How much one teller may tell: what is beyond is counted, and the count is told.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    left: u64,
    since: Duration,
    /// Refused since the last one that was taken.
    pub(super) refused: u64,
}

impl Allowance {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            left: BURST,
            since: now,
            refused: 0,
        }
    }

    /// Whether one more may be told now.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        while self.left < BURST && now.saturating_sub(self.since) >= PAUSE {
            self.left += 1;
            self.since += PAUSE;
        }
        if self.left == BURST {
            self.since = now;
        }
        if self.left == 0 {
            self.refused += 1;
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tells_without_end_is_counted() {
        let at = Duration::from_secs;
        let mut allowance = Allowance::new(at(0));
        let taken = (0..1000).filter(|_| allowance.take(at(1))).count() as u64;
        assert_eq!((taken, allowance.refused), (BURST, 1000 - BURST));
        assert!(allowance.take(at(12)) && !allowance.take(at(12)));
        let later = (0..1000).filter(|_| allowance.take(at(100_000))).count() as u64;
        assert_eq!(later, BURST);
    }
}
