//! The two lanes of reports: alerts overtake routine reports, and within a lane order is kept.

/// How urgent a report is: the CloudEvents extension attribute `priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// `"alert"`: sent before anything routine; a part of the space is kept for it.
    Alert,
    /// `"routine"`, and what says nothing.
    Routine,
}

impl Lane {
    /// Both lanes, the more urgent first.
    pub const ALL: [Self; 2] = [Self::Alert, Self::Routine];

    /// The attribute's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Routine => "routine",
        }
    }

    /// The lane's byte in a frame, and its place in a table.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Alert => 0,
            Self::Routine => 1,
        }
    }
}
