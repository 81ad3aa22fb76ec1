//! What the person at an instrument says, and whether it counts: pure but for the PIN's hash.
//!
//! Invariants: a yes counts only from the port of the ticket's instrument; where the site wants a PIN, only with it; a
//! port that guessed wrong [`TRIES`] times is not heard for [`LOCKED`], however it goes on. A no needs no PIN: to be safe
//! is free.

use std::collections::BTreeMap;
use std::time::Duration;

use netfw::model::PortName;
use serde::{Deserialize, Serialize};

use super::pin::Pin;
use crate::directive::{SessionId, Words};

/// Wrong PINs in a row after which a port is locked.
const TRIES: u32 = 5;
/// For how long.
const LOCKED: Duration = Duration::from_secs(15 * 60);
/// The longest time a yes may stand for further requests.
const LONGEST_STANDING: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a PIN, at most.
const LONGEST_PIN: usize = 64;

/// The body of `POST /v1/consent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Consent {
    /// Which request.
    pub session: SessionId,
    /// What the person says.
    pub answer: Answer,
    /// With `for-a-time`: for how many seconds further requests are answered with yes.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Who says so, for the record.
    pub by: Words,
    /// Where the site wants one.
    #[serde(default)]
    pub pin: Option<String>,
}

/// What a person may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Yes, this time.
    Once,
    /// Yes, and to every request for this instrument for a time.
    ForATime,
    /// No; also later, when it was yes before. It ends what was said `for-a-time`.
    Refuse,
    /// Ask me again.
    Later,
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCounted {
    /// There is no such request at this port.
    #[error("no session \"{0}\" is asked for at this port")]
    NoRequest(SessionId),
    /// The site wants a PIN.
    #[error("the site wants a PIN with a yes, and none came")]
    NoPin,
    /// A wrong one.
    #[error("the PIN is wrong; after {left} more the port is locked for {} minutes", LOCKED.as_secs() / 60)]
    WrongPin {
        /// Tries that are left.
        left: u32,
    },
    /// Too many wrong ones.
    #[error("too many wrong PINs: no yes is heard from this port for {} s", .0.as_secs())]
    Locked(Duration),
    /// The site wants a PIN and nobody gave the box one.
    #[error("the site wants a PIN, and this box has none: provision identity/consent.pin")]
    NoPinHere,
    /// A time that is none.
    #[error("for-a-time needs seconds, 1 to {}", LONGEST_STANDING.as_secs())]
    NoTime,
}

/// What the ports have said.
#[derive(Debug, Default)]
pub(super) struct Consents {
    ports: BTreeMap<PortName, Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// Until when every request is answered with yes, and who said so.
    standing: Option<(Duration, Words)>,
    wrong: u32,
    locked_until: Option<Duration>,
}

/// What is remembered of a port's wrong PINs over a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guesses {
    /// How many in a row.
    wrong: u32,
    /// Whether the port is locked.
    locked: bool,
}

impl Consents {
    /// Nobody has said anything since the start, which is `now`. Who was locked out is, for the whole time again: how much
    /// of it has passed a restart cannot tell.
    pub(super) fn locked(guesses: BTreeMap<String, Guesses>, now: Duration) -> Self {
        let said = |guesses: Guesses| Said {
            standing: None,
            wrong: guesses.wrong.min(TRIES - 1),
            locked_until: guesses.locked.then_some(now + LOCKED),
        };
        // What is no port's name is no port's.
        let ports = guesses.into_iter();
        let ports = ports.filter_map(|(port, guesses)| Some((port.parse().ok()?, said(guesses))));
        Self {
            ports: ports.collect(),
        }
    }

    /// What is to be remembered of wrong PINs.
    pub(super) fn guesses(&self, now: Duration) -> BTreeMap<String, Guesses> {
        let of = |said: &Said| Guesses {
            wrong: said.wrong,
            locked: said.locked_for(now).is_some(),
        };
        let all = self.ports.iter().map(|(port, said)| (port.to_string(), of(said)));
        all.filter(|(_, guesses)| *guesses != Guesses::default())
            .collect()
    }

    /// For how much longer no yes is heard from a port, if it is locked.
    pub(super) fn locked_for(&self, port: &PortName, now: Duration) -> Option<Duration> {
        self.ports.get(port)?.locked_for(now)
    }

    /// Whether `consent` counts; with a yes or no for a time remembered. `pin` is the site's, where it wants one.
    pub(super) fn hear(
        &mut self,
        port: &PortName,
        consent: &Consent,
        pin: Wanted<'_>,
        now: Duration,
    ) -> Result<(), NotCounted> {
        let said = self.ports.entry(port.clone()).or_default();
        match consent.answer {
            Answer::Refuse => said.standing = None,
            Answer::Later => {}
            Answer::Once => said.check(consent, pin, now)?,
            Answer::ForATime => {
                let time = Duration::from_secs(consent.seconds.unwrap_or(0));
                if time.is_zero() || time > LONGEST_STANDING {
                    return Err(NotCounted::NoTime);
                }
                said.check(consent, pin, now)?;
                said.standing = Some((now + time, consent.by.clone()));
            }
        }
        Ok(())
    }

    /// Who said yes to every request of this time, and for how much longer.
    pub(super) fn standing(&self, port: &PortName, now: Duration) -> Option<(&Words, Duration)> {
        let (until, by) = self.ports.get(port)?.standing.as_ref()?;
        (now < *until).then(|| (by, until.saturating_sub(now)))
    }
}

/// The PIN that is wanted with a yes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// None.
    Nothing,
    /// This one; `None` where the box was given none.
    Pin(Option<&'a Pin>),
}

impl Said {
    fn locked_for(&self, now: Duration) -> Option<Duration> {
        self.locked_until?.checked_sub(now).filter(|left| !left.is_zero())
    }

    fn check(&mut self, consent: &Consent, wanted: Wanted<'_>, now: Duration) -> Result<(), NotCounted> {
        let Wanted::Pin(pin) = wanted else {
            return Ok(());
        };
        // Looked at before the PIN: who is locked out learns nothing from guessing on.
        if let Some(left) = self.locked_for(now) {
            return Err(NotCounted::Locked(left));
        }
        let pin = pin.ok_or(NotCounted::NoPinHere)?;
        let given = consent.pin.as_deref().ok_or(NotCounted::NoPin)?;
        if given.len() <= LONGEST_PIN && pin.is(given) {
            (self.wrong, self.locked_until) = (0, None);
            return Ok(());
        }
        self.wrong += 1;
        if self.wrong < TRIES {
            return Err(NotCounted::WrongPin {
                left: TRIES - self.wrong,
            });
        }
        self.wrong = 0;
        self.locked_until = Some(now + LOCKED);
        Err(NotCounted::Locked(LOCKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str) -> PortName {
        name.parse().unwrap()
    }

    fn consent(answer: Answer, pin: Option<&str>) -> Consent {
        Consent {
            session: "s".parse().unwrap(),
            answer,
            seconds: Some(60),
            by: "Bob".parse().unwrap(),
            pin: pin.map(str::to_owned),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn guessing_locks_the_port_and_no_other() {
        let pin = Pin::made("4711", b"salt", 1000);
        let wanted = Wanted::Pin(Some(&pin));
        let mut consents = Consents::default();
        let mut say = |name: &str, given: &str, now| {
            consents.hear(&port(name), &consent(Answer::Once, Some(given)), wanted, at(now))
        };
        for left in (1..TRIES).rev() {
            assert_eq!(say("port1", "0000", 0), Err(NotCounted::WrongPin { left }));
        }
        assert_eq!(say("port1", "0000", 1), Err(NotCounted::Locked(LOCKED)));
        // The right one does not help now, and does not prolong it.
        assert_eq!(say("port1", "4711", 2), Err(NotCounted::Locked(LOCKED - at(1))));
        assert_eq!(say("port2", "4711", 2), Ok(()));
        assert_eq!(say("port1", "4711", 1 + LOCKED.as_secs()), Ok(()));
        // A right one in between begins the count anew.
        for _ in 0..3 {
            for _ in 1..TRIES {
                say("port2", "x", 5000).unwrap_err();
            }
            say("port2", "4711", 5000).unwrap();
        }
    }

    #[test]
    fn a_restart_gives_no_further_try_and_ends_no_lock() {
        let pin = Pin::made("4711", b"salt", 1000);
        let wanted = Wanted::Pin(Some(&pin));
        let guess = |consents: &mut Consents, now| {
            consents.hear(&port("p"), &consent(Answer::Once, Some("0")), wanted, at(now))
        };
        let mut consents = Consents::default();
        assert!(consents.guesses(at(0)).is_empty());
        for left in (1..TRIES).rev() {
            assert_eq!(guess(&mut consents, 0), Err(NotCounted::WrongPin { left }));
            consents = Consents::locked(consents.guesses(at(0)), at(0));
        }
        assert_eq!(guess(&mut consents, 0), Err(NotCounted::Locked(LOCKED)));
        // Of the lock's time nothing counts that went by before.
        let mut again = Consents::locked(consents.guesses(at(100)), at(3));
        assert_eq!(guess(&mut again, 3), Err(NotCounted::Locked(LOCKED)));
        assert_eq!(again.locked_for(&port("p"), at(4)), Some(LOCKED - at(1)));
        let over = at(3) + LOCKED;
        assert!(again.guesses(over).is_empty() && again.locked_for(&port("p"), over).is_none());
    }

    #[test]
    fn a_yes_needs_the_pin_and_a_no_does_not() {
        let pin = Pin::made("4711", b"salt", 1000);
        let mut consents = Consents::default();
        let mut say = |answer, pin: Wanted<'_>| consents.hear(&port("p"), &consent(answer, None), pin, at(0));
        assert_eq!(say(Answer::Once, Wanted::Pin(Some(&pin))), Err(NotCounted::NoPin));
        assert_eq!(
            say(Answer::ForATime, Wanted::Pin(None)),
            Err(NotCounted::NoPinHere)
        );
        assert_eq!(say(Answer::Refuse, Wanted::Pin(Some(&pin))), Ok(()));
        assert_eq!(say(Answer::Later, Wanted::Pin(Some(&pin))), Ok(()));
        assert_eq!(say(Answer::Once, Wanted::Nothing), Ok(()));
    }

    #[test]
    fn a_yes_for_a_time_stands_that_long_or_until_a_no() {
        let mut consents = Consents::default();
        let name = port("p");
        consents
            .hear(&name, &consent(Answer::ForATime, None), Wanted::Nothing, at(0))
            .unwrap();
        assert!(consents.standing(&name, at(59)).is_some());
        assert!(consents.standing(&name, at(60)).is_none());
        assert!(consents.standing(&port("q"), at(1)).is_none());
        consents
            .hear(&name, &consent(Answer::Refuse, None), Wanted::Nothing, at(1))
            .unwrap();
        assert!(consents.standing(&name, at(2)).is_none());
        let mut endless = consent(Answer::ForATime, None);
        endless.seconds = None;
        let heard = consents.hear(&name, &endless, Wanted::Nothing, at(0));
        assert_eq!(heard, Err(NotCounted::NoTime));
    }
}
