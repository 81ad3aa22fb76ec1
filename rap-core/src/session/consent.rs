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

impl Consents {
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

    /// Who said yes to every request of this time.
    pub(super) fn standing(&self, port: &PortName, now: Duration) -> Option<&Words> {
        let (until, by) = self.ports.get(port)?.standing.as_ref()?;
        (now < *until).then_some(by)
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
    fn check(&mut self, consent: &Consent, wanted: Wanted<'_>, now: Duration) -> Result<(), NotCounted> {
        let Wanted::Pin(pin) = wanted else {
            return Ok(());
        };
        // Looked at before the PIN: who is locked out learns nothing from guessing on.
        if let Some(until) = self.locked_until.filter(|until| now < *until) {
            return Err(NotCounted::Locked(until.saturating_sub(now)));
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
