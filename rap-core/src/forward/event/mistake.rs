//! Why a body is not what it should be, for people and for programs.

use super::json::JsonError;

/// A mistake of the agent's: answered with 400, or 413 where the request is too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Too many bytes.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The most allowed.
        limit: usize,
    },
    /// Too many events in one batch.
    #[error("the batch has {found} events, at most {limit} are allowed")]
    TooMany {
        /// How many there were.
        found: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Not JSON as the box takes it.
    #[error("the body is not JSON as the box takes it: {0}")]
    Json(JsonError),
    /// JSON of the wrong shape.
    #[error("the body is {found}, expected {expected}")]
    WrongShape {
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
        /// Which event of a batch, from 1; 0 for the body itself.
        position: usize,
    },
    /// A batch without events.
    #[error("the batch is empty, expected at least one event")]
    Empty,
    /// One attribute is missing or wrong.
    #[error("event {position}: attribute \"{name}\" is {found}, expected {expected}")]
    Attribute {
        /// Which event of the batch, from 1.
        position: usize,
        /// The attribute.
        name: String,
        /// What was found.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The same id twice in one batch.
    #[error("event {position}: id \"{id}\" occurs twice in the batch")]
    Twice {
        /// Which event of the batch, from 1.
        position: usize,
        /// The id.
        id: String,
    },
    /// A `ce-` header that is wrong.
    #[error("header \"ce-{name}\" is {found}, expected {expected}")]
    Header {
        /// Its name without `ce-`.
        name: String,
        /// What was found.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl EventError {
    /// The mistake's kind in one word for programs, the last part of a problem's `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::TooMany { .. } => "too-many-events",
            Self::Json(JsonError::NotUtf8 { .. }) => "not-utf-8",
            Self::Json(JsonError::TooDeep { .. }) => "too-deep",
            Self::Json(JsonError::Twice { .. }) => "duplicate-name",
            Self::Json(JsonError::Invalid(_)) => "not-json",
            Self::WrongShape { .. } => "wrong-shape",
            Self::Empty => "empty-batch",
            Self::Attribute { .. } => "attribute",
            Self::Twice { .. } => "id-twice",
            Self::Header { .. } => "header",
        }
    }

    /// Which event of a batch is meant, from 1; `None` when it is the body as a whole.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::WrongShape { position, .. } if *position > 0 => Some(*position),
            Self::Attribute { position, .. } | Self::Twice { position, .. } => Some(*position),
            _ => None,
        }
    }
}

/// `text` without control characters and cut to 60 characters, for a message.
pub(super) fn shortened(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if clean.len() < text.len() {
        format!("{clean}…")
    } else {
        clean
    }
}
