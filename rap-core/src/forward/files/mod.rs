//! Instruments' data files on their way to the service centre: large, resumable, behind every report.
//!
//! `desk` (one thread) takes ranges from the ingest API and gives them to the [`Shelf`], which keeps each file in one file of
//! its own directory (`record` sketches the bytes); `outbox` says what the uplink sends next; `room` bounds it all; `found`
//! is about what a start finds, and `work` is done in between. Both protocols call a file by its SHA-256.
//!
//! Invariants
//! - What [`Holding::have`] says is on the disk: the answer comes after `fdatasync` of these bytes and of the mark that
//!   counts them.
//! - [`State::Kept`] is said only when the digest of the whole is right, and such a file is never given up: it stays until
//!   the service centre's receipt says that it is durable there, or that it is refused.
//! - A power cut at any moment leaves each file as it was before or after a range; opening succeeds whatever is found, and
//!   what is damaged is set aside.
//! - Files take only room that reports can never come to need.
//! - Memory does not depend on the files' sizes: a range at a time, at most [`LONGEST_RANGE`].
//! - Each wait for the disk is needed: `tests::mutation` leaves out each in turn and sees one of these broken.

mod desk;
mod entry;
mod found;
mod hash;
mod label;
mod outbox;
mod pace;
mod past;
mod put;
mod range;
mod record;
mod room;
mod shelf;
mod status;
#[cfg(test)]
mod tests;
mod work;

use std::time::Duration;

pub(super) use self::desk::{Desk, Request, Shared, hold, status, try_hold};
pub use self::label::{FileName, MediaType, NoMediaType, NoName};
pub use self::outbox::{Contradiction, Errand};
pub use self::pace::Pace;
pub use self::put::{Holding, Key, PutError, State, Upload};
pub use self::range::{NoRange, Range};
pub use self::record::Description;
pub use self::shelf::{Reserve, Shelf};
pub use self::status::{FilesStatus, RefusedFile, Sending};

/// Where agents and the box put files: this, then the digest.
pub const PATH: &str = "/v1/files/";
/// The header with a file's name.
pub const NAME: &str = "rap-name";
/// Bytes of the longest range anybody writes or sends.
pub const LONGEST_RANGE: usize = 1024 * 1024;

/// Bytes of the largest file anybody may configure: 16 TiB.
const MOST_BYTES: u64 = 1 << 44;

/// How much room files may take, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the files of all ports together, shared out equally; fewer when the disk has no room.
    pub room: u64,
    /// Bytes of one file, where that is less than a port's share.
    pub largest: u64,
    /// Among how many ports.
    pub ports: usize,
    /// A part nobody went on with for so long is given up.
    pub stale: Duration,
    /// A part nobody went on with for so long is given up when its room is needed.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            room: 1024 * 1024 * 1024,
            largest: u64::MAX,
            ports: 1,
            stale: Duration::from_secs(7 * 86_400),
            grace: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Bytes of the files of one port.
    #[must_use]
    pub fn share(&self) -> u64 {
        self.room / self.ports.max(1) as u64
    }

    /// Bytes of the largest file there can be.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.largest.min(self.share()).min(MOST_BYTES)
    }
}
