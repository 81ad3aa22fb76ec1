//! A repository on a web server, through the box's relay.
//!
//! Invariants: one connection, one request at a time; no redirects. Nothing is received faster than the limit. What is
//! silent for a step, or makes no progress in a window ([`Patience`]), ends; sleeping for the limit is not waiting.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ureq::Body;
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;

use super::answer::{self, Head};
use super::patience::{Patience, Watch};
use super::{Name, Source, SourceError};
use crate::client::meter::Meter;
use crate::client::pace::Pace;
use crate::client::words::{self, Times};
use crate::client::{self, Line};
use crate::identity::Validity;
use crate::moment;
use crate::site::BitRate;

/// Whom words are about.
const PEER: &str = "the update repository";
/// Bytes read at once, at most.
const CHUNK: usize = 16 << 10;

/// How the repository is reached.
#[derive(Debug)]
pub struct Way {
    /// `https://HOST[:PORT][/PATH]`, below which `metadata`, `targets` and `pieces` are.
    pub url: String,
    /// Our certificate, and the roots of the server's.
    pub tls: TlsConfig,
    /// Of `device.crt`, where it can be told.
    pub device: Option<Validity>,
    /// How long to wait for what.
    pub patience: Patience,
    /// The box's relay.
    pub relay: Option<SocketAddr>,
    /// No more is received than this.
    pub rate_limit: Option<BitRate>,
}

/// A repository on a web server.
#[derive(Debug)]
pub struct Https {
    line: Line,
    meter: Arc<Meter>,
    base: String,
    device: Option<Validity>,
    patience: Patience,
    pace: Option<Mutex<Pace>>,
}

impl Https {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(way: Way) -> Self {
        let meter = Arc::new(Meter::default());
        let line = client::Way {
            tls: way.tls,
            step: way.patience.step,
            body: None,
            relay: way.relay,
            rate_limit: None,
        };
        Self {
            line: Line::new(line, Arc::clone(&meter)),
            meter,
            base: way.url.trim_end_matches('/').to_owned(),
            device: way.device,
            patience: way.patience,
            pace: way.rate_limit.map(|rate| Mutex::new(Pace::new(rate))),
        }
    }

    fn ask(&self, name: &Name) -> Result<Response<Body>, ureq::Error> {
        let request = Request::get(format!("{}/{name}", self.base)).body(&[][..])?;
        self.line.run(&request)
    }

    /// Reads a file, watching whether it comes.
    fn read(&self, body: Body, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        let too_long = || SourceError::TooLong {
            name: name.clone(),
            limit,
        };
        if body.content_length().is_some_and(|bytes| bytes > limit) {
            return Err(too_long());
        }
        let mut watch = Watch::new(self.patience);
        let mut content = Vec::new();
        let mut chunk = vec![0; self.pace.as_ref().map_or(CHUNK, |pace| lock(pace).part())];
        let mut reader = body.into_reader();
        loop {
            let begun = Instant::now();
            let read = reader.read(&mut chunk).map_err(|error| SourceError::Broken {
                name: name.clone(),
                came: content.len() as u64,
                words: words::of_request(&ureq::Error::from(error), &self.times()),
            })?;
            watch
                .took(begun.elapsed(), read)
                .map_err(|slow| SourceError::TooSlow {
                    name: name.clone(),
                    came: slow.came,
                    waited: slow.waited.as_secs(),
                })?;
            if read == 0 {
                return Ok(content);
            }
            content.extend_from_slice(&chunk[..read]);
            if content.len() as u64 > limit {
                return Err(too_long());
            }
            if let Some(pace) = &self.pace {
                let wait = lock(pace).take(read, moment::since_boot());
                std::thread::sleep(wait);
            }
        }
    }

    fn times(&self) -> Times {
        Times {
            peer: PEER,
            authority: crate::identity::AUTHORITY,
            here: seconds(SystemTime::now()),
            there: self.time(),
            device: self.device,
        }
    }
}

impl Source for Https {
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        let answer = self.ask(name).map_err(|error| SourceError::Unreachable {
            words: words::of_request(&error, &self.times()),
        })?;
        let (head, mut body) = answer.into_parts();
        let reason = || {
            let most = body.with_config().limit(answer::MOST_OF_A_REASON);
            // What cannot be read, or is longer, gives no reason.
            most.read_to_vec().unwrap_or_default()
        };
        let told = Head {
            status: head.status.as_u16(),
            headers: &head.headers,
            asked: client::asked(&head.headers, self.line.there()),
        };
        told.is_file(name, reason)?;
        let content = self.read(body, name, limit)?;
        if name.is_metadata() && answer::is_page(&content) {
            return Err(SourceError::Page {
                name: name.clone(),
                status: 200,
            });
        }
        Ok(content)
    }

    fn time(&self) -> Option<u64> {
        self.line.there().map(seconds)
    }

    fn received(&self) -> u64 {
        self.meter.read().received
    }
}

fn lock(pace: &Mutex<Pace>) -> std::sync::MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
