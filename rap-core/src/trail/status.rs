//! What the service says of itself: `trail.json`, which `rapctl audit status` prints.

use serde::{Deserialize, Serialize};

/// How far the copies have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The hospital's collector; absent where the site names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<CopyStatus>,
    /// The service centre, as far as the forwarder's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre: Option<CopyStatus>,
    /// What keeps a copy from growing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far one copy has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CopyStatus {
    /// Where it is; absent for the service centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The number of the last record that is there; 0 before there is one.
    pub carried: u64,
    /// Records that are not there yet.
    pub waiting: u64,
    /// When something was last carried there, RFC 3339 by the box's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Why nothing is carried there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl CopyStatus {
    /// One that cannot even begin.
    pub(super) fn troubled(trouble: String) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }

    /// So far has it come, of so many.
    pub(super) fn came_to(&mut self, carried: u64, of: u64) {
        if carried > self.carried {
            self.last = Some(jiff::Timestamp::now().strftime("%FT%TZ").to_string());
        }
        (self.carried, self.waiting) = (carried, of.saturating_sub(carried));
    }
}

impl Status {
    fn copies(&self) -> impl Iterator<Item = (&'static str, &CopyStatus)> {
        let collector = self.collector.iter().map(|copy| ("collector", copy));
        collector.chain(self.centre.iter().map(|copy| ("centre", copy)))
    }

    /// With the troubles of its copies as its own.
    pub(super) fn summed_up(mut self) -> Self {
        let troubles: Vec<_> = self
            .copies()
            .filter_map(|(_, copy)| copy.trouble.clone())
            .collect();
        self.trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        self
    }

    /// In a line.
    pub(super) fn summary(&self) -> String {
        let each = self.copies();
        let each =
            each.map(|(name, copy)| format!("{name}: {} records, {} wait", copy.carried, copy.waiting));
        each.collect::<Vec<_>>().join("; ")
    }
}
