//! What agents are answered: 202 with the ids or with what there is of a file, or a problem (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::BodyError;
use crate::door::Answer;
use crate::forward::event::EventError;
use crate::forward::files::{Holding, State};

/// What a problem's `type` begins with; the kind follows.
const PROBLEM: &str = "urn:rap:problem:";

/// Everything of these ids is durable.
pub(super) fn accepted(ids: &[String]) -> Answer {
    let body = serde_json::json!({ "accepted": ids }).to_string();
    respond(StatusCode::ACCEPTED, "application/json", body)
}

/// This much of a file is durable, or delivered.
pub(super) fn holding(holding: &Holding) -> Answer {
    let (state, detail) = match &holding.state {
        State::Partial => ("partial", None),
        State::Checking => ("checking", None),
        State::Kept => ("kept", None),
        State::Delivered => ("delivered", None),
        State::Refused(why) => ("refused", Some(why)),
    };
    let mut body = serde_json::json!({ "have": holding.have, "size": holding.size, "state": state });
    if let Some(why) = detail {
        body["detail"] = why.as_str().into();
    }
    let mut answer = respond(StatusCode::ACCEPTED, "application/json", body.to_string());
    if holding.state == State::Checking {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A problem to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    /// Which event of a batch, from 1.
    event: Option<usize>,
    /// How much of a file is here.
    have: Option<u64>,
    /// The method that would be right.
    allow: &'static str,
    retry: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let retry = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(5));
        Self {
            status,
            kind,
            detail: detail.into(),
            event: None,
            have: None,
            allow: "POST",
            retry,
        }
    }

    pub(super) fn of_event(mut self, position: Option<usize>) -> Self {
        self.event = position;
        self
    }

    pub(super) fn with_have(mut self, have: u64) -> Self {
        self.have = Some(have);
        self
    }

    pub(super) fn allowing(mut self, method: &'static str) -> Self {
        self.allow = method;
        self
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut problem = serde_json::json!({
            "type": format!("{PROBLEM}{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(position) = self.event {
            problem["event"] = position.into();
        }
        if let Some(have) = self.have {
            problem["have"] = have.into();
        }
        let mut answer = respond(self.status, "application/problem+json", problem.to_string());
        let headers = answer.headers_mut();
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static(self.allow));
        }
        if self.kind == "content-encoding" {
            // RFC 9110 §15.5.16: this says that it was the encoding.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(wait) = self.retry {
            // Whole seconds (RFC 9110 §10.2.3), and not a moment too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        answer
    }
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        let status = match error {
            EventError::TooLarge { .. } | EventError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.kind(), error.to_string()).of_event(error.position())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let (status, kind) = match error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            BodyError::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "broken-off"),
        };
        Self::new(status, kind, error.to_string())
    }
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
