//! The API instruments post to: `POST /v1/status` for reports, `PUT /v1/files/DIGEST` for data files, `POST /v1/consent` for
//! what a person says to a remote session; HTTP/1.1 over TLS or plain, one listener a port.
//!
//! Invariants
//! - 202 only after the log said durable, for the reports and for the alerts they raised.
//! - Every connection has a deadline for the handshake, each request's head, each body and each write of an answer. Of
//!   a port's connections those that do nothing give way to new ones, so a client can only keep itself out (`crate::door`).
//! - Memory is bounded: connections a port, bytes of a head, bytes of all bodies together (`body`).
//! - A port's reports and the bytes of its files are bounded in rate (`rate`), so that no instrument can fill the log for
//!   the others at once.
//!
//! One file a step: `crate::door` accepts, `request` reads, `store` judges and stores, `answer` says what became of it;
//! `file` is what `request` is, for data files, `session` for remote sessions, `inbox` for what the service centre sends. The API is described in docs/protocol.md.

mod answer;
mod body;
mod file;
mod inbox;
mod rate;
mod request;
mod session;
mod store;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::inbox::Counter;
use self::rate::Bucket;
pub use self::rate::Rate;
use self::store::Keeper;
use super::event;
use super::files::Desk;
use super::inbox::Shared;
use super::writer::Writer;
use crate::door::{Answer, Door, Handler};
use crate::session::people::Ear;
use crate::site::{Ingest, Trigger};

/// Where agents post.
pub const PATH: &str = "/v1/status";

/// Limits on what one port's clients can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On bodies.
    pub event: event::Limits,
    /// Reports a second.
    pub rate: Rate,
    /// Files' blocks of 4 KiB a second.
    pub files: Rate,
    /// Open connections per port; above it one that does nothing is closed for a new one.
    pub connections: usize,
    /// Bytes of all requests' bodies of all ports that may be in memory at once, shared out equally among the ports.
    pub memory: usize,
    /// For the TLS handshake, and for a request's head counted from the last answer.
    pub head: Duration,
    /// For a request's body.
    pub body: Duration,
    /// For the client to take what was written to it.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event: event::Limits::default(),
            rate: Rate::default(),
            files: Rate {
                per_second: 2048,
                burst: 8192,
            },
            connections: 32,
            memory: 8 * 1024 * 1024,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
        }
    }
}

/// A listening socket of one port.
#[derive(Debug)]
pub struct Listener {
    /// `source` of every event that comes in here, `/SITE/PORT`.
    pub source: String,
    /// TLS or plain.
    pub ingest: Ingest,
    /// The rules that look at its reports.
    pub triggers: Vec<Trigger>,
    /// The socket, listening.
    pub socket: TcpListener,
}

/// One port's side of the API.
#[derive(Clone)]
pub(super) struct Port {
    source: Arc<str>,
    limits: Limits,
    bucket: Bucket,
    file_bucket: Bucket,
    desk: Desk,
    memory: Arc<Semaphore>,
    keeper: Arc<Keeper>,
    /// The session service, where there is one.
    sessions: Option<Arc<Ear>>,
    /// The inbox, where there is one.
    inbox: Option<Arc<Counter>>,
}

impl Port {
    /// One of `ports` ports.
    pub(super) fn new(
        source: String,
        triggers: Vec<Trigger>,
        limits: Limits,
        ports: usize,
        writer: Writer,
        desk: Desk,
    ) -> Self {
        // A body as large as is allowed always fits.
        let memory = (limits.memory / ports.max(1)).max(limits.event.body);
        Self {
            source: source.as_str().into(),
            limits,
            bucket: Bucket::new(limits.rate, Instant::now()),
            file_bucket: Bucket::new(limits.files, Instant::now()),
            desk,
            memory: Arc::new(Semaphore::new(memory.min(Semaphore::MAX_PERMITS))),
            keeper: Arc::new(Keeper::new(source, triggers, writer)),
            sessions: None,
            inbox: None,
        }
    }

    /// What its door is like; `tls` is `None` for plain HTTP.
    pub(super) fn door(&self, tls: Option<TlsAcceptor>) -> Door {
        Door {
            name: Arc::clone(&self.source),
            tls,
            connections: self.limits.connections,
            head: self.limits.head,
            answer: self.limits.answer,
        }
    }

    /// The same, with a session service to ask.
    pub(super) fn with_sessions(mut self, socket: Option<PathBuf>) -> Self {
        self.sessions = socket.map(Ear::new).map(Arc::new);
        self
    }

    /// The same, with an inbox.
    pub(super) fn with_inbox(mut self, shelf: Option<Shared>) -> Self {
        self.inbox = shelf.map(Counter::new).map(Arc::new);
        self
    }

    /// The port's name: the end of its `source`, `/SITE/PORT`.
    fn name(&self) -> &str {
        self.source.rsplit('/').next().unwrap_or_default()
    }
}

impl Handler for Port {
    async fn answer(&self, request: Request<Incoming>, working: impl FnOnce() + Send) -> Answer {
        request::answer(request, self, working).await
    }
}
