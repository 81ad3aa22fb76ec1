//! What the forwarder says of itself: `forward.json` among the status files.
//!
//! Counters count since the log was made, or since start where that is said; rates are of the last minute.

use serde::{Deserialize, Serialize};

use super::clock;
use super::files::FilesStatus;
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
    /// The instruments' data files.
    #[serde(default)]
    pub files: FilesStatus,
    /// How much of its room the log uses.
    pub room: RoomStatus,
    /// Reports the service centre refuses for good.
    pub refused: Refused,
    /// The way to the service centre.
    #[serde(default)]
    pub link: LinkStatus,
    /// What keeps delivery from working, in words; absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What may become trouble, or may be its cause: the end of `device.crt`, clocks that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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

/// The way to the service centre, counted since the forwarder started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkStatus {
    /// Failures in a row.
    pub failures: u32,
    /// Seconds until the next attempt after a failure; absent while nothing is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_seconds: Option<u64>,
    /// The last trouble, kept after it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
    /// When that was there last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trouble_at: Option<String>,
    /// Bytes sent, with TLS's and without those of TCP and below.
    pub sent_bytes: u64,
    /// Bytes received, likewise.
    pub received_bytes: u64,
    /// Bytes sent a second, in the last minute.
    pub sent_per_second: f64,
    /// Bytes received a second, in the last minute.
    pub received_per_second: f64,
    /// Bytes of the delivered batches before compression.
    pub payload_bytes: u64,
    /// Bytes of the delivered batches as they were sent.
    pub compressed_bytes: u64,
    /// How batches are compressed at present.
    pub encoding: String,
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

pub(super) fn of(log: &mut Log, progress: &Progress, files: FilesStatus) -> Status {
    let (room, letters) = (log.room(), log.dead_letter_count());
    Status {
        alert: lane(log, Lane::Alert),
        routine: lane(log, Lane::Routine),
        files,
        room: RoomStatus {
            used: room.used,
            limit: room.limit,
        },
        refused: Refused {
            kept: letters.kept,
            given_up: letters.dropped,
            latest: Vec::new(),
        },
        link: link(progress),
        trouble: progress.trouble.clone(),
        warnings: progress.warnings.clone(),
        delivered_at: progress.delivered_at.map(clock::text),
        delivered: progress.delivered,
        site: None,
        exchanged: progress.exchanged,
    }
}

fn link(progress: &Progress) -> LinkStatus {
    let left = |at: u64| at.saturating_sub(clock::since_boot_ms()).div_ceil(1000);
    let (last_trouble, last_trouble_at) = progress.last_error.clone().unzip();
    LinkStatus {
        failures: progress.failures,
        next_try_seconds: progress.next_try.map(left),
        last_trouble,
        last_trouble_at: last_trouble_at.map(clock::text),
        sent_bytes: progress.sent_bytes,
        received_bytes: progress.received_bytes,
        payload_bytes: progress.payload_bytes,
        compressed_bytes: progress.compressed_bytes,
        encoding: progress.encoding.as_str().to_owned(),
        ..LinkStatus::default()
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
