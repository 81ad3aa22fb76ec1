//! Why a directive is not done; each in words for both ends.

use jiff::Timestamp;

use super::docket::DocketId;
use super::{COMMANDS, ENVELOPE_LIMIT, LONGEST_LIFE, PAYLOAD_LIMIT};

/// Why a directive is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than is read.
    #[error(
        "too large: {bytes} bytes; an envelope has at most {ENVELOPE_LIMIT}, its payload {PAYLOAD_LIMIT}"
    )]
    TooLarge {
        /// What there was.
        bytes: usize,
    },
    /// No envelope.
    #[error("no envelope: {why}")]
    NoEnvelope {
        /// What is wrong.
        why: String,
    },
    /// Nobody signed.
    #[error("unsigned: the envelope has no signature")]
    Unsigned,
    /// Somebody else signed, or it was changed.
    #[error("wrong key: the signature is not the service key's over this payload")]
    WrongKey,
    /// Signed, and no directive.
    #[error("no directive: {why}")]
    NoDirective {
        /// What is wrong.
        why: String,
    },
    /// A command that this box does not know.
    #[error("unknown command \"{name}\"; this box knows {}", COMMANDS.join(", "))]
    Unknown {
        /// Its name, cleaned and cut.
        name: String,
    },
    /// Another box's.
    #[error("wrong box: it is for \"{to}\", and this is \"{here}\"")]
    WrongBox {
        /// Whose it is.
        to: String,
        /// Who we are.
        here: String,
    },
    /// This box's, before it lost its memory, or another of the same name's.
    #[error("wrong docket: it is for docket {to}, and this box's is {here}")]
    WrongDocket {
        /// Whose it is.
        to: DocketId,
        /// Ours.
        here: DocketId,
    },
    /// Over.
    #[error("expired: it was to be done before {expires}, and now it is {now}")]
    Expired {
        /// When it was over.
        expires: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// Valid for longer than anything is.
    #[error("it is valid from {issued} to {expires}; at most {} hours are taken", LONGEST_LIFE.as_secs() / 3600)]
    TooLong {
        /// Its beginning.
        issued: Timestamp,
        /// Its end.
        expires: Timestamp,
    },
    /// A number that is taken, with another content.
    #[error("replayed number: {number} was another directive's")]
    NumberTaken {
        /// The number.
        number: u64,
    },
    /// A number that is older than what the box remembers.
    #[error("replayed: number {number} is older than what this box remembers, which begins at {first}")]
    Replayed {
        /// The number.
        number: u64,
        /// The oldest that is remembered.
        first: u64,
    },
    /// One that comes after a later one.
    #[error("out of order: number {number} comes after {last}")]
    OutOfOrder {
        /// The number.
        number: u64,
        /// The last that was taken.
        last: u64,
    },
}

impl Refusal {
    /// Whether the service key's owner made it for this docket: only then its number may be settled by the refusal.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::TooLong { .. })
    }

    /// A short name, for records and reports.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::NoEnvelope { .. } => "no-envelope",
            Self::Unsigned => "unsigned",
            Self::WrongKey => "wrong-key",
            Self::NoDirective { .. } => "no-directive",
            Self::Unknown { .. } => "unknown",
            Self::WrongBox { .. } => "wrong-box",
            Self::WrongDocket { .. } => "wrong-docket",
            Self::Expired { .. } => "expired",
            Self::TooLong { .. } => "too-long",
            Self::NumberTaken { .. } => "number-taken",
            Self::Replayed { .. } => "replayed",
            Self::OutOfOrder { .. } => "out-of-order",
        }
    }
}
