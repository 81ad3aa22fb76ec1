//! What is written down of sessions and directives: in the audit trail, and a line each in the log.
//!
//! Invariants
//! - The session service waits for nobody here, so that a session that is withdrawn is closed at once whatever the trail's
//!   disk does. What the trail does not take now is offered again at the next tick, in order.
//! - Refusals, which anybody can provoke, never take the room in the trail that a session's steps need ([`Refusals`]); how
//!   many were not told goes with the next that is.

use std::path::PathBuf;
use std::time::Duration;

use crate::audit::client::Outbox;
use crate::audit::{Event, Kind};
use crate::{moment, paths};

/// So many refusals are told at once, and one more in each [`APART`].
const AT_ONCE: u32 = 16;
/// The writer of the trail takes one event of a service in ten seconds, after 64 at once.
const APART: Duration = Duration::from_secs(30);

/// Where records go.
pub(super) trait Record {
    /// Writes one down: what happened, and the facts; that named `words` is for people.
    fn record(&mut self, what: Kind, facts: &[(&str, &str)]);

    /// Offers again what was not taken.
    fn again(&mut self) {}
}

/// Into the audit trail.
#[derive(Debug)]
pub(super) struct Trail {
    refusals: Refusals,
    outbox: Outbox,
    socket: PathBuf,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            refusals: Refusals::default(),
            outbox: Outbox::default(),
            socket: paths::AUDIT_SOCKET.into(),
        }
    }
}

impl Record for Trail {
    fn record(&mut self, what: Kind, facts: &[(&str, &str)]) {
        use std::fmt::Write as _;
        let line = facts.iter().fold(String::new(), |mut line, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value:?}");
            line
        });
        log::info!("{}{line}", what.id());
        let mut before = 0;
        if matches!(what, Kind::DirectiveRefused | Kind::ConsentRefused) {
            match self.refusals.take(moment::since_boot()) {
                Some(untold) => before = untold,
                None => return,
            }
        }
        let (words, facts): (Vec<_>, Vec<_>) = facts.iter().partition(|(name, _)| *name == "words");
        let words = words.first().map_or("", |(_, words)| words);
        let mut event = Event::new(what, words);
        for (name, value) in facts {
            event = event.with(name, value);
        }
        if before > 0 {
            event = event.with("untold", before);
        }
        self.outbox.put(event);
        self.again();
    }

    fn again(&mut self) {
        self.outbox.flush(&self.socket);
    }
}

/// How many refusals may be told.
#[derive(Debug, Default)]
struct Refusals {
    told: u32,
    untold: u32,
    since: Duration,
}

impl Refusals {
    /// Whether one may be told at `now`; then how many before it were not.
    fn take(&mut self, now: Duration) -> Option<u32> {
        let passed = now.saturating_sub(self.since).as_secs() / APART.as_secs();
        if passed > 0 {
            self.told = self
                .told
                .saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            self.since = now;
        }
        if self.told < AT_ONCE {
            self.told += 1;
            return Some(std::mem::take(&mut self.untold));
        }
        self.untold = self.untold.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};

    use super::*;

    /// What waits at the trail's socket.
    fn told(listener: &OwnedFd) -> Event {
        let connection = rustix::net::accept(listener).unwrap();
        let mut packet = [0_u8; 8192];
        let (length, _) = rustix::net::recv(&connection, &mut packet, RecvFlags::empty()).unwrap();
        serde_json::from_slice(&packet[..length]).unwrap()
    }

    #[test]
    fn what_the_trail_does_not_take_is_offered_again_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut trail = Trail {
            socket: socket.clone(),
            ..Trail::default()
        };
        // Nobody is there: the service goes on all the same.
        let asked = [("session", "s1"), ("state", "asked"), ("words", "who and why")];
        trail.record(Kind::SessionChanged, &asked);
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::NONBLOCK);
        let listener = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        rustix::net::listen(&listener, 4).unwrap();
        trail.record(Kind::SessionChanged, &[("session", "s1"), ("state", "open")]);
        trail.again();
        let of = |words, state| {
            let event = Event::new(Kind::SessionChanged, words);
            event.with("session", "s1").with("state", state)
        };
        assert_eq!(told(&listener), of("who and why", "asked"));
        assert_eq!(told(&listener), of("", "open"));
        assert!(rustix::net::accept(&listener).is_err(), "told twice");
    }

    #[test]
    fn refusals_leave_room_for_everything_else_and_are_counted() {
        let mut refusals = Refusals::default();
        let told = (0..100)
            .filter(|_| refusals.take(Duration::from_secs(40)).is_some())
            .count();
        assert_eq!(told, 16);
        assert_eq!(refusals.take(Duration::from_secs(69)), None);
        assert_eq!(refusals.take(Duration::from_secs(71)), Some(85));
        assert_eq!(refusals.take(Duration::from_secs(72)), None);
        // After a long time as many as at first, and no more.
        let told = (0..100)
            .filter(|_| refusals.take(Duration::from_secs(90_000)).is_some())
            .count();
        assert_eq!(told, 16);
    }
}
