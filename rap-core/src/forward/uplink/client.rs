//! One request to the service centre, and its answer: batches and ranges of files go through here.
//!
//! Invariants: our certificate, only the centre's roots, no redirects, no proxy of the environment; through the box's
//! relay where there is one. An [`Answer`] came through TLS from who has the centre's key. What is not the success its
//! caller waits for is a [`Failure`] that says what is to be done about it. Every request may arrive twice
//! ([`crate::client`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ureq::http::Method;
use ureq::tls::TlsConfig;

use super::answer::Answer;
use super::trouble::Trouble;
use super::{Patience, clock};
use crate::client::meter::Meter;
use crate::client::words::{self, Times};
use crate::client::{self, Line};
use crate::identity::Validity;
use crate::site::BitRate;

/// The most bytes of an answer's body that are read.
const MOST_BODY: u64 = 64 * 1024;
/// Whom words are about.
const CENTRE: &str = "the service centre";

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
    line: Line,
    base: String,
    /// Bytes of an answer's body that are read.
    most: u64,
    device: Option<Validity>,
}

impl Client {
    /// Nothing is sent yet. What will be is counted by `meter`.
    pub(in crate::forward) fn new(way: Way, meter: Arc<Meter>) -> Self {
        let step = way.patience.step;
        let line = client::Way {
            tls: way.tls,
            step,
            body: client::Way::small_body(step),
            relay: way.relay,
            rate_limit: way.rate_limit,
        };
        Self {
            line: Line::new(line, meter),
            base: way.centre.trim_end_matches('/').to_owned(),
            most: MOST_BODY,
            device: way.device,
        }
    }

    /// The same, with answers of so many bytes.
    pub(in crate::forward) fn with_answers_to(mut self, most: u64) -> Self {
        self.most = most;
        self
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// When no answer came.
    pub(in crate::forward) fn send(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        self.attempt(request)
            .map_err(|error| Trouble::new(words::of_request(&error, &self.times())))
    }

    fn attempt(&self, request: &Request<'_>) -> Result<Answer, ureq::Error> {
        let mut head = ureq::http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", self.base, request.path));
        for (name, value) in request.headers {
            head = head.header(*name, *value);
        }
        let (head, mut body) = self.line.run(&head.body(request.body)?)?.into_parts();
        // Read to the end, so that the connection can be used again.
        let body = body.with_config().limit(self.most).read_to_vec();
        Ok(Answer {
            status: head.status.as_u16(),
            asked: client::asked(&head.headers, self.line.there()),
            headers: head.headers,
            body: body.map_err(|error| words::of_request(&error, &self.times())),
        })
    }

    /// What is known of the time, here and there.
    pub(in crate::forward) fn times(&self) -> Times {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |since| since.as_secs())
        };
        Times {
            peer: CENTRE,
            authority: crate::identity::AUTHORITY,
            here: clock::now_ms() / 1000,
            there: self.line.there().map(seconds),
            device: self.device,
        }
    }
}
