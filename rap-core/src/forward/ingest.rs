//! The API instruments post to: `POST /v1/status`, HTTP/1.1 over TLS or plain, one listener a port.
//!
//! Invariants: 202 only after the log said durable; every connection has a deadline for the handshake, each request's
//! head and each body, so that a slow client costs one of its port's connections and nothing else; the number of
//! connections is bounded per port. The API is described in docs/protocol.md.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::clock;
use super::event::{self, EventError, Format};
use super::log::NewRecord;
use super::writer::{Stored, Writer};
use crate::site::Ingest;

/// Where agents post.
pub const PATH: &str = "/v1/status";

/// Limits on what one port's clients can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On bodies.
    pub event: event::Limits,
    /// Open connections per port.
    pub connections: usize,
    /// For the TLS handshake, and for a request's head counted from the last answer.
    pub head: Duration,
    /// For a request's body.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event: event::Limits::default(),
            connections: 32,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
        }
    }
}

/// A listening socket of one port.
#[derive(Debug)]
pub struct Listener {
    /// `source` of every event that comes in here.
    pub source: String,
    /// TLS or plain.
    pub ingest: Ingest,
    /// The socket, listening.
    pub socket: TcpListener,
}

/// One port's side of the API.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) source: Arc<str>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) writer: Writer,
}

/// Accepts until the task is dropped.
pub(super) async fn serve(socket: tokio::net::TcpListener, port: Port) {
    let room = Arc::new(Semaphore::new(port.limits.connections));
    loop {
        // Above the bound the kernel's queue waits, and then the instrument does.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("{}: a connection could not be accepted: {error}", port.source);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let port = port.clone();
        tokio::spawn(async move {
            connection(stream, port).await;
            drop(permit);
        });
    }
}

async fn connection(stream: tokio::net::TcpStream, port: Port) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    match port.tls.clone() {
        None => http(stream, port).await,
        Some(tls) => match tokio::time::timeout(port.limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, port).await,
            Ok(Err(error)) => log::debug!("{}: TLS handshake failed: {error}", port.source),
            Err(_) => log::debug!("{}: TLS handshake took too long", port.source),
        },
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, port: Port) {
    let head = port.limits.head;
    let service = hyper::service::service_fn(move |request| {
        let port = port.clone();
        async move { Ok::<_, Infallible>(answer(request, &port).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("connection ended: {error}");
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, port: &Port) -> Answer {
    match take(request, port).await {
        Ok(ids) => {
            let body = serde_json::json!({ "accepted": ids }).to_string();
            respond(StatusCode::ACCEPTED, "application/json", body)
        }
        Err(refusal) => refusal.into_answer(),
    }
}

async fn take(request: Request<Incoming>, port: &Port) -> Result<Vec<String>, Refusal> {
    if request.uri().path() != PATH {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("the only resource here is {PATH}"),
        ));
    }
    if request.method() != Method::POST {
        let detail = format!("found {}, expected POST", request.method());
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail));
    }
    let limits = &port.limits;
    let format = format_of(&request)?;
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > limits.event.body as u64) {
        return Err(EventError::TooLarge {
            limit: limits.event.body,
        }
        .into());
    }
    let body = Limited::new(request.into_body(), limits.event.body).collect();
    let body = match tokio::time::timeout(limits.body, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(EventError::TooLarge {
                limit: limits.event.body,
            }
            .into());
        }
        Ok(Err(error)) => {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("the body broke off: {error}"),
            ));
        }
        Err(_) => {
            let detail = format!("the body took longer than {} s", limits.body.as_secs());
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    let events = event::parse(&body, format, &port.source, &limits.event)?;
    let ids = events.iter().map(|event| event.id.clone()).collect();
    let received = clock::now_ms();
    let request = events
        .into_iter()
        .map(|event| {
            let record = NewRecord {
                source: port.source.to_string(),
                id: event.id,
                received,
                event: event.json,
            };
            (event.lane, record)
        })
        .collect();
    match port.writer.store(request).await {
        Stored::Durable => Ok(ids),
        Stored::Full => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no room for now; the report was not taken, post it again",
        )),
        Stored::TooLarge => Err(EventError::TooLarge {
            limit: limits.event.body,
        }
        .into()),
        Stored::Conflict(id) => Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("id \"{id}\" was used before for another report"),
        )),
        Stored::Failed(_) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the report could not be stored; it was not taken, post it again",
        )),
    }
}

fn format_of(request: &Request<Incoming>) -> Result<Format, Refusal> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .map(|v: &HeaderValue| v.to_str().unwrap_or("?"))
    };
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|e| !e.eq_ignore_ascii_case("identity")) {
        let detail = format!("found Content-Encoding {encoding}, expected none");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let found = text(CONTENT_TYPE).unwrap_or("none");
    Format::of_content_type(found).ok_or_else(|| {
        let detail = format!(
            "found Content-Type {found}, expected application/cloudevents+json or application/cloudevents-batch+json"
        );
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    })
}

/// A problem (RFC 9457) to be answered.
struct Refusal {
    status: StatusCode,
    detail: String,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    fn into_answer(self) -> Answer {
        let body = serde_json::json!({
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut answer = respond(self.status, "application/problem+json", body.to_string());
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
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
        Self::new(status, error.to_string())
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
