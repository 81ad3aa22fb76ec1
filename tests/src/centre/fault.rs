//! What a test may ask the centre to do wrong, and what it saw meanwhile.

use hyper::header::HeaderValue;

/// What a test may ask the centre to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers 503 and stores nothing.
    Busy,
    /// Answers 503 and stores nothing, with this `Retry-After` and, if there is one, this `Date`.
    BusyUntil {
        /// The value of `Retry-After`.
        retry_after: &'static str,
        /// The value of `Date`; else it is the time of the answer.
        date: Option<&'static str>,
    },
    /// Stores, then breaks the connection instead of answering.
    DropReply,
    /// Answers 200 with a web page and stores nothing, as a captive portal does.
    CaptivePortal,
    /// Answers everything with this status and stores nothing.
    Status(u16),
    /// Answers 415 to a body in zstd, with this `Accept-Encoding` if there is one.
    NoZstd(Option<&'static str>),
    /// Answers 422 to a batch with an event whose id contains this.
    Poison(&'static str),
    /// Answers 413 to a body of more bytes, as it is sent.
    LargerThan(usize),
    /// Breaks a connection at its second request, without an answer.
    BreakKept,
    /// Takes batches, and closes the connection after each answer.
    CloseAfter,
    /// Takes batches, and dates its answers like this.
    Date(&'static str),
}

impl Fault {
    /// The value of `Date`, where the fault has one.
    pub(super) fn date(self) -> Option<HeaderValue> {
        match self {
            Self::BusyUntil { date, .. } => date.map(HeaderValue::from_static),
            Self::Date(date) => Some(HeaderValue::from_static(date)),
            _ => None,
        }
    }
}

/// A batch that was posted, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// `Rap-Lane`.
    pub lane: String,
    /// `Content-Encoding`.
    pub encoding: String,
    /// Bytes of the body, as they were sent.
    pub bytes: usize,
    /// The events' ids; empty where the body was not understood.
    pub ids: Vec<String>,
    /// The status of the answer; `None` when the connection was broken instead.
    pub status: Option<u16>,
    /// On which connection, from 1.
    pub connection: usize,
}
