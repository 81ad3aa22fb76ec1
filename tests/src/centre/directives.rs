//! `GET /v1/directives`: docs/protocol.md §3.4 from the centre's side. Envelopes are given as they are; who signs them is
//! the test.

use std::sync::Mutex;
use std::time::Duration;

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fault::Fault;
use super::server::{Answer, lock, respond};

/// Where boxes ask.
pub(super) const PATH: &str = "/v1/directives";
const MEDIA_TYPE: &str = "application/vnd.rap.directives+json";
/// Polls are held no longer than this.
const LONGEST: u64 = 60;

/// What waits for the boxes, and how they ask.
#[derive(Debug, Default)]
pub struct Directives {
    envelopes: Mutex<Vec<(u64, Value)>>,
    polls: Mutex<Vec<Poll>>,
    receipts: std::sync::atomic::AtomicBool,
}

/// One question of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// Its docket.
    pub docket: String,
    /// The last number it has taken.
    pub after: u64,
}

impl Directives {
    /// Has this envelope, of this number, for whoever asks.
    pub fn add(&self, number: u64, envelope: Value) {
        lock(&self.envelopes).push((number, envelope));
    }

    /// Puts everything into every receipt from now on, and answers no poll with it.
    pub fn in_receipts(&self) {
        self.receipts.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Every question so far.
    #[must_use]
    pub fn polls(&self) -> Vec<Poll> {
        lock(&self.polls).clone()
    }

    /// The latest question.
    #[must_use]
    pub fn last_poll(&self) -> Option<Poll> {
        lock(&self.polls).last().cloned()
    }

    /// What a receipt carries besides.
    pub(super) fn carried(&self, mut receipt: Value) -> Value {
        if self.receipts.load(std::sync::atomic::Ordering::Relaxed) {
            receipt["directives"] = self.after(0).into();
        }
        receipt
    }

    fn after(&self, number: u64) -> Vec<Value> {
        let envelopes = lock(&self.envelopes);
        let newer = envelopes.iter().filter(|(of, _)| *of > number);
        newer.map(|(_, envelope)| envelope.clone()).collect()
    }

    /// Answers one poll, when there is something or its time is over.
    pub(super) async fn answer<B>(&self, request: &Request<B>, fault: Option<Fault>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let number = |name| value(name).and_then(|value| value.parse::<u64>().ok());
        let (Some(docket), Some(after)) = (value("docket"), number("after")) else {
            return respond(
                StatusCode::BAD_REQUEST,
                "text/plain",
                "expected docket and after\n",
            );
        };
        lock(&self.polls).push(Poll { docket, after });
        if let Some(Fault::Status(status)) = fault {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
            return respond(status, "text/plain", "as the test wants it\n");
        }
        let hold = Duration::from_secs(number("wait").unwrap_or(0).min(LONGEST));
        let until = Instant::now() + hold;
        let receipts = self.receipts.load(std::sync::atomic::Ordering::Relaxed);
        let found = loop {
            let found = if receipts { Vec::new() } else { self.after(after) };
            if !found.is_empty() || Instant::now() >= until {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        respond(
            StatusCode::OK,
            MEDIA_TYPE,
            json!({ "directives": found }).to_string(),
        )
    }
}
