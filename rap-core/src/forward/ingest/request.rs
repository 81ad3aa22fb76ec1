//! One request, from its head to what became of its events.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode};

use super::answer::{Refusal, accepted};
use super::{PATH, Port, body, file, inbox, session};
use crate::door::Answer;
use crate::forward::event::{self, Event, EventError, Format};
use crate::forward::files;
use crate::forward::writer::Stored;

/// Answers `request`; `storing` is called when all of it was read.
pub(super) async fn answer(request: Request<Incoming>, port: &Port, storing: impl FnOnce()) -> Answer {
    let answer = if request.uri().path().starts_with(files::PATH) {
        file::take(request, port, storing).await
    } else if session::is_here(request.uri().path()) {
        session::take(request, port, storing).await
    } else if inbox::is_here(request.uri().path()) {
        inbox::take(request, port, storing).await
    } else {
        take(request, port, storing).await.map(|ids| accepted(&ids))
    };
    answer.unwrap_or_else(Refusal::into_answer)
}

async fn take(
    request: Request<Incoming>,
    port: &Port,
    storing: impl FnOnce(),
) -> Result<Vec<String>, Refusal> {
    enter(port)?;
    let (head, body) = request.into_parts();
    if head.uri.path() != PATH {
        let detail = format!(
            "found {}, expected {PATH} or {}DIGEST",
            head.uri.path(),
            files::PATH
        );
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not-found", detail));
    }
    if head.method != Method::POST {
        let detail = format!("found {}, expected POST", head.method);
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail));
    }
    let mode = Mode::of(&head.headers)?;
    let limits = &port.limits;
    let body = body::read(body, limits.event.body, limits.body, &port.memory).await?;
    storing();
    let events = events(mode, &head.headers, &body.bytes, port)?;
    port.bucket.charge(events.len().saturating_sub(1));
    let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    // The events are as large as the body was, and it is their memory that `body` goes on holding.
    let stored = Arc::clone(&port.keeper).store(events).await;
    drop(body);
    match stored {
        Stored::Durable => Ok(ids),
        refused => Err(refusal(refused, &ids, limits.event.body)),
    }
}

/// Each request counts as a report, whatever it is.
pub(super) fn enter(port: &Port) -> Result<(), Refusal> {
    port.bucket.enter(Instant::now()).map_err(|wait| {
        let rate = port.limits.rate.per_second;
        let detail = format!("more than {rate} reports a second; nothing was taken, post it again");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too-many-reports", detail).retry_after(wait)
    })
}

/// The three modes of CloudEvents over HTTP.
enum Mode {
    /// Structured or batched.
    Body(Format),
    Binary,
}

impl Mode {
    /// HTTP binding 1.0.2 §3: by the content type; binary only with a `ce-` header.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        plain(headers)?;
        let found = text(headers, &CONTENT_TYPE);
        if let Some(format) = found.and_then(Format::of_content_type) {
            return Ok(Self::Body(format));
        }
        let structured = found.is_some_and(|f| f.to_ascii_lowercase().starts_with("application/cloudevents"));
        if !structured && headers.keys().any(|name| name.as_str().starts_with("ce-")) {
            return Ok(Self::Binary);
        }
        let found = found.unwrap_or("none");
        let detail = format!(
            "found Content-Type {found}, expected application/cloudevents+json or \
             application/cloudevents-batch+json in UTF-8, or the headers of binary mode (ce-specversion, ce-id, ce-type)"
        );
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            detail,
        ))
    }
}

/// Refuses a compressed body.
pub(super) fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    match text(headers, &CONTENT_ENCODING).filter(|e| !e.eq_ignore_ascii_case("identity")) {
        None => Ok(()),
        Some(encoding) => {
            let detail = format!("found Content-Encoding {encoding}, expected none");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Refusal::new(status, "content-encoding", detail))
        }
    }
}

fn events(mode: Mode, headers: &HeaderMap, body: &[u8], port: &Port) -> Result<Vec<Event>, EventError> {
    let (source, limits) = (&port.source, &port.limits.event);
    match mode {
        Mode::Body(format) => event::parse(body, format, source, limits),
        Mode::Binary => {
            let all = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()));
            let kind = text(headers, &CONTENT_TYPE);
            event::binary::parse(all, kind, body, source, limits).map(|event| vec![event])
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Why nothing of a request was acknowledged. Some of it may be in the log; posted again it is the same report.
fn refusal(stored: Stored, ids: &[String], limit: usize) -> Refusal {
    let unavailable = |kind, detail: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail);
    match stored {
        Stored::Full => unavailable("full", "no room for now; the report was not taken, post it again"),
        Stored::TooLarge => EventError::TooLarge { limit }.into(),
        Stored::Conflict(id) => {
            let detail = format!("id \"{id}\" was used before for another report");
            let position = ids.iter().position(|other| *other == id).map(|index| index + 1);
            Refusal::new(StatusCode::CONFLICT, "id-used", detail).of_event(position)
        }
        Stored::Durable | Stored::Failed(_) => unavailable(
            "disk",
            "the report could not be stored; it was not taken, post it again",
        ),
    }
}
