//! Where everything comes together: directives, what people say, what the tunnel does, and time; one after another.
//!
//! Decisions are the parts' ([`Docket`](crate::directive::Docket), [`Course`], [`Consents`], [`House`]); what is done is
//! [`Hands`]'. Invariants: a directive is remembered on the disk before it is done; there is one session at a time.

mod people;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::consent::{Consent, Consents};
use super::course::{Action, Course, Event, State, services};
use super::hands::Hands;
use super::house::House;
use super::memory::{Memory, Report};
use super::record::Record;
use super::status::{SessionStatus, Status};
use crate::audit::Kind;
use crate::control::Answer;
use crate::digest::Sha256;
use crate::directive::{Command, Directive, OpenSession, Outcome, Refusal, ServiceKey, Verdict};
use crate::folder::Folder;
use crate::forward::inbox::{Order, What};

/// How long a person has to answer.
pub(super) const SILENCE: Duration = Duration::from_secs(10 * 60);
/// What anybody can send makes a report at most this often.
const REFUSALS_APART: Duration = Duration::from_secs(60);
/// Reports, and orders, handed to the forwarder at once.
const AT_ONCE: usize = 16;

/// The type of a report that a session has come somewhere.
const CHANGED: &str = "rap.session.changed";

/// What the forwarder and root may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Envelopes that came, and the reports that the forwarder has now. Answered with [`Exchanged`].
    Exchange {
        /// Each as its JSON text.
        envelopes: Vec<String>,
        /// The time by the service centre, seconds since 1970, as an authenticated answer of its said.
        there: Option<i64>,
        /// Ids of reports and orders.
        taken: Vec<String>,
    },
    /// What is asked for at a port, or goes on there.
    Requests {
        /// The port.
        port: String,
    },
    /// What was said and done at a port.
    Past {
        /// The port.
        port: String,
    },
    /// What the person at a port says.
    Consent {
        /// The port.
        port: String,
        /// The answer.
        consent: Consent,
    },
    /// How it is.
    Status {},
    /// End the session.
    End {
        /// Who says so.
        by: String,
    },
}

/// What the forwarder is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exchanged {
    /// The docket, and the last number taken: what the centre is asked for. None where no service key is there.
    pub(crate) docket: Option<(String, u64)>,
    /// Reports to be delivered.
    pub(crate) reports: Vec<Report>,
    /// Orders for the instruments' agents.
    #[serde(default)]
    pub(crate) orders: Vec<Order>,
}

/// This moment by the clock that nothing moves, and by the box's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) boot: Duration,
    pub(super) wall: Timestamp,
}

/// The desk.
pub(super) struct Desk<F, H, R> {
    pub(super) memory: Memory<F>,
    /// Or why there is none.
    pub(super) key: Result<ServiceKey, String>,
    pub(super) house: House,
    /// Where the PIN is; read at each use, so that a new one counts at once.
    pub(super) pin: PathBuf,
    pub(super) hands: H,
    pub(super) records: R,
    consents: Consents,
    course: Option<Course>,
    /// The time by the service centre, and when it was heard.
    there: Option<(Timestamp, Duration)>,
    /// The time by the box, and when it was looked at.
    here: Option<(Timestamp, Duration)>,
    /// Refusals that were not told, and when one was.
    refused: (u64, Option<Duration>),
    /// Since when a site's trial is waited for, as far as this process knows.
    pub(super) waiting_since: Option<Duration>,
}

impl<F: Folder, H: Hands, R: Record> Desk<F, H, R> {
    /// A desk without a session. What was interrupted is told.
    pub(super) fn new(
        memory: Memory<F>,
        key: Result<ServiceKey, String>,
        house: House,
        pin: PathBuf,
        hands: H,
        records: R,
        now: Duration,
    ) -> Self {
        let locked = memory.kept().guesses();
        let mut desk = Self {
            memory,
            key,
            house,
            pin,
            hands,
            records,
            consents: Consents::locked(locked, now),
            course: None,
            there: None,
            here: None,
            refused: (0, None),
            waiting_since: None,
        };
        for (number, digest) in desk.memory.kept().docket.interrupted() {
            let outcome = desk.interruption(number);
            desk.settle(number, digest, "interrupted", outcome);
        }
        desk.interrupt_sessions();
        desk
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, request: Request, now: Now) -> Answer {
        self.here = Some((now.wall, now.boot));
        match request {
            Request::Exchange {
                envelopes,
                there,
                taken,
            } => {
                if let Some(there) = there.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
                    self.there = Some((there, now.boot));
                }
                self.exchange(&envelopes, &taken, now)
            }
            Request::Requests { port } => Answer::Done(json!(self.requests(&port, now.boot))),
            Request::Past { port } => Answer::Done(json!(self.history(&port, now.boot))),
            Request::Consent { port, consent } => self.consent(&port, &consent, now.boot),
            Request::Status {} => Answer::Done(json!(self.status(now.boot))),
            Request::End { by } => match &self.course {
                Some(course) if !course.is_over() => {
                    let by = clean(&by);
                    self.drive(Event::End { by }, now.boot);
                    Answer::Done(json!({}))
                }
                _ => Answer::Refused("there is no session".to_owned()),
            },
        }
    }

    /// Something happened to the session, if there is one.
    pub(super) fn drive(&mut self, event: Event, now: Duration) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Some(course) = &mut self.course else { return };
            let actions = course.step(event, now);
            let ticket = course.ticket.clone();
            for action in actions {
                events.extend(self.perform(&ticket, action, now));
            }
        }
    }

    /// The tunnel of a session says something; one that is over is not heard any more.
    pub(super) fn tunnel(&mut self, session: &str, event: Event, now: Duration) {
        let current = self.course.as_ref();
        if current.is_some_and(|course| course.ticket.session.as_str() == session && !course.is_over()) {
            self.drive(event, now);
        }
    }

    /// Time passes.
    pub(super) fn tick(&mut self, now: Duration) {
        if self.hands.passed() {
            self.drive(Event::Passed, now);
        }
        self.drive(Event::Tick, now);
        self.watch_trial(now);
        self.records.again();
    }

    /// Does what the session's course says; something may follow from it at once.
    fn perform(&mut self, ticket: &OpenSession, action: Action, now: Duration) -> Option<Event> {
        match action {
            Action::Connect(time) => self.hands.connect(ticket, time).err().map(Event::Lost),
            Action::Open(address, time) => {
                let opened = self.hands.open(ticket, address, time);
                Some(opened.map_or_else(Event::Lost, |()| Event::Opened))
            }
            Action::Close => match self.hands.close(ticket) {
                Ok(()) => Some(Event::Closed),
                Err(why) => {
                    log::error!("not everything of the session is closed, it is tried again: {why}");
                    None
                }
            },
            Action::Record(state, words) => {
                let (session, port) = (ticket.session.as_str(), ticket.instrument.as_str());
                self.records.record(
                    Kind::SessionChanged,
                    &[
                        ("session", session),
                        ("port", port),
                        ("state", state),
                        ("words", &words),
                    ],
                );
                self.tell(CHANGED, changed(session, port, state, &words));
                self.note(ticket, state, &words, now);
                None
            }
        }
    }

    fn exchange(&mut self, envelopes: &[String], taken: &[String], now: Now) -> Answer {
        if self.memory.kept().has(taken)
            && let Err(error) = self.memory.change(|kept| kept.taken(taken))
        {
            log::warn!("what the forwarder has is not remembered, it will be told again: {error}");
        }
        for envelope in envelopes {
            self.take(envelope.as_bytes(), now);
        }
        let kept = self.memory.kept();
        let docket = self
            .key
            .is_ok()
            .then(|| (kept.docket.id().to_string(), kept.docket.last()));
        Answer::Done(json!(Exchanged {
            docket,
            reports: kept.reports(AT_ONCE),
            orders: kept.orders(AT_ONCE),
        }))
    }

    fn take(&mut self, envelope: &[u8], now: Now) {
        let verdict = match &self.key {
            Ok(key) => {
                let docket = &self.memory.kept().docket;
                docket.judge(envelope, key, &self.house.name, self.time(now))
            }
            Err(why) => return log::warn!("a directive came, and no service key is here: {why}"),
        };
        match verdict {
            Verdict::Do(directive, digest) => self.carry_out(&directive, digest, now),
            Verdict::Again { number, outcome } => self.answered(number, "again", &outcome),
            Verdict::Refuse(refusal, settled) => self.refuse(&refusal, settled, now.boot),
        }
    }

    /// The service centre's time goes before the box's, which may be wrong.
    fn time(&self, now: Now) -> Timestamp {
        self.there
            .and_then(|heard| after(heard, now.boot))
            .unwrap_or(now.wall)
    }

    fn carry_out(&mut self, directive: &Directive, digest: Sha256, now: Now) {
        let (number, name) = (directive.number, directive.command.name());
        let settled = self
            .memory
            .change(|kept| kept.docket.settle(number, digest, Outcome::Taken));
        if let Err(error) = settled {
            // Not remembered is not done: it comes again.
            return log::error!(
                "directive {number} ({name}) is not done, the disk does not take it: {error}"
            );
        }
        let text = number.to_string();
        self.records
            .record(Kind::DirectiveTaken, &[("number", &text), ("do", name)]);
        // Without an outcome it is heard later.
        if let Some(outcome) = self.outcome(directive, digest, now) {
            if let Outcome::Refused(words) = &outcome {
                let facts = [("number", text.as_str()), ("do", name), ("words", words)];
                self.records.record(Kind::DirectiveRefused, &facts);
            }
            self.settle(number, digest, name, outcome);
        }
    }

    /// Without an outcome it is heard later: a look is told of when it was taken.
    pub(super) fn command(&mut self, directive: &Directive, digest: Sha256, now: Now) -> Option<Outcome> {
        let of = |done: Result<Value, String>| done.map_or_else(Outcome::Failed, Outcome::Done);
        Some(match &directive.command {
            Command::OpenSession(ticket) => {
                let left = directive.expires.duration_since(self.time(now)).unsigned_abs();
                self.ask_for(ticket, left.min(SILENCE), now.boot)
            }
            Command::EndSession { session } => match &self.course {
                Some(course) if course.ticket.session == *session && !course.is_over() => {
                    let by = "the service centre".to_owned();
                    self.drive(Event::End { by }, now.boot);
                    Outcome::Done(json!({}))
                }
                _ => Outcome::Failed(format!("there is no session \"{session}\"")),
            },
            Command::PutSettings { site } => self.try_site(directive.number, site),
            Command::PutFile(put) => self.order(directive.number, digest, What::Put(put.clone())),
            Command::GetFile(get) => self.order(directive.number, digest, What::Get(get.clone())),
            Command::CheckUpdate {} => self.check_update(),
            Command::RefreshCertificate {} => of(self.hands.identity(None)),
            Command::InstallCertificate { certificates } => of(self.hands.identity(Some(certificates))),
            Command::Diagnose(look) => return self.hands.look(look, directive.number, digest),
        })
    }

    fn ask_for(&mut self, ticket: &OpenSession, silence: Duration, now: Duration) -> Outcome {
        if let Err(why) = self.house.admits(ticket) {
            return Outcome::Refused(why);
        }
        if let Some(other) = self.course.as_ref().filter(|course| !course.is_over()) {
            let name = &other.ticket.session;
            return Outcome::Refused(format!(
                "session \"{name}\" is {}; there is one at a time",
                other.word()
            ));
        }
        let (course, actions) = Course::new(ticket.clone(), now, now + silence);
        self.course = Some(course);
        for action in actions {
            self.perform(ticket, action, now);
        }
        if let Some((by, _)) = self.consents.standing(&ticket.instrument, now) {
            let by = format!("{by} (for a time)");
            self.drive(Event::Consented { by }, now);
        }
        Outcome::Done(json!({ "session": ticket.session, "seconds-to-answer": silence.as_secs() }))
    }

    /// For `rapctl`, the status file and the updater.
    pub(super) fn status(&self, now: Duration) -> Status {
        let session = self.course.as_ref().map(|course| SessionStatus {
            session: course.ticket.session.to_string(),
            state: course.stage(),
            port: course.ticket.instrument.as_str().to_owned(),
            engineer: course.ticket.engineer.to_string(),
            services: services(&course.ticket),
            seconds_left: course.due().map(|due| due.saturating_sub(now).as_secs()),
            why: match &course.state {
                State::Ending { why } | State::Ended { why } => Some(why.clone()),
                _ => None,
            },
        });
        let kept = self.memory.kept();
        Status {
            session,
            docket: kept.docket.id().to_string(),
            last_directive: kept.docket.last(),
            reports_given_up: kept.lost(),
            service_key: self.key.as_ref().err().cloned(),
        }
    }

    fn refuse(&mut self, refusal: &Refusal, settled: Option<(u64, Sha256)>, now: Duration) {
        let words = refusal.to_string();
        self.records.record(
            Kind::DirectiveRefused,
            &[("kind", refusal.kind()), ("words", &words)],
        );
        if let Some((number, digest)) = settled {
            return self.settle(number, digest, refusal.kind(), Outcome::Refused(words));
        }
        self.refused.0 += 1;
        if self.refused.1.is_some_and(|at| now < at + REFUSALS_APART) {
            return;
        }
        let count = std::mem::replace(&mut self.refused, (0, Some(now))).0;
        let data = json!({ "kind": refusal.kind(), "words": words, "count": count });
        self.tell("rap.directive.refused", data);
    }

    pub(super) fn settle(&mut self, number: u64, digest: Sha256, name: &str, outcome: Outcome) {
        let kept = self
            .memory
            .change(|kept| kept.docket.settle(number, digest, outcome.clone()));
        if let Err(error) = kept {
            log::error!("what became of directive {number} is not remembered: {error}");
        }
        self.answered(number, name, &outcome);
    }

    fn answered(&mut self, number: u64, name: &str, outcome: &Outcome) {
        let data = json!({ "number": number, "do": name, "answer": outcome });
        log::info!("directive {number} ({name}): {}", json!(outcome));
        self.tell("rap.directive.answered", data);
    }

    pub(super) fn tell(&mut self, kind: &str, data: Value) {
        let report = Report::new(kind, data);
        if let Err(error) = self.memory.change(|kept| kept.tell(report)) {
            log::error!("a report for the service centre is lost, the disk does not take it: {error}");
        }
    }
}

/// What the service centre is told of how far a session has come.
fn changed(session: &str, port: &str, state: &str, words: &str) -> Value {
    json!({ "session": session, "instrument": port, "state": state, "words": words })
}

/// A time that was heard then, now.
fn after((time, then): (Timestamp, Duration), now: Duration) -> Option<Timestamp> {
    let since = jiff::SignedDuration::try_from(now.saturating_sub(then)).ok()?;
    time.checked_add(since).ok()
}

/// A name that becomes a part of a log line.
fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
