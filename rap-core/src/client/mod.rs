//! How the box's own programs speak HTTPS: the lower half of every client of ours, of the service centre and of the
//! update repository.
//!
//! Invariants: our certificate, only the given roots, no redirects, no proxy of the environment; through the box's relay
//! where there is one. Every wait for a byte has an end. What passes is counted by a [`Meter`]; what is sent keeps to the
//! site's limit ([`pace`]).
//!
//! Connections are kept between requests. That one was closed meanwhile may show only when it is used: a request for
//! which a kept connection broke before any byte of an answer came is sent once more, at once, on a new one. Therefore
//! every request has to be one that may arrive twice. TLS sessions are resumed: all connections share one configuration.
//!
//! [`words`] says in words what went wrong, [`retry_after`] reads a server's dates.

pub(crate) mod meter;
pub(crate) mod pace;
pub(crate) mod retry_after;
mod wire;
pub(crate) mod words;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body};

use self::meter::Meter;
use self::wire::{Above, Below};
use crate::moment;
use crate::relay::{self, client::Only, client::Through};
use crate::site::BitRate;

/// An answer's head has to be there within so many steps, though a byte of it came in each step.
const STEPS_OF_AN_ANSWER: u32 = 4;
/// Kept connections are used after so long a pause, if the server keeps them too.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// How a server is reached.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) tls: TlsConfig,
    /// For a TCP connection, its TLS handshake, and each read or write.
    pub(crate) step: Duration,
    /// For an answer's whole body; without it its reader looks after that.
    pub(crate) body: Option<Duration>,
    /// The box's relay.
    pub(crate) relay: Option<SocketAddr>,
    /// No more is sent than this.
    pub(crate) rate_limit: Option<BitRate>,
}

/// A line to one server: its connections, and what they told.
#[derive(Debug)]
pub(crate) struct Line {
    agent: Agent,
    meter: Arc<Meter>,
    /// The `Date` of the server's last answer, and when it came, since boot.
    heard: Mutex<Option<(SystemTime, Duration)>>,
}

impl Way {
    /// The budget of a body that is small whatever it is: as long as an answer's head may take.
    pub(crate) fn small_body(step: Duration) -> Option<Duration> {
        Some(step * STEPS_OF_AN_ANSWER)
    }
}

impl Line {
    /// Nothing is sent yet. What will be is counted by `meter`.
    pub(crate) fn new(way: Way, meter: Arc<Meter>) -> Self {
        // The relay gives its reason before this ends, and then the TLS handshake has its own time.
        let relaying = way
            .relay
            .map_or(Duration::ZERO, |_| relay::Patience::default().to_answer());
        let config = Agent::config_builder()
            .tls_config(way.tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("rap/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(1)
            .max_idle_age(KEPT)
            .timeout_resolve(Some(way.step))
            .timeout_connect(Some(way.step + relaying))
            .timeout_per_read(Some(way.step))
            .timeout_per_write(Some(way.step))
            .timeout_recv_response(Some(way.step * STEPS_OF_AN_ANSWER))
            .timeout_recv_body(way.body)
            .build();
        let below = Below::new(Arc::clone(&meter), way.rate_limit);
        let above = Above(Arc::clone(&meter));
        let tls = RustlsConnector::default();
        let agent = match way.relay {
            Some(relay) => {
                let chain = Through::default().chain(below).chain(tls).chain(above);
                Agent::with_parts(config, chain, Only(relay))
            }
            None => {
                let chain = ().chain(TcpConnector::default());
                let chain = chain.chain(below).chain(tls).chain(above);
                Agent::with_parts(config, chain, DefaultResolver::default())
            }
        };
        Self {
            agent,
            meter,
            heard: Mutex::new(None),
        }
    }

    /// Sends one request and reads its answer's head; the body is for the caller. It came through TLS from who has the
    /// server's key.
    ///
    /// # Errors
    /// When no answer came.
    pub(crate) fn run(&self, request: &Request<&[u8]>) -> Result<Response<Body>, ureq::Error> {
        let before = self.meter.mark();
        let mut answer = self.agent.run(request.clone());
        if matches!(&answer, Err(error) if is_break(error)) && self.meter.mark() == before {
            answer = self.agent.run(request.clone());
        }
        if let Ok(answer) = &answer {
            self.hear(answer.headers());
        }
        answer
    }

    /// The time by the server's clock, as it was last heard.
    pub(crate) fn there(&self) -> Option<SystemTime> {
        let (date, at) = (*self.heard())?;
        date.checked_add(moment::since_boot().saturating_sub(at))
    }

    fn hear(&self, headers: &HeaderMap) {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(date) = date.and_then(retry_after::date) {
            *self.heard() = Some((date, moment::since_boot()));
        }
    }

    fn heard(&self) -> MutexGuard<'_, Option<(SystemTime, Duration)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an answer asks to wait, by the server's own clock where it says a date.
pub(crate) fn asked(headers: &HeaderMap, there: Option<SystemTime>) -> Option<Duration> {
    retry_after::parse(headers.get("retry-after")?.to_str().ok()?, there)
}

/// Whether the connection ended, for whatever reason, while a request or an answer was on its way.
fn is_break(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}
