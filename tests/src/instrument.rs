//! An instrument's agent: posts reports one after the other until each is acknowledged, and remembers which were.
//!
//! Invariant: an id is in the acknowledged file (synced) only after the box answered 202 for it.

pub mod files;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rap_core::identity;
use serde_json::json;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Where and how an agent posts.
#[derive(Debug, Clone)]
pub struct Target {
    /// The box's ingest, `https://ADDRESS:8443` or `http://ADDRESS:8080`.
    pub url: String,
    /// The CA that issued the box's ingest certificate; not needed for plain HTTP.
    pub ca: Option<PathBuf>,
    /// The name the ingest certificate carries, when it is not the URL's address.
    pub server_name: Option<String>,
}

/// What an agent posts.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name: the ids are `NAME-K`.
    pub source: String,
    /// How many reports.
    pub count: u64,
    /// The first report's K.
    pub start: u64,
    /// Between an acknowledgement and the next report.
    pub interval: Duration,
    /// Every so many reports one is an alert.
    pub alert_every: Option<u64>,
    /// How many bytes of noise each report carries besides; compressed, three quarters of it remain.
    pub noise: usize,
    /// Until when all must be acknowledged, from now.
    pub deadline: Duration,
}

/// The answer to one post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// After how many seconds to try again, if the box says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn of(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Self> {
        let retry_after = response.headers().get("retry-after");
        Ok(Self {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|v| v.to_str().ok()?.parse().ok()),
            body: response.body_mut().read_to_string()?,
        })
    }
}

/// An agent with its connection.
#[derive(Debug)]
pub struct Agent {
    agent: ureq::Agent,
    url: String,
}

/// Resolves every name to the one address: the certificate's name need not be in any DNS.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

impl Agent {
    /// Prepares to post; nothing is sent yet.
    ///
    /// # Errors
    /// When the CA cannot be read or the URL not understood.
    pub fn new(target: &Target) -> anyhow::Result<Self> {
        let (scheme, rest) = target
            .url
            .split_once("://")
            .context("expected a URL with https:// or http://")?;
        let authority = rest.trim_end_matches('/');
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("{authority}: expected ADDRESS:PORT"))?
            .next()
            .context("no address")?;
        let host = target
            .server_name
            .clone()
            .unwrap_or_else(|| address.ip().to_string());
        let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(identity::provider());
        if let Some(ca) = &target.ca {
            let certificates: Vec<_> = identity::certificates(ca)?
                .iter()
                .map(|c| Certificate::from_der(c).to_owned())
                .collect();
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        } else {
            ensure!(
                scheme == "http",
                "for https the CA of the ingest certificate is needed"
            );
        }
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(3)))
            .timeout_per_read(Some(Duration::from_secs(5)))
            .timeout_per_write(Some(Duration::from_secs(5)))
            .build();
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Fixed(address));
        let url = format!("{scheme}://{host}:{}/v1/status", address.port());
        Ok(Self { agent, url })
    }

    /// Posts one event or, when `event` is an array, a batch.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn post(&self, event: &serde_json::Value) -> anyhow::Result<Answer> {
        let kind = if event.is_array() {
            "cloudevents-batch+json"
        } else {
            "cloudevents+json"
        };
        let response = self
            .agent
            .post(&self.url)
            .content_type(format!("application/{kind}"))
            .send(event.to_string())?;
        Answer::of(response)
    }

    /// What is at `path`, as text.
    ///
    /// # Errors
    /// When there was no answer, or it is no success.
    pub fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = self.url.replace("/v1/status", path);
        let mut response = self.agent.get(url).call()?;
        ensure!(response.status().is_success(), "{}", response.status());
        Ok(response.body_mut().read_to_string()?)
    }

    /// Posts nothing to `path`; returns the status.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn post_to(&self, path: &str) -> anyhow::Result<u16> {
        let url = self.url.replace("/v1/status", path);
        Ok(self.agent.post(url).send_empty()?.status().as_u16())
    }

    /// Posts JSON to `path`; returns the status.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn post_json(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<u16> {
        let url = self.url.replace("/v1/status", path);
        let response = self
            .agent
            .post(url)
            .content_type("application/json")
            .send(body.to_string())?;
        Ok(response.status().as_u16())
    }

    /// The whole file of this id in the inbox, a range at a time.
    ///
    /// # Errors
    /// When there was no answer, or another than a range.
    pub fn inbox_file(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        let url = self.url.replace("/v1/status", &format!("/v1/inbox/{id}"));
        let mut file = Vec::new();
        loop {
            let request = self
                .agent
                .get(&url)
                .header("range", format!("bytes={}-", file.len()));
            let mut response = request.call()?;
            match response.status().as_u16() {
                416 => return Ok(file),
                206 => file.extend(response.body_mut().read_to_vec()?),
                status => anyhow::bail!("{status}"),
            }
        }
    }

    /// Posts `plan`'s reports in order, each until it is acknowledged, and appends their ids to `acknowledged`.
    /// Goes on through lost connections and power cuts of the box.
    ///
    /// # Errors
    /// When the deadline passes, the box says that a report is wrong, or the file cannot be written.
    pub fn run(&self, plan: &Plan, acknowledged: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut file = Acknowledged::open(acknowledged)?;
        for k in plan.start..plan.start + plan.count {
            let id = format!("{}-{k}", plan.source);
            self.post_until_accepted(&report(plan, &id, k), start + plan.deadline)
                .with_context(|| format!("report {id}"))?;
            file.add(&id)?;
            std::thread::sleep(plan.interval);
        }
        Ok(())
    }

    fn post_until_accepted(&self, event: &serde_json::Value, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let why = match self.post(event) {
                Ok(answer) if answer.status == 202 => return Ok(()),
                Ok(answer) if (400..500).contains(&answer.status) && ![408, 429].contains(&answer.status) => {
                    bail!("refused with {}: {}", answer.status, answer.body);
                }
                Ok(answer) => format!("HTTP {}", answer.status),
                Err(error) => format!("{error:#}"),
            };
            ensure!(
                Instant::now() < deadline,
                "not acknowledged before the deadline, last: {why}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The event an agent posts as its `k`th.
#[must_use]
pub fn report(plan: &Plan, id: &str, k: u64) -> serde_json::Value {
    let alert = plan
        .alert_every
        .is_some_and(|every| every > 0 && k.is_multiple_of(every));
    json!({
        "specversion": "1.0",
        "id": id,
        "type": "instrument.status",
        "source": plan.source,
        "priority": if alert { "alert" } else { "routine" },
        "datacontenttype": "application/json",
        "data": { "k": k, "temperature": 20.0, "state": "idle", "noise": noise(k, plan.noise) },
    })
}

/// `length` letters, others for each `k`; empty for 0.
fn noise(k: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = k | 1 << 40;
    let letter = || {
        // xorshift64 (Marsaglia 2003): enough to leave a compressor nothing but the alphabet.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[usize::from(state.to_le_bytes()[5] & 63)])
    };
    std::iter::repeat_with(letter).take(length).collect()
}

struct Acknowledged(File);

impl Acknowledged {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.with_context(|| path.display().to_string())?))
    }

    fn add(&mut self, id: &str) -> anyhow::Result<()> {
        writeln!(self.0, "{id}")?;
        Ok(self.0.sync_data()?)
    }
}
