//! One remote session from the request to its end: a pure state machine.
//!
//! ```text
//! asked ── yes ──► connecting ── tunnel ──► open ─┐
//!   └─ no, silence    └─ trouble, time            ├─ time, idle, withdrawn, the centre, trouble ──► ending ──► ended
//! ```
//!
//! Invariants
//! - Nothing is connected before somebody said yes, and nothing is opened before the tunnel is there.
//! - Once a yes was given there is a moment after which nothing is open, and it never moves.
//! - From `ending` there is no way back; it becomes `ended` only when everything was closed.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::status::Stage;
use crate::directive::OpenSession;

/// How long the tunnel may take to come up.
pub(super) const CONNECT: Duration = Duration::from_secs(60);
/// How long somebody who said "later" is left alone.
pub(super) const LATER: Duration = Duration::from_secs(10 * 60);

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The person at the instrument is asked.
    Asked {
        /// When silence is taken for a no.
        silent_at: Duration,
        /// Not before this it is shown again.
        shown_at: Duration,
    },
    /// Somebody said yes; the tunnel is on its way.
    Connecting {
        /// When that has taken too long.
        late_at: Duration,
        /// When everything is over.
        until: Duration,
    },
    /// The instrument can be reached.
    Open {
        /// When everything is over.
        until: Duration,
        /// Since when nothing has passed.
        quiet_since: Duration,
    },
    /// Everything is being closed.
    Ending {
        /// Why.
        why: String,
    },
    /// Everything is closed.
    Ended {
        /// Why.
        why: String,
    },
}

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The person says yes.
    Consented {
        /// Who, for the record.
        by: String,
    },
    /// The person says no, or takes a yes back.
    Refused {
        /// Who, for the record.
        by: String,
    },
    /// The person wants to be asked again later.
    Later,
    /// The service centre or somebody at the box ends it.
    End {
        /// Who, for the record.
        by: String,
    },
    /// The tunnel is there.
    Connected(Ipv4Addr),
    /// The instrument was opened to it.
    Opened,
    /// The tunnel is gone or does not come, or nothing could be opened.
    Lost(String),
    /// Something passed through the tunnel.
    Passed,
    /// Everything was closed.
    Closed,
    /// Time passes.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Bring the tunnel up, for so long at most.
    Connect(Duration),
    /// Open the ticket's ports to who comes by the tunnel, for so long.
    Open(Ipv4Addr, Duration),
    /// Close everything; again until it is closed.
    Close,
    /// Write this down, and tell the service centre.
    Record(&'static str, String),
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) ticket: OpenSession,
    pub(super) state: State,
}

impl Course {
    /// Somebody is to be asked, until `silent_at`.
    pub(super) fn new(ticket: OpenSession, now: Duration, silent_at: Duration) -> (Self, Vec<Action>) {
        let words = format!(
            "{} asks for {} of {} for {} s: {}",
            ticket.engineer,
            services(&ticket),
            ticket.instrument,
            ticket.seconds,
            ticket.purpose
        );
        let course = Self {
            ticket,
            state: State::Asked {
                silent_at,
                shown_at: now,
            },
        };
        (course, vec![Action::Record("asked", words)])
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Its state in one word.
    pub(super) fn word(&self) -> &'static str {
        self.stage().word()
    }

    /// How far it is.
    pub(super) fn stage(&self) -> Stage {
        match self.state {
            State::Asked { .. } => Stage::Asked,
            State::Connecting { .. } => Stage::Connecting,
            State::Open { .. } => Stage::Open,
            State::Ending { .. } => Stage::Ending,
            State::Ended { .. } => Stage::Ended,
        }
    }

    /// When time alone changes something.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.state {
            State::Asked { silent_at, .. } => Some(silent_at),
            State::Connecting { late_at, until } => Some(late_at.min(until)),
            State::Open { until, quiet_since } => Some(until.min(quiet_since + self.ticket.idle())),
            State::Ending { .. } | State::Ended { .. } => None,
        }
    }

    /// What `event` makes of it.
    pub(super) fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        // The clock goes first: what comes too late is too late, whoever says it.
        if let Some(actions) = self.overdue(now) {
            return actions;
        }
        match (&mut self.state, event) {
            (State::Asked { .. }, Event::Consented { by }) => self.connect(&by, now),
            (State::Asked { shown_at, .. }, Event::Later) => {
                *shown_at = now + LATER;
                vec![Action::Record(
                    "later",
                    "the person wants to be asked again later".to_owned(),
                )]
            }
            (State::Asked { .. }, Event::Refused { by }) => self.end(format!("refused by {by}")),
            (State::Connecting { .. } | State::Open { .. }, Event::Refused { by }) => {
                self.end(format!("withdrawn by {by}"))
            }
            (State::Asked { .. } | State::Connecting { .. } | State::Open { .. }, Event::End { by }) => {
                self.end(format!("ended by {by}"))
            }
            (State::Connecting { until, .. }, Event::Connected(address)) => {
                vec![Action::Open(address, until.saturating_sub(now))]
            }
            (State::Connecting { until, .. }, Event::Opened) => {
                let (until, left) = (*until, until.saturating_sub(now).as_secs());
                let words = format!(
                    "{} of {} for {left} s",
                    services(&self.ticket),
                    self.ticket.instrument
                );
                self.state = State::Open {
                    until,
                    quiet_since: now,
                };
                vec![Action::Record("open", words)]
            }
            (State::Connecting { .. } | State::Open { .. }, Event::Lost(why)) => self.end(why),
            (State::Open { quiet_since, .. }, Event::Passed) => {
                *quiet_since = now;
                Vec::new()
            }
            (State::Ending { why }, Event::Closed) => {
                let why = std::mem::take(why);
                self.state = State::Ended { why: why.clone() };
                vec![Action::Record("ended", why)]
            }
            (State::Ending { .. }, Event::Tick) => vec![Action::Close],
            _ => Vec::new(),
        }
    }

    fn overdue(&mut self, now: Duration) -> Option<Vec<Action>> {
        if now < self.due()? {
            return None;
        }
        let why = match &self.state {
            State::Asked { .. } => "nobody answered, which is a no".to_owned(),
            State::Connecting { until, .. } | State::Open { until, .. } if now >= *until => {
                "its time is over".to_owned()
            }
            State::Connecting { .. } => format!("no tunnel within {} s", CONNECT.as_secs()),
            _ => format!("nothing passed for {} s", self.ticket.idle_seconds),
        };
        Some(self.end(why))
    }

    fn connect(&mut self, by: &str, now: Duration) -> Vec<Action> {
        let time = self.ticket.time();
        self.state = State::Connecting {
            late_at: now + CONNECT,
            until: now + time,
        };
        let words = format!("{by} says yes to {} s", time.as_secs());
        vec![Action::Record("consented", words), Action::Connect(time)]
    }

    fn end(&mut self, why: String) -> Vec<Action> {
        self.state = State::Ending { why: why.clone() };
        vec![Action::Close, Action::Record("ending", why)]
    }
}

/// The ticket's services in words.
pub(super) fn services(ticket: &OpenSession) -> String {
    let texts: Vec<_> = ticket.services.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
pub(super) mod tests;
