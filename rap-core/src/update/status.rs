//! What the updater says of itself: `update.json` among the status files, and the answer to `{"do":"status"}`.

use serde::{Deserialize, Serialize};

use crate::boot::environment;

use super::needs::{Found, View};
use super::policy::{Decision, time};
use super::state::{Entry, GivenUp, Named};

/// The updater's status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// What runs, where it is known which release that is.
    pub running: Option<Named>,
    /// Slot A, then slot B; empty before they were looked at.
    pub slots: Vec<SlotStatus>,
    /// The repository; absent where only a file updates the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// When it was last asked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
    /// The release on offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferStatus>,
    /// What is done about it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What the updater is doing, in words.
    pub doing: String,
    /// How far that is; absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The trial of the image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStatus>,
    /// The number of the highest release that was confirmed here.
    pub floor: u64,
    /// The release that was tried and does not work here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
    /// What happened, the latest last; all of it only when asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Entry>,
    /// What is wrong, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SlotStatus {
    /// `A` or `B`.
    pub slot: String,
    /// The version of its image; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The build of its image; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// `confirmed`, `armed`, `on trial`, `failed` or `damaged`.
    pub state: String,
    /// Whether its image runs.
    pub running: bool,
}

/// A release on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OfferStatus {
    /// Which.
    pub release: Named,
    /// When it was published, in seconds since 1970.
    pub published: u64,
    /// What changed.
    pub changes: Vec<String>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
    /// Bytes a second, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

/// A trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrialStatus {
    /// Of which release.
    pub release: Named,
    /// The how manieth time.
    pub attempt: u32,
    /// What is not as it was before the update; nothing when all is well.
    pub lacks: Vec<String>,
    /// How many seconds all has been well.
    pub well_seconds: u64,
}

impl Status {
    /// In one line.
    #[must_use]
    pub fn summary(&self) -> String {
        if let Some(trial) = &self.trial {
            return match trial.lacks.first() {
                None => format!("on trial: all is well for {} s", trial.well_seconds),
                Some(lack) => format!("on trial: {lack}"),
            };
        }
        match (&self.progress, &self.decision) {
            (Some(progress), _) => format!("{} ({})", self.doing, progress.words()),
            (None, _) if self.doing != IDLE => self.doing.clone(),
            (None, Some(decision)) => words(decision),
            (None, None) => self.doing.clone(),
        }
    }
}

/// What is said while nothing is done.
pub const IDLE: &str = "idle";

impl Progress {
    /// For people.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for people"
    )]
    pub fn words(&self) -> String {
        let percent = (self.done.min(self.total) * 100)
            .checked_div(self.total)
            .unwrap_or(100);
        let rate = self.per_second.filter(|rate| *rate >= 1.0);
        let left = rate.map_or_else(String::new, |rate| {
            let left = self.total.saturating_sub(self.done) as f64 / rate;
            format!(
                ", {:.0} kB/s, {} left",
                rate / 1000.0,
                time(left.clamp(0.0, 1e9) as u64)
            )
        });
        format!("{percent} % of {:.1} MB{left}", self.total as f64 / 1e6)
    }
}

/// A decision for people.
#[must_use]
pub fn words(decision: &Decision) -> String {
    match decision {
        Decision::Nothing { why } => format!("nothing to do: {why}"),
        Decision::Refuse { why } => format!("refused: {why}"),
        Decision::Wait(wait) => format!("waits: {}", wait.why),
        Decision::Install(plan) => match &plan.restart {
            Some(wait) => format!("ready to be installed; waits: {}", wait.why),
            None => "is being installed".to_owned(),
        },
    }
}

/// Both slots.
#[must_use]
pub fn slots(view: &View) -> Vec<SlotStatus> {
    use crate::boot::slot::Label;
    let slot = |(label, name): (Label, &str)| {
        let Found {
            build_id,
            version,
            state,
            ..
        } = view.of(label);
        SlotStatus {
            slot: name.to_owned(),
            version: version.clone(),
            build_id: build_id.clone(),
            state: state_words(*state).to_owned(),
            running: view.running == label,
        }
    };
    [(Label::A, "A"), (Label::B, "B")].map(slot).into()
}

fn state_words(state: Option<environment::State>) -> &'static str {
    match state {
        Some(environment::State::Ok) => "confirmed",
        Some(environment::State::Installed) => "armed",
        Some(environment::State::Testing) => "on trial",
        Some(environment::State::Failed) => "failed",
        Some(environment::State::Unknown) | None => "damaged",
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Wait;
    use super::*;

    #[test]
    fn there_is_always_a_reason() {
        let mut status = Status {
            doing: IDLE.to_owned(),
            ..Status::default()
        };
        assert_eq!(status.summary(), "idle");
        status.decision = Some(Decision::Wait(Wait {
            why: "the window opens in 3 h".to_owned(),
            seconds: Some(10_800),
        }));
        assert_eq!(status.summary(), "waits: the window opens in 3 h");
        status.doing = "bringing".to_owned();
        status.progress = Some(Progress {
            done: 30_000_000,
            total: 60_000_000,
            per_second: Some(100_000.0),
        });
        assert_eq!(
            status.summary(),
            "bringing (50 % of 60.0 MB, 100 kB/s, 5 min left)"
        );
    }

    #[test]
    fn progress_of_nothing_is_whole() {
        assert_eq!(Progress::default().words(), "100 % of 0.0 MB");
    }
}
