//! What a service centre may ask of a box: one closed list, signed, numbered, for this box alone, and over in time.
//!
//! ```text
//! {"payload":"BASE64","signature":"BASE64"}       an envelope, as it travels
//! payload = {"version":1,"box":"…","docket":"…","number":17,"issued":"…","expires":"…","command":{"do":"…",…}}
//! ```
//!
//! The signature is over the payload's very bytes, so nothing has to be written a second time in the same way. Who
//! carries envelopes (centre, proxies, the forwarder) is not believed: only the service key's owner can make one.
//!
//! Invariants
//! - A [`Directive`] was signed by the service key, is addressed to this docket, and every text and number in it is bounded.
//! - Each number is taken once: a docket's memory ([`docket`]) rises and is durable before anything is done. A box that
//!   loses its memory has another docket, and nothing that was signed for the old one counts any more.
//!
//! The format is in docs/protocol.md §3, precisely enough to write the other side from it.

mod command;
pub mod docket;
mod envelope;
mod key;
mod refusal;
#[cfg(test)]
mod tests;
mod word;

use std::time::Duration;

use jiff::Timestamp;

pub use command::{COMMANDS, Command, Diagnostic, FileRequest, OpenSession, Purpose, PutFile};
pub use docket::{Docket, DocketId, Outcome, Verdict};
pub use envelope::{Envelope, signed_bytes};
pub use key::{KeyError, ServiceKey};
pub use refusal::Refusal;
pub use word::{NoWord, SessionId, Words};

/// The version of the format that this program reads.
pub const VERSION: u32 = 1;
/// Bytes of an envelope, at most.
pub const ENVELOPE_LIMIT: usize = 48 << 10;
/// Bytes of a payload, at most.
pub const PAYLOAD_LIMIT: usize = 32 << 10;
/// From issue to expiry, at most.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a payload whose signature nobody has looked at: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn payload(bytes: &[u8]) -> Option<Directive> {
    envelope::read(bytes).ok()
}

/// A directive that was signed by the service key. Whether it is to be done is for the [`Docket`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The name of the box it is for, as in its `site.toml`.
    pub to: String,
    /// The docket it is for.
    pub docket: DocketId,
    /// Rises from directive to directive of a docket; numbers may be left out.
    pub number: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// From when on it is not to be done any more.
    pub expires: Timestamp,
    /// What is asked.
    pub command: Command,
}
