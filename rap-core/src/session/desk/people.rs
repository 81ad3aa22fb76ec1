//! The desk towards the people at the ports: what they are shown, and what they say.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::super::consent::{Answer as Said, Consent, NotCounted, Wanted};
use super::super::course::{Course, Event, State, services};
use super::super::hands::Hands;
use super::super::memory::Report;
use super::super::people::{History, Past, Shown, Standing};
use super::super::pin::Pin;
use super::super::record::Record;
use super::{CHANGED, Desk, after, changed};
use crate::audit::Kind;
use crate::control::Answer;
use crate::directive::OpenSession;
use crate::folder::Folder;

/// Why sessions that a power cut or a crash ended are over.
const INTERRUPTED: &str = "the box or its session service restarted";

impl<F: Folder, H: Hands, R: Record> Desk<F, H, R> {
    /// Hears what the person at a port says.
    pub(super) fn consent(&mut self, port: &str, consent: &Consent, now: Duration) -> Answer {
        let current = self.course.as_ref().filter(|course| !course.is_over());
        let is_it = current.is_some_and(|course| {
            course.ticket.instrument.as_str() == port && course.ticket.session == consent.session
        });
        let name = self.house.port(port).cloned();
        // A no is heard at any time: it ends what was said for a time.
        let Some(name) = name.filter(|_| is_it || consent.answer == Said::Refuse) else {
            return self.not_counted(port, &NotCounted::NoRequest(consent.session.clone()));
        };
        let pin = self.wants_pin().then(|| self.read_pin()).flatten();
        let wanted = if self.wants_pin() {
            Wanted::Pin(pin.as_ref())
        } else {
            Wanted::Nothing
        };
        let heard = self.consents.hear(&name, consent, wanted, now);
        self.remember_guesses(now);
        if let Err(why) = heard {
            return self.not_counted(port, &why);
        }
        let by = format!("{} at {port}", consent.by);
        let event = match consent.answer {
            Said::Once | Said::ForATime => Event::Consented { by },
            Said::Refuse => Event::Refused { by },
            Said::Later => Event::Later,
        };
        if is_it {
            self.drive(event, now);
        }
        let state = self
            .course
            .as_ref()
            .filter(|_| is_it)
            .map_or("ended", Course::word);
        Answer::Done(json!({ "session": consent.session, "state": state }))
    }

    /// What is asked for at a port, or goes on there.
    pub(super) fn requests(&self, port: &str, now: Duration) -> Vec<Shown> {
        let course = self
            .course
            .iter()
            .filter(|course| course.ticket.instrument.as_str() == port);
        let shown = course.filter(|course| match course.state {
            State::Asked { shown_at, .. } => now >= shown_at,
            State::Ended { .. } => false,
            _ => true,
        });
        let one = |course: &Course| {
            let ticket = &course.ticket;
            let locked = self.consents.locked_for(&ticket.instrument, now);
            Shown {
                session: ticket.session.clone(),
                state: course.word().to_owned(),
                engineer: ticket.engineer.clone(),
                purpose: ticket.purpose.clone(),
                services: services(ticket),
                seconds: ticket.seconds,
                idle_seconds: ticket.idle_seconds,
                pin: self.wants_pin(),
                locked_seconds: locked.map(|left| left.as_secs()),
                seconds_left: course.due().map(|due| due.saturating_sub(now).as_secs()),
            }
        };
        shown.map(one).collect()
    }

    /// What was said and done at a port.
    pub(super) fn history(&self, port: &str, now: Duration) -> History {
        let standing = self.house.port(port);
        let standing = standing.and_then(|port| self.consents.standing(port, now));
        History {
            standing: standing.map(|(by, left)| Standing {
                by: by.clone(),
                seconds_left: left.as_secs(),
            }),
            sessions: self.memory.kept().past(port),
        }
    }

    /// Writes down how far a session has come, for those at its port who ask later.
    pub(super) fn note(&mut self, ticket: &OpenSession, state: &str, words: &str, now: Duration) {
        let time = [self.there, self.here].into_iter().flatten().next();
        let time = time
            .and_then(|heard| after(heard, now))
            .and_then(|time| Timestamp::from_second(time.as_second()).ok())
            .map(|time| time.to_string());
        let noted = self.memory.change(|kept| match (state, kept.latest()) {
            ("asked", _) => kept.begin(begun(ticket, time)),
            ("consented", Some(past)) => past.consented = Some(words.to_owned()),
            ("open", Some(past)) => past.opened = time,
            ("ended", Some(past)) => (past.ended, past.why) = (time, Some(words.to_owned())),
            _ => {}
        });
        if let Err(error) = noted {
            log::warn!(
                "that session {} is {state} is not remembered: {error}",
                ticket.session
            );
        }
    }

    /// The service starts, and nothing is open any more. Whoever heard that a session began hears that it ended, too.
    pub(super) fn interrupt_sessions(&mut self) {
        let mut interrupted = Vec::new();
        let noted = self.memory.change(|kept| {
            interrupted = kept.interrupt(INTERRUPTED);
            for past in &interrupted {
                let data = changed(past.session.as_str(), &past.port, "ended", INTERRUPTED);
                kept.tell(Report::new(CHANGED, data));
            }
        });
        if let Err(error) = noted {
            return log::warn!("which sessions a restart ended is not remembered: {error}");
        }
        for past in interrupted {
            let facts = [
                ("session", past.session.as_str()),
                ("port", &past.port),
                ("state", "ended"),
                ("words", INTERRUPTED),
            ];
            self.records.record(Kind::SessionChanged, &facts);
        }
    }

    /// A wrong PIN is on the disk before its answer: a restart gives nobody more tries.
    fn remember_guesses(&mut self, now: Duration) {
        let guesses = self.consents.guesses(now);
        if guesses == self.memory.kept().guesses() {
            return;
        }
        if let Err(error) = self.memory.change(|kept| kept.guessed(guesses)) {
            log::error!("wrong PINs are counted until a restart only, the disk does not take them: {error}");
        }
    }

    fn not_counted(&mut self, port: &str, why: &NotCounted) -> Answer {
        let words = why.to_string();
        self.records
            .record(Kind::ConsentRefused, &[("port", port), ("words", &words)]);
        Answer::Refused(words)
    }

    fn wants_pin(&self) -> bool {
        let sessions = self.house.sessions.as_ref();
        sessions.is_some_and(|sessions| sessions.require_pin)
    }

    fn read_pin(&self) -> Option<Pin> {
        let text = match std::fs::read_to_string(&self.pin) {
            Ok(text) => text,
            Err(error) => {
                log::warn!("{}: {error}", self.pin.display());
                return None;
            }
        };
        Pin::parse(&text).map_err(|error| log::warn!("{error}")).ok()
    }
}

/// A session that is asked for now.
fn begun(ticket: &OpenSession, time: Option<String>) -> Past {
    Past {
        session: ticket.session.clone(),
        port: ticket.instrument.to_string(),
        engineer: ticket.engineer.clone(),
        purpose: ticket.purpose.clone(),
        services: services(ticket),
        asked: time,
        consented: None,
        opened: None,
        ended: None,
        why: None,
    }
}
