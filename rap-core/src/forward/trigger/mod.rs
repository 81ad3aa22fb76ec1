//! Edge triggers: the rules of site.toml held against an instrument's reports, raising alerts of the box's own.
//!
//! [`Watch`] is one port's rules and what they remember. Reports are judged in the order in which they are stored:
//! [`Watch::judge`] says which alerts they raise without changing anything, the alerts are stored in the same request
//! as the reports, and only when that is durable does [`Watch::settle`] make the new state the present one. So a
//! report that was refused and is posted again is judged again, and one that is durable never twice: the last
//! [`REMEMBERED`] ids are known.
//!
//! Invariants
//! - One alert an excursion, then one that it is over; never two of a kind in a row.
//! - Only the box's monotonic clock decides; the wall clock is written into evidence and nothing else.
//! - Bounded: a port remembers [`REMEMBERED`] ids and, for each rule, [`excursion::KEPT`] values of evidence and
//!   some [`change::SPACES`] samples.
//! - After a start the rules begin anew; `watching-since` in each alert says when that was.

mod alert;
mod change;
mod condition;
mod excursion;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use self::change::Change;
use self::condition::Value;
use self::excursion::{Evidence, Excursion};
use super::event::{Event, json};
use super::log::NewRecord;
use crate::site::Trigger;

/// Ids of reports a port remembers as judged.
pub(super) const REMEMBERED: usize = 1024;

/// When a report came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// By the monotonic clock, since any fixed point.
    pub(super) monotonic: Duration,
    /// Milliseconds since 1970 by the wall clock, which may be wrong.
    pub(super) wall: u64,
}

/// One port's rules and what they remember.
#[derive(Debug)]
pub(super) struct Watch {
    instrument: String,
    since: u64,
    rules: Vec<Trigger>,
    states: Vec<State>,
    judged: Judged,
}

/// What some reports would change.
#[derive(Debug)]
pub(super) struct Judgement {
    /// The alerts to be stored with the reports, in order.
    pub(super) alerts: Vec<NewRecord>,
    states: Vec<State>,
    judged: Vec<String>,
}

/// What one rule remembers of one port.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    phase: Phase,
    change: Change,
}

#[derive(Debug, Clone, Default, PartialEq)]
enum Phase {
    /// The last value did not match.
    #[default]
    Calm,
    /// It matches, but not for long enough yet.
    Pending(Excursion),
    /// The alert was raised and is not over.
    Raised { alert: String, excursion: Excursion },
}

impl Watch {
    /// Begins to watch the reports of `instrument` (`/SITE/PORT`).
    #[must_use]
    pub(super) fn new(instrument: String, rules: Vec<Trigger>, now: Moment) -> Self {
        Self {
            instrument,
            since: now.wall,
            states: vec![State::default(); rules.len()],
            rules,
            judged: Judged::default(),
        }
    }

    /// Whether any rule looks at reports of this type. It does not change.
    #[must_use]
    pub(super) fn cares_for(rules: &[Trigger], event: &Event) -> bool {
        rules.iter().any(|rule| rule.kind == event.kind)
    }

    /// What `events`, stored now and in this order, mean. `fresh` makes ids for alerts.
    #[must_use]
    pub(super) fn judge(
        &self,
        events: &[Event],
        now: Moment,
        mut fresh: impl FnMut() -> String,
    ) -> Judgement {
        let mut judgement = Judgement {
            alerts: Vec::new(),
            states: self.states.clone(),
            judged: Vec::new(),
        };
        for event in events {
            if !Self::cares_for(&self.rules, event) || self.judged.contains(&event.id) {
                continue;
            }
            judgement.judged.push(event.id.clone());
            let whole = String::from_utf8_lossy(&event.json);
            let Some(data) = json::members(&whole).get("data").copied() else {
                continue;
            };
            for (rule, state) in self.rules.iter().zip(&mut judgement.states) {
                if rule.kind != event.kind {
                    continue;
                }
                let found = json::find(data, rule.field.tokens());
                let Some((text, value)) = found.and_then(|text| Some((text, Value::of(text)?))) else {
                    // A report without the field, or with null in it, says nothing.
                    continue;
                };
                let evidence = Evidence::new(text, now);
                if let Some(edge) = state.step(rule, &value, evidence, &mut fresh) {
                    let context = alert::Context {
                        instrument: &self.instrument,
                        since: self.since,
                        cause: &event.id,
                        now,
                    };
                    judgement.alerts.push(alert::record(rule, &edge, &context));
                }
            }
        }
        judgement
    }

    /// Makes what a judgement found the present state: its reports and alerts are durable.
    pub(super) fn settle(&mut self, judgement: Judgement) {
        self.states = judgement.states;
        for id in judgement.judged {
            self.judged.remember(id);
        }
    }

    /// As [`Watch::settle`] when only the alerts could be stored: their reports will come again and be judged again,
    /// by rules that know that the alert is raised.
    pub(super) fn settle_without_reports(&mut self, judgement: Judgement) {
        self.states = judgement.states;
    }
}

/// What a report changed.
#[derive(Debug, Clone, PartialEq)]
enum Edge {
    /// An alert begins.
    Raised { alert: String, excursion: Excursion },
    /// The alert of this id is over, ended by `end`.
    Cleared {
        id: String,
        alert: String,
        excursion: Excursion,
        end: Evidence,
    },
}

impl State {
    fn step(
        &mut self,
        rule: &Trigger,
        value: &Value,
        evidence: Evidence,
        mut fresh: impl FnMut() -> String,
    ) -> Option<Edge> {
        let at = evidence.at;
        let compared = match rule.per {
            None => value.clone(),
            Some(per) => self.change.within(per, at, value)?,
        };
        let raised = matches!(self.phase, Phase::Raised { .. });
        let matches = condition::matches(rule, &compared, raised)?;
        match (std::mem::take(&mut self.phase), matches) {
            (Phase::Calm, false) | (Phase::Pending(_), false) => None,
            (Phase::Calm, true) => self.pend(rule, Excursion::new(evidence), &mut fresh),
            (Phase::Pending(mut excursion), true) => {
                excursion.add(evidence);
                self.pend(rule, excursion, &mut fresh)
            }
            (Phase::Raised { alert, mut excursion }, true) => {
                excursion.add(evidence);
                self.phase = Phase::Raised { alert, excursion };
                None
            }
            (Phase::Raised { alert, excursion }, false) => Some(Edge::Cleared {
                id: fresh(),
                alert,
                excursion,
                end: evidence,
            }),
        }
    }

    /// Raises the alert when it matched for long enough.
    fn pend(
        &mut self,
        rule: &Trigger,
        excursion: Excursion,
        mut fresh: impl FnMut() -> String,
    ) -> Option<Edge> {
        if excursion.lasted() < rule.hold {
            self.phase = Phase::Pending(excursion);
            return None;
        }
        let alert = fresh();
        self.phase = Phase::Raised {
            alert: alert.clone(),
            excursion: excursion.clone(),
        };
        Some(Edge::Raised { alert, excursion })
    }
}

/// Ids of the reports judged last.
#[derive(Debug, Default)]
struct Judged {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Judged {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn remember(&mut self, id: String) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}
