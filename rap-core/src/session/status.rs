//! What the session service says of itself: `session.json` among the status files, and the answer to `{"do":"status"}`. The
//! updater reads it, too: it restarts no box under an engineer's hands.

use serde::{Deserialize, Serialize};

/// The service's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Status {
    /// The present session, or the last one.
    pub session: Option<SessionStatus>,
    /// The docket's name.
    pub docket: String,
    /// The number of the last directive that was taken.
    pub last_directive: u64,
    /// How many reports found no room.
    pub reports_given_up: u64,
    /// Why no directive can be believed; absent when one can.
    pub service_key: Option<String>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionStatus {
    /// Its name.
    pub session: String,
    /// How far it is.
    pub state: Stage,
    /// The instrument's port.
    pub port: String,
    /// Who wants to look at the instrument.
    pub engineer: String,
    /// At which of its services, in words.
    pub services: String,
    /// Seconds until time alone changes something.
    pub seconds_left: Option<u64>,
    /// Why it ended.
    pub why: Option<String>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The person at the instrument is asked.
    Asked,
    /// Somebody said yes; the tunnel is on its way.
    Connecting,
    /// The instrument can be reached.
    Open,
    /// Everything is being closed.
    Ending,
    /// It is over.
    Ended,
}

impl Stage {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

impl Status {
    /// Whether somebody is at an instrument, or on the way to it or from it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let goes_on = |session: &SessionStatus| !matches!(session.state, Stage::Asked | Stage::Ended);
        self.session.as_ref().is_some_and(goes_on)
    }
}
