//! What the forwarder says of itself: `forward.json` among the status files.

use serde::{Deserialize, Serialize};

use super::clock;
use super::files::FilesStatus;
use super::lane::Lane;
use super::log::Log;
use super::uplink::Progress;

/// The forwarder's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The alert lane.
    pub alert: LaneStatus,
    /// The routine lane.
    pub routine: LaneStatus,
    /// The instruments' data files.
    #[serde(default)]
    pub files: FilesStatus,
    /// What keeps delivery from working, in words; absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When the last receipt came, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    /// Reports delivered since the forwarder started.
    pub delivered: u64,
    /// The fingerprint of the site the forwarder works for; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When the service centre last answered over TLS, whatever it answered, in milliseconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<u64>,
}

/// The part of a [`Status`] that a new network is confirmed by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exchange {
    /// [`Status::site`].
    pub site: Option<String>,
    /// [`Status::exchanged`].
    pub exchanged: Option<u64>,
    /// [`Status::trouble`].
    pub trouble: Option<String>,
}

/// One lane's part of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LaneStatus {
    /// Reports that wait to be delivered.
    pub waiting: u64,
    /// Seconds the oldest of them has waited, by the box's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
}

impl Status {
    /// The status in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let waiting = self.alert.waiting + self.routine.waiting;
        let link = if self.trouble.is_some() {
            "not delivering"
        } else {
            "delivering"
        };
        let files = match self.files.waiting {
            0 => String::new(),
            files => format!("; {files} file(s) waiting"),
        };
        format!(
            "{link}; {waiting} waiting, {} delivered since start{files}",
            self.delivered
        )
    }
}

pub(super) fn of(log: &mut Log, progress: &Progress, files: FilesStatus) -> Status {
    let mut lane = |lane| LaneStatus {
        waiting: log.waiting(lane),
        oldest_seconds: oldest(log, lane),
    };
    Status {
        alert: lane(Lane::Alert),
        routine: lane(Lane::Routine),
        files,
        trouble: progress.trouble.clone(),
        delivered_at: progress.delivered_at.map(clock::text),
        delivered: progress.delivered,
        site: None,
        exchanged: progress.exchanged,
    }
}

fn oldest(log: &mut Log, lane: Lane) -> Option<u64> {
    // An unreadable log is reported by who delivers from it.
    let batch = log.peek(lane, 1, 0).ok()?;
    let received = batch.records.first()?.received;
    Some(clock::now_ms().saturating_sub(received) / 1000)
}
