//! What the service centre sends to an instrument's agent, and what it wants of it: files down, and the wish for a file.
//!
//! ```text
//! session service ── orders ──► Shelf ◄── the agent lists, reads, takes or refuses   (ingest::inbox)
//!  (signed, allowed)             │  ▲
//!                    reports ◄───┘  └─── pieces of 128 KiB from the service centre    (bring)
//! ```
//!
//! An order is the session service's word: it checked who signed, and what the hospital allows. The content is the service
//! centre's, and held against the size and digest that were signed.
//!
//! Invariants
//! - What the session service is told is taken is on the disk; each order ends once, with one report, which is on the disk
//!   with the end.
//! - An agent sees what is for its port only, and a file only when all of it is here and its digest right.
//! - Room and number are bounded ([`Config`]); a file takes nothing that the log of reports may need.
//! - An order that nobody answers ends by itself.
//!
//! `shelf` is all of that over a few file operations, `piece` how content lies on the disk, `range` what an agent may ask
//! for at once; `bring` is the thread that asks the service centre.

pub(super) mod bring;
pub(crate) mod order;
mod piece;
pub mod range;
pub(super) mod shelf;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::order::{Order, OrderId, What};
pub(super) use self::shelf::Shelf;
use crate::folder::Directory;

/// The content of a file lies in pieces of so many bytes, which is also what is asked for at once: eight seconds of
/// 128 kbit/s.
pub const PIECE: u64 = 128 << 10;

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of all files together.
    pub room: u64,
    /// Orders of one port.
    pub of_a_port: usize,
    /// Orders of all ports.
    pub all: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            room: 256 << 20,
            of_a_port: 16,
            all: 64,
        }
    }
}

/// Whether this is what is known of orders as the box writes it: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_known(bytes: &[u8]) -> bool {
    let read = serde_json::from_slice::<state::Kept>(bytes);
    read.is_ok_and(|kept| serde_json::to_vec(&kept).is_ok())
}

/// The shelf as threads share it.
pub(super) type Shared = Arc<Mutex<Shelf<Directory>>>;

pub(super) fn hold(shared: &Shared) -> MutexGuard<'_, Shelf<Directory>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
