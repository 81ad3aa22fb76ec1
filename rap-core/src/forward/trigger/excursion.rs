//! What is remembered of the values that matched: enough to show why, never more.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// Values kept of one excursion: the first, and the latest ones.
pub(super) const KEPT: usize = 8;
/// Bytes kept of one value.
const LONGEST: usize = 256;

/// A value as the report had it, and when the report came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    /// Compact JSON; a text is cut.
    pub(super) value: String,
    /// By the monotonic clock.
    pub(super) at: Duration,
    /// By the wall clock, milliseconds since 1970.
    pub(super) wall: u64,
}

impl Evidence {
    pub(super) fn new(json: &str, now: Moment) -> Self {
        let value = if json.len() <= LONGEST {
            json.to_owned()
        } else {
            let cut = json.get(..json.floor_char_boundary(LONGEST)).unwrap_or_default();
            serde_json::Value::from(format!("{cut}…")).to_string()
        };
        Self {
            value,
            at: now.monotonic,
            wall: now.wall,
        }
    }
}

/// The values that matched one after the other; at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Excursion {
    pub(super) first: Evidence,
    pub(super) latest: VecDeque<Evidence>,
    /// How many matched, also those not kept.
    pub(super) reports: u64,
}

impl Excursion {
    pub(super) fn new(first: Evidence) -> Self {
        Self {
            first,
            latest: VecDeque::new(),
            reports: 1,
        }
    }

    pub(super) fn add(&mut self, evidence: Evidence) {
        if self.latest.len() == KEPT - 1 {
            self.latest.pop_front();
        }
        self.latest.push_back(evidence);
        self.reports = self.reports.saturating_add(1);
    }

    /// From the first to the latest value, by the monotonic clock.
    pub(super) fn lasted(&self) -> Duration {
        let last = self.latest.back().unwrap_or(&self.first);
        last.at.saturating_sub(self.first.at)
    }
}
