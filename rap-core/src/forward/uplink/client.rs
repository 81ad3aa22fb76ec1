//! One request to the service centre, and its answer: batches and ranges of files go through here.
//!
//! Invariants: our certificate, only the centre's roots, no redirects, no proxy of the environment; through the box's
//! relay where there is one. An [`Answer`] came through TLS from who has the centre's key. What is not the success its
//! caller waits for is a [`Failure`] that says what is to be done about it.
//!
//! Connections are kept between requests. That one was closed meanwhile may show only when it is used: a request for
//! which a kept connection broke before any byte of an answer came is sent once more, at once, on a new one. Therefore
//! every request has to be one that may arrive twice. TLS sessions are resumed: all connections share one configuration.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::Agent;
use ureq::http::{HeaderMap, Method};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, RustlsConnector, TcpConnector};

use super::answer::Answer;
use super::meter::Meter;
use super::retry_after;
use super::trouble::{self, Times, Trouble};
use super::wire::{Above, Below};
use super::{Patience, clock};
use crate::identity::Validity;
use crate::moment;
use crate::relay::{self, client::Only, client::Through};
use crate::site::BitRate;

/// The most bytes of an answer's body that are read.
const MOST_BODY: u64 = 64 * 1024;
/// An answer's head, and then its body, have to be there within so many steps, though a byte of them came in each step.
const STEPS_OF_AN_ANSWER: u32 = 4;
/// Kept connections are used after so long a pause, if the server keeps them too.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// What is asked of the service centre. It may arrive twice.
#[derive(Debug, Clone)]
pub(in crate::forward) struct Request<'a> {
    pub(in crate::forward) method: Method,
    /// Below the centre's URL, beginning with `/`.
    pub(in crate::forward) path: &'a str,
    pub(in crate::forward) headers: &'a [(&'static str, &'a str)],
    pub(in crate::forward) body: &'a [u8],
}

/// How the service centre is reached.
#[derive(Debug)]
pub(in crate::forward) struct Way {
    /// `https://HOST:PORT`.
    pub(in crate::forward) centre: String,
    pub(in crate::forward) tls: TlsConfig,
    /// Of `device.crt`, where it can be told.
    pub(in crate::forward) device: Option<Validity>,
    pub(in crate::forward) patience: Patience,
    /// The box's relay.
    pub(in crate::forward) relay: Option<SocketAddr>,
    /// No more is sent than this.
    pub(in crate::forward) rate_limit: Option<BitRate>,
}

/// The way to the service centre.
#[derive(Debug)]
pub(in crate::forward) struct Client {
    agent: Agent,
    base: String,
    device: Option<Validity>,
    meter: Arc<Meter>,
    /// The `Date` of the centre's last answer, and when it came, since boot.
    heard: Cell<Option<(SystemTime, Duration)>>,
}

impl Client {
    /// Nothing is sent yet. What will be is counted by `meter`.
    pub(in crate::forward) fn new(way: Way, meter: Arc<Meter>) -> Self {
        let patience = &way.patience;
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
            .timeout_resolve(Some(patience.step))
            .timeout_connect(Some(patience.step + relaying))
            .timeout_per_read(Some(patience.step))
            .timeout_per_write(Some(patience.step))
            .timeout_recv_response(Some(patience.step * STEPS_OF_AN_ANSWER))
            .timeout_recv_body(Some(patience.step * STEPS_OF_AN_ANSWER))
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
            base: way.centre.trim_end_matches('/').to_owned(),
            device: way.device,
            meter,
            heard: Cell::new(None),
        }
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// When no answer came.
    pub(in crate::forward) fn send(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let before = self.meter.mark();
        let mut answer = self.attempt(request);
        if matches!(&answer, Err(error) if is_break(error)) && self.meter.mark() == before {
            answer = self.attempt(request);
        }
        answer.map_err(|error| Trouble::new(trouble::of_request(&error, &self.times())))
    }

    fn attempt(&self, request: &Request<'_>) -> Result<Answer, ureq::Error> {
        let mut head = ureq::http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", self.base, request.path));
        for (name, value) in request.headers {
            head = head.header(*name, *value);
        }
        let answer = self.agent.run(head.body(request.body)?)?;
        let (head, mut body) = answer.into_parts();
        let there = self.hear(&head.headers);
        // Read to the end, so that the connection can be used again.
        let body = body.with_config().limit(MOST_BODY).read_to_vec();
        Ok(Answer {
            status: head.status.as_u16(),
            asked: asked(&head.headers, there),
            headers: head.headers,
            body: body.map_err(|error| trouble::of_request(&error, &self.times())),
        })
    }

    /// What is known of the time, here and there.
    pub(in crate::forward) fn times(&self) -> Times {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |since| since.as_secs())
        };
        Times {
            here: clock::now_ms() / 1000,
            there: self.there().map(seconds),
            device: self.device,
        }
    }

    /// Remembers the server's time, and returns it as far as it is known.
    fn hear(&self, headers: &HeaderMap) -> Option<SystemTime> {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(date) = date.and_then(retry_after::date) {
            self.heard.set(Some((date, moment::since_boot())));
        }
        self.there()
    }

    /// The time by the centre's clock, as it was last heard.
    fn there(&self) -> Option<SystemTime> {
        let (date, at) = self.heard.get()?;
        date.checked_add(moment::since_boot().saturating_sub(at))
    }
}

fn asked(headers: &HeaderMap, there: Option<SystemTime>) -> Option<Duration> {
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
