//! Measurements behind one door: `scripts/bench NAME [--json]`.
//!
//! Each figure has a goal where the project set one, and stands beside a peer where there is one; nothing is rounded
//! towards the goal.

pub mod boot;
pub mod forward;
pub mod image;
pub mod net;
pub mod update;

use serde::Serialize;

/// One figure, in the form the machine-readable output prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// The value.
    pub value: serde_json::Value,
    /// Its unit, e.g. `MB` (10⁶ bytes) or `CPU-s`.
    pub unit: &'static str,
    /// What it is compared with.
    pub peer: Option<String>,
    /// The peer's value in the same unit.
    pub peer_value: Option<f64>,
    /// Value over peer's value.
    pub ratio: Option<f64>,
    /// The largest value that counts as good, or the smallest.
    pub goal: Option<f64>,
    /// Which of the two the goal is, for people.
    #[serde(skip)]
    goal_is: &'static str,
    /// Whether the goal is met.
    pub met: Option<bool>,
}

impl Figure {
    /// A number without goal or peer.
    #[must_use]
    pub fn number(figure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            value: rounded(value).into(),
            ..Self::text(figure, "", unit)
        }
    }

    /// A figure that is no number, such as a digest.
    #[must_use]
    pub fn text(figure: impl Into<String>, value: impl Into<String>, unit: &'static str) -> Self {
        Self {
            figure: figure.into(),
            value: value.into().into(),
            unit,
            peer: None,
            peer_value: None,
            ratio: None,
            goal: None,
            goal_is: "at most",
            met: None,
        }
    }

    /// Sets the goal: at most `goal`.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self.met = self.value.as_f64().map(|value| value <= goal);
        self
    }

    /// Sets the goal: at least `goal`.
    #[must_use]
    pub fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self.goal_is = "at least";
        self.met = self.value.as_f64().map(|value| value >= goal);
        self
    }

    /// Compares with `peer`.
    #[must_use]
    pub fn beside(mut self, peer: impl Into<String>, peer_value: f64) -> Self {
        self.peer = Some(peer.into());
        self.peer_value = Some(rounded(peer_value));
        self.ratio = self.value.as_f64().map(|value| rounded(value / peer_value));
        self
    }

    /// The figure as one line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let value = self
            .value
            .as_str()
            .map_or_else(|| self.value.to_string(), str::to_owned);
        let mut line = format!("{:<52} {value:>10} {}", self.figure, self.unit);
        if let (Some(peer), Some(peer_value)) = (&self.peer, self.peer_value) {
            line += &format!("   ({peer}: {peer_value})");
        }
        if let (Some(goal), Some(met)) = (self.goal, self.met) {
            let verdict = if met { "met" } else { "MISSED" };
            line += &format!("   goal {} {goal}: {verdict}", self.goal_is);
        }
        line
    }
}

/// Three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_prints_as_the_contract_says() {
        let figure = Figure::number("full image", 24.5, "MB")
            .at_most(28.0)
            .beside("xz", 20.0);
        assert_eq!(
            serde_json::to_string(&figure).unwrap(),
            r#"{"figure":"full image","value":24.5,"unit":"MB","peer":"xz","peer_value":20.0,"ratio":1.225,"goal":28.0,"met":true}"#
        );
    }

    #[test]
    fn a_missed_goal_is_shouted() {
        let line = Figure::number("power-on to ready", 15.0, "CPU-s")
            .at_most(14.0)
            .line();
        assert!(line.ends_with("15.0 CPU-s   goal at most 14: MISSED"), "{line}");
        let line = Figure::number("through a session", 0.8, "×").at_least(0.9).line();
        assert!(line.ends_with("goal at least 0.9: MISSED"), "{line}");
    }
}
