//! What is known of orders: those that are open, how the last ones ended, and what the service centre is to be told. One
//! small file, replaced as a whole. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Order, OrderId, What};
use crate::digest::Sha256;
use crate::session::Report;

/// Ends that are remembered, so that what comes twice is known: more than the session service ever has on its hands.
const REMEMBERED: usize = 256;
/// The reports' type.
const CHANGED: &str = "rap.inbox.changed";
/// Words of others in a report, in characters.
const MOST_WORDS: usize = 200;

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) entries: Vec<Entry>,
    past: VecDeque<Past>,
    reports: VecDeque<Report>,
}

/// An open order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) order: Order,
    /// When it is over by the box's clock, milliseconds since 1970-01-01 UTC.
    pub(super) until: u64,
    /// Whether the agent may see it: a file is whole, a wish always is.
    pub(super) shown: bool,
}

/// One that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    id: OrderId,
    port: String,
    end: End,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// The agent has the file.
    Taken,
    /// The agent sent the file that was wanted.
    Answered,
    /// The agent, or the box, does not want it.
    Refused,
    /// The file could not be brought.
    Failed,
    /// Nobody did anything in time.
    Expired,
}

impl Kept {
    /// An open order.
    pub(super) fn open(&self, id: OrderId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.order.id == id)
    }

    /// How an order of this port ended, if it is remembered.
    pub(super) fn ended(&self, id: OrderId, port: &str) -> Option<End> {
        let past = self.past.iter().find(|past| past.id == id && past.port == port);
        past.map(|past| past.end)
    }

    /// Whether an order was ever taken, as far as is remembered.
    pub(super) fn knows(&self, id: OrderId) -> bool {
        self.open(id).is_some() || self.past.iter().any(|past| past.id == id)
    }

    /// Takes an order that is open until then.
    pub(super) fn add(&mut self, order: Order, until: u64) {
        let shown = matches!(order.what, What::Get(_));
        self.entries.push(Entry { order, until, shown });
    }

    /// The agent may see the file from now on.
    pub(super) fn show(&mut self, id: OrderId) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.order.id == id) else {
            return;
        };
        entry.shown = true;
        let order = entry.order.clone();
        self.report(&order, "ready", "the instrument's agent is shown the file", None);
    }

    /// The file is not whole after all: it is brought again.
    pub(super) fn hide(&mut self, id: OrderId) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.order.id == id) {
            entry.shown = false;
        }
    }

    /// Ends an open order, and says so; `file` is the one that was wanted.
    pub(super) fn end(&mut self, id: OrderId, end: End, words: &str, file: Option<Sha256>) {
        let Some(place) = self.entries.iter().position(|entry| entry.order.id == id) else {
            return;
        };
        let order = self.entries.remove(place).order;
        self.close(&order, end, words, file);
    }

    /// Ends an order that was never open.
    pub(super) fn close(&mut self, order: &Order, end: End, words: &str, file: Option<Sha256>) {
        self.past.push_back(Past {
            id: order.id,
            port: order.port().to_string(),
            end,
        });
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        self.report(order, end.word(), words, file);
    }

    fn report(&mut self, order: &Order, state: &str, words: &str, file: Option<Sha256>) {
        let mut data = json!({
            "order": order.id, "number": order.number, "instrument": order.port().as_str(), "name": order.name(),
            "do": match order.what { What::Put(_) => "put-file", What::Get(_) => "get-file" },
            "state": state, "words": clean(words),
        });
        if let Some(file) = file {
            data["file"] = file.to_string().into();
        }
        self.reports.push_back(Report {
            id: format!("{}-{state}", order.id),
            r#type: CHANGED.to_owned(),
            data,
        });
    }

    /// The oldest reports that the log does not have yet, at most so many.
    pub(super) fn reports(&self, most: usize) -> Vec<Report> {
        self.reports.iter().take(most).cloned().collect()
    }

    /// How many wait.
    pub(super) fn untold(&self) -> usize {
        self.reports.len()
    }

    /// The log has these.
    pub(super) fn told(&mut self, ids: &[String]) {
        self.reports.retain(|report| !ids.contains(&report.id));
    }

    /// Whether one of these waits.
    pub(super) fn has(&self, ids: &[String]) -> bool {
        self.reports.iter().any(|report| ids.contains(&report.id))
    }
}

impl End {
    /// In the reports, and what the agent is answered.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// What others said, in one line of bounded length.
fn clean(words: &str) -> String {
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST_WORDS)
        .collect()
}
