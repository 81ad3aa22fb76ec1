//! `/v1/inbox`: what the service centre has for this port's instrument, and wants of it.
//!
//! The port is the listener's, so an agent sees what is its own only, whatever it asks for. Each answer has at most
//! [`PIECE`] bytes of a file, so memory does not depend on the files' sizes.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::answer::{Refusal, respond};
use super::request::{enter, plain};
use super::{Port, body};
use crate::digest::Sha256;
use crate::door::Answer;
use crate::folder::Directory;
use crate::forward::clock;
use crate::forward::files::Range;
use crate::forward::inbox::range::Slice;
use crate::forward::inbox::shelf::AskError;
use crate::forward::inbox::{OrderId, PIECE, Shared, Shelf, hold};

/// Where it is listed; an order's id and what is done with it follow.
const PATH: &str = "/v1/inbox";
/// The header by which a file that is put is the answer to a wish.
const REQUEST: &str = "rap-request";
/// Bytes of a body, at most.
const LIMIT: usize = 4096;
/// Of one port, so many wait for the disk at once: each is a thread.
const AT_ONCE: usize = 2;

/// Why an agent does not take something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    why: String,
}

/// What is asked.
enum Asked {
    List,
    Read(OrderId),
    Taken(OrderId),
    Refused(OrderId),
}

/// The shelf, and how many ask at once.
pub(super) struct Counter {
    shelf: Shared,
    room: Arc<Semaphore>,
}

impl Counter {
    pub(super) fn new(shelf: Shared) -> Self {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        Self { shelf, room }
    }

    /// Asks beside the threads that serve connections: it may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Shelf<Directory>) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the inbox is busy; ask again",
            )
        };
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| busy())?;
        let shelf = Arc::clone(&self.shelf);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = act(&mut hold(&shelf));
            drop(place);
            answer
        });
        asked.await.map_err(|_| busy())?.map_err(Refusal::from)
    }
}

/// Whether a path is here.
pub(super) fn is_here(path: &str) -> bool {
    path.strip_prefix(PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers `request`; `working` is called when all of it was read.
pub(super) async fn take(
    request: Request<Incoming>,
    port: &Port,
    working: impl FnOnce(),
) -> Result<Answer, Refusal> {
    enter(port)?;
    let (head, body) = request.into_parts();
    let asked = asked(head.uri.path(), &head.method)?;
    plain(&head.headers)?;
    let body = body::read(body, LIMIT, port.limits.body, &port.memory).await?;
    working();
    let counter = counter(port)?;
    let name = port.name().to_owned();
    match asked {
        Asked::List => {
            let list = counter
                .ask(move |shelf| Ok(shelf.list(&name, clock::now_ms())))
                .await?;
            Ok(respond(
                StatusCode::OK,
                "application/json",
                json!(list).to_string(),
            ))
        }
        Asked::Read(id) => read(counter, name, id, &head.headers).await,
        Asked::Taken(id) => {
            counter.ask(move |shelf| shelf.taken(&name, id)).await?;
            Ok(ended(id, "taken"))
        }
        Asked::Refused(id) => {
            let refused: Refused = serde_json::from_slice(&body.bytes).map_err(|error| {
                let detail = format!("expected {{\"why\":\"…\"}} as application/json: {error}");
                Refusal::new(StatusCode::BAD_REQUEST, "wrong-shape", detail)
            })?;
            counter
                .ask(move |shelf| shelf.refused(&name, id, &refused.why))
                .await?;
            Ok(ended(id, "refused"))
        }
    }
}

/// The wish that a file answers, if it says so. Asked before the file is taken, so that none is sent in vain.
pub(super) async fn wish(headers: &HeaderMap, port: &Port) -> Result<Option<OrderId>, Refusal> {
    let Some(value) = headers.get(REQUEST) else {
        return Ok(None);
    };
    let id: OrderId =
        value.to_str().unwrap_or_default().parse().map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "header", format!("Rap-Request: {error}"))
        })?;
    let name = port.name().to_owned();
    counter(port)?.ask(move |shelf| shelf.is_wish(&name, id)).await?;
    Ok(Some(id))
}

/// The file that was wanted is kept.
pub(super) async fn answered(port: &Port, id: OrderId, file: Sha256) -> Result<(), Refusal> {
    let name = port.name().to_owned();
    counter(port)?
        .ask(move |shelf| shelf.answered(&name, id, file))
        .await
}

fn counter(port: &Port) -> Result<&Counter, Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, "not-found", "this box has no inbox");
    port.inbox.as_deref().ok_or_else(none)
}

fn asked(path: &str, method: &Method) -> Result<Asked, Refusal> {
    let mut parts = path.strip_prefix(PATH).unwrap_or_default().split('/').skip(1);
    let id = parts.next().map(|text| text.parse::<OrderId>()).transpose();
    let not_here = || {
        let detail = "expected /v1/inbox, /v1/inbox/ID, /v1/inbox/ID/taken or /v1/inbox/ID/refused";
        Refusal::new(StatusCode::NOT_FOUND, "not-found", detail)
    };
    let id = id.map_err(|_| not_here())?;
    let (asked, right) = match (id, parts.next(), parts.next()) {
        (None, None, None) => (Asked::List, Method::GET),
        (Some(id), None, None) => (Asked::Read(id), Method::GET),
        (Some(id), Some("taken"), None) => (Asked::Taken(id), Method::POST),
        (Some(id), Some("refused"), None) => (Asked::Refused(id), Method::POST),
        _ => return Err(not_here()),
    };
    if *method == right {
        return Ok(asked);
    }
    let allow = if right == Method::GET { "GET" } else { "POST" };
    let detail = format!("found {method}, expected {allow}");
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).allowing(allow))
}

async fn read(counter: &Counter, name: String, id: OrderId, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let range = headers
        .get(RANGE)
        .map(|value| value.to_str().unwrap_or_default().to_owned());
    let ranged = range.is_some();
    let asked = counter.ask(move |shelf| {
        let size = shelf.size(&name, id)?;
        let whole = Slice {
            first: 0,
            length: size,
        };
        let slice = match range {
            Some(range) => Slice::parse(&range, size, PIECE)?,
            None if size > PIECE => return Ok((size, whole, None)),
            None => whole,
        };
        Ok((size, slice, Some(shelf.read(&name, id, slice)?)))
    });
    let (size, slice, content) = asked.await?;
    let Some(content) = content else {
        let detail = format!(
            "the file has {size} bytes; ask for ranges of at most {PIECE}, as Range: bytes=0-{}",
            PIECE - 1
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "range", detail));
    };
    let mut answer = Response::new(Full::new(Bytes::from(content)));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if ranged {
        let (first, last, total) = (slice.first, slice.last(), size);
        let text = Range::Part { first, last, total }.to_string();
        if let Ok(value) = HeaderValue::from_str(&text) {
            fields.insert(CONTENT_RANGE, value);
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

fn ended(id: OrderId, state: &str) -> Answer {
    respond(
        StatusCode::OK,
        "application/json",
        json!({ "id": id, "state": state }).to_string(),
    )
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        let (status, kind) = match &error {
            AskError::NotHere => (StatusCode::NOT_FOUND, "not-found"),
            AskError::Wish(_) | AskError::NoWish | AskError::Over(_) => (StatusCode::CONFLICT, "inbox"),
            AskError::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            AskError::Disk(error) => {
                log::error!("the inbox: {error}");
                (StatusCode::SERVICE_UNAVAILABLE, "disk")
            }
        };
        Self::new(status, kind, error.to_string())
    }
}
