//! Delivery to the service centre: one batch in flight, alerts first, until the receipt for it comes.
//!
//! Invariant: the cursor moves only behind what a receipt with our own key and count confirms; whatever else answers
//! (a captive portal's 200, a proxy's page, a redirect) is trouble and not delivery. The protocol is in docs/protocol.md.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::batch::{self, MOST_REPORTS, Parcel, READ_BYTES};
use super::clock;
use super::lane::Lane;
use super::log::Log;
use super::signal::Signal;
use super::trouble::{self, Voice};
use crate::relay;

/// Where batches are posted, below the service centre's URL.
pub const PATH: &str = "/v1/batches";
/// The media type of a receipt.
pub const RECEIPT: &str = "application/vnd.rap.receipt+json";

/// The longest pause of a site on trial until the centre has answered.
const TRIAL_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TCP connection, its TLS handshake, and each read or write.
    pub step: Duration,
    /// The longest pause after the first failure; doubled with each further one.
    pub first_pause: Duration,
    /// The longest pause at all.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// How delivery goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What keeps it from working, in words; `None` while it works.
    pub trouble: Option<String>,
    /// When the last receipt came, milliseconds since 1970 by the box's clock.
    pub delivered_at: Option<u64>,
    /// Reports with a receipt since start.
    pub delivered: u64,
    /// When the service centre last answered over TLS, whatever it answered, in milliseconds since boot.
    pub exchanged: Option<u64>,
}

/// The delivering thread's state.
pub(super) struct Uplink {
    pub(super) log: Arc<Mutex<Log>>,
    pub(super) signal: Arc<Signal>,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) url: String,
    pub(super) agent: Agent,
    pub(super) patience: Patience,
    /// Whether the site is on trial: then the first answer of the centre is waited for.
    pub(super) on_trial: bool,
}

/// The receipt of docs/protocol.md.
#[derive(Debug, Deserialize)]
struct Receipt {
    receipt: String,
    events: usize,
}

pub(super) enum Failure {
    /// In words, and how long the centre asks us to wait.
    Trouble(String, Option<Duration>),
    /// The batch is too large for the centre (413): smaller ones may do.
    TooLarge,
}

/// Makes the client: our certificate, only the centre's roots, no redirects, no proxy from the environment; through the
/// box's relay if there is one.
pub(super) fn agent(tls: TlsConfig, patience: &Patience, relay: Option<SocketAddr>) -> Agent {
    // The relay gives its reason before this ends, and then the TLS handshake has its own time.
    let relaying = relay.map_or(Duration::ZERO, |_| relay::Patience::default().to_answer());
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("rap/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.step))
        .timeout_connect(Some(patience.step + relaying))
        .timeout_per_read(Some(patience.step))
        .timeout_per_write(Some(patience.step))
        .build();
    match relay {
        Some(relay) => relay::client::agent(config, relay),
        None => config.into(),
    }
}

impl Uplink {
    /// Delivers until told to stop.
    pub(super) fn run(self) {
        let mut voice = Voice::default();
        let mut failures = 0;
        let mut most = MOST_REPORTS;
        loop {
            let outcome = self.deliver_one(most);
            let go_on = match outcome {
                Ok(Some(count)) => {
                    failures = 0;
                    most = MOST_REPORTS.min(most * 2);
                    voice.fine();
                    self.note_delivered(count);
                    self.signal.pause(Duration::ZERO)
                }
                Ok(None) => self.signal.wait_for_news(Duration::from_secs(60)),
                Err(Failure::TooLarge) if most > 1 => {
                    most /= 2;
                    true
                }
                Err(failure) => {
                    let (text, asked) = match failure {
                        Failure::Trouble(text, asked) => (text, asked),
                        Failure::TooLarge => (
                            "the service centre refuses one report as too large".to_owned(),
                            None,
                        ),
                    };
                    voice.trouble(&text);
                    self.progress().trouble = Some(text);
                    let pause = full_jitter(&self.patience(), failures, random_fraction());
                    failures += 1;
                    self.signal
                        .pause(asked.map_or(pause, |asked| asked + pause.min(asked)))
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Delivers one batch of the most urgent lane that has something; says how many reports.
    fn deliver_one(&self, most: usize) -> Result<Option<u64>, Failure> {
        let unreadable = |e: std::io::Error| Failure::Trouble(format!("the log cannot be read: {e}"), None);
        for lane in Lane::ALL {
            let mut batch = self.log().peek(lane, most, READ_BYTES).map_err(unreadable)?;
            if batch.records.is_empty() {
                continue;
            }
            let parcel = batch::pack(&mut batch, most).map_err(unreadable)?;
            self.post(lane, &parcel, batch.records.len())?;
            if let Err(error) = self.log().advance(lane, &batch) {
                log::error!("how far delivery came could not be stored, a restart will send again: {error}");
            }
            return Ok(Some(batch.records.len() as u64));
        }
        Ok(None)
    }

    fn post(&self, lane: Lane, parcel: &Parcel, count: usize) -> Result<(), Failure> {
        let mut response = self
            .agent
            .post(&self.url)
            .header("content-type", "application/cloudevents-batch+json")
            .header("content-encoding", "zstd")
            .header("accept", RECEIPT)
            .header("idempotency-key", &parcel.key)
            .header("rap-lane", lane.as_str())
            .send(&parcel.body[..])
            .map_err(|error| Failure::Trouble(trouble::of_request(&error), None))?;
        // An answer of any kind came through TLS from who has the centre's key: the network is right.
        self.progress().exchanged = Some(clock::since_boot_ms());
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let asked = header("retry-after")
            .and_then(|v| v.parse().ok())
            .map(Duration::from_secs);
        // A server's mistake must not silence the box for days.
        let asked = asked.map(|asked| asked.min(Duration::from_secs(3600)));
        let is_receipt = header("content-type").is_some_and(|v| v.starts_with(RECEIPT));
        // Read to the end, so that the connection can be used again.
        let body = response.body_mut().with_config().limit(64 * 1024).read_to_vec();
        match status {
            200 if is_receipt => {
                let body = body.map_err(|error| Failure::Trouble(trouble::of_request(&error), None))?;
                check_receipt(&body, &parcel.key, count)
            }
            200..=299 => Err(Failure::Trouble(
                "what answers is not the service centre: its answer is not a receipt (a captive portal?)"
                    .to_owned(),
                asked,
            )),
            413 => Err(Failure::TooLarge),
            429 | 503 => Err(Failure::Trouble(
                format!("the service centre is busy (HTTP {status})"),
                asked,
            )),
            _ => Err(Failure::Trouble(
                format!("the service centre answers HTTP {status}"),
                asked,
            )),
        }
    }

    /// How long to wait now: on trial the network has two minutes to be confirmed in.
    fn patience(&self) -> Patience {
        let mut patience = self.patience;
        if self.on_trial && self.progress().exchanged.is_none() {
            patience.longest_pause = patience.longest_pause.min(TRIAL_PAUSE);
        }
        patience
    }

    fn note_delivered(&self, count: u64) {
        let mut progress = self.progress();
        progress.trouble = None;
        progress.delivered_at = Some(clock::now_ms());
        progress.delivered += count;
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn check_receipt(body: &[u8], key: &str, count: usize) -> Result<(), Failure> {
    match serde_json::from_slice::<Receipt>(body) {
        Ok(receipt) if receipt.receipt == key && receipt.events == count => Ok(()),
        _ => Err(Failure::Trouble(
            "the service centre's receipt is for something else".to_owned(),
            None,
        )),
    }
}

/// A pause between nothing and the bound, evenly: boxes that failed together do not come back together.
fn full_jitter(patience: &Patience, failures: u32, fraction: f64) -> Duration {
    let bound = patience
        .first_pause
        .saturating_mul(1 << failures.min(16))
        .min(patience.longest_pause);
    bound.mul_f64(fraction).max(Duration::from_millis(50))
}

fn random_fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without entropy every pause is half the bound: still a pause.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_never_vanish() {
        let patience = Patience::default();
        assert_eq!(full_jitter(&patience, 0, 1.0), Duration::from_secs(1));
        assert_eq!(full_jitter(&patience, 3, 0.5), Duration::from_secs(4));
        assert_eq!(full_jitter(&patience, 99, 1.0), Duration::from_secs(60));
        assert_eq!(full_jitter(&patience, 0, 0.0), Duration::from_millis(50));
    }

    #[test]
    fn a_receipt_is_for_this_batch_or_none() {
        assert!(check_receipt(br#"{"receipt":"k","events":2}"#, "k", 2).is_ok());
        for wrong in [
            &br#"{"receipt":"k","events":1}"#[..],
            br#"{"receipt":"x","events":2}"#,
            b"<html>",
            b"{}",
        ] {
            assert!(check_receipt(wrong, "k", 2).is_err());
        }
    }
}
