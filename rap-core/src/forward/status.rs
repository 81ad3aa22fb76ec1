//! What the forwarder says of itself: `forward.json` among the status files.
//!
//! Counters count since the log was made, or since start where that is said; rates are of the last minute.

use serde::{Deserialize, Serialize};

use super::clock;
use super::lane::Lane;
use super::log::{DeadLetter, Log};
use super::uplink::Progress;

/// The forwarder's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The alert lane.
    pub alert: LaneStatus,
    /// The routine lane.
    pub routine: LaneStatus,
    /// How much of its room the log uses.
    pub room: RoomStatus,
    /// Reports the service centre refuses for good.
    pub refused: Refused,
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LaneStatus {
    /// Reports that wait to be delivered.
    pub waiting: u64,
    /// Their bytes on the disk.
    pub waiting_bytes: u64,
    /// Seconds the oldest of them has waited, by the box's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
    /// Reports acknowledged to the instruments, the box's own among them.
    pub taken: u64,
    /// Reports that left the lane: delivered, or refused for good.
    pub passed: u64,
    /// Reports acknowledged a second.
    pub taken_per_second: f64,
    /// Reports that left the lane a second.
    pub passed_per_second: f64,
    /// Reports acknowledged and lost with the part of the disk they were on, found since start.
    pub lost: u64,
}

/// How much of its room the log uses, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoomStatus {
    /// In segments that hold something.
    pub used: u64,
    /// The most there may be at present.
    pub limit: u64,
}

/// Reports the service centre refuses for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// Kept on the box.
    pub kept: u64,
    /// Given up for younger ones.
    pub given_up: u64,
    /// The latest of them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest: Vec<RefusedReport>,
}

/// A report the service centre refuses for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedReport {
    /// The lane it was in.
    pub lane: String,
    /// Whose it is.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Why, in the service centre's words.
    pub why: String,
    /// When it was given up, RFC 3339.
    pub at: String,
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
        format!(
            "{link}; {waiting} waiting, {} delivered since start",
            self.delivered
        )
    }

    /// The lanes by their names, the more urgent one first.
    #[must_use]
    pub fn lanes(&self) -> [(&'static str, &LaneStatus); 2] {
        [(Lane::Alert, &self.alert), (Lane::Routine, &self.routine)].map(|(lane, of)| (lane.as_str(), of))
    }
}

impl From<DeadLetter> for RefusedReport {
    fn from(letter: DeadLetter) -> Self {
        Self {
            lane: letter.lane,
            source: letter.record.source,
            id: letter.record.id,
            why: letter.reason,
            at: clock::text(letter.buried),
        }
    }
}

pub(super) fn of(log: &mut Log, progress: &Progress) -> Status {
    let (room, letters) = (log.room(), log.dead_letter_count());
    Status {
        alert: lane(log, Lane::Alert),
        routine: lane(log, Lane::Routine),
        room: RoomStatus {
            used: room.used,
            limit: room.limit,
        },
        refused: Refused {
            kept: letters.kept,
            given_up: letters.dropped,
            latest: Vec::new(),
        },
        trouble: progress.trouble.clone(),
        delivered_at: progress.delivered_at.map(clock::text),
        delivered: progress.delivered,
        site: None,
        exchanged: progress.exchanged,
    }
}

fn lane(log: &mut Log, lane: Lane) -> LaneStatus {
    let figures = log.figures(lane);
    LaneStatus {
        waiting: figures.waiting,
        waiting_bytes: figures.bytes,
        oldest_seconds: oldest(log, lane),
        taken: figures.taken,
        passed: figures.passed,
        lost: figures.losses.reports,
        ..LaneStatus::default()
    }
}

fn oldest(log: &mut Log, lane: Lane) -> Option<u64> {
    // An unreadable log is reported by who delivers from it.
    let batch = log.peek(lane, 1, 0).ok()?;
    let received = batch.records.first()?.received;
    Some(clock::now_ms().saturating_sub(received) / 1000)
}
