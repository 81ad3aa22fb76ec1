//! How fast reports get through a slow line: the real forwarder and its TLS, the test centre behind a line of so many
//! bits a second and so much delay, and a backlog that was there before.
//!
//! The kernel makes the line where it can: between two network namespaces, by `netem` (rate and delay), or by `tbf`
//! (rate) with the delay of [`Link`]; else [`Link`] makes all of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rap_core::forward::{Config, Forwarder, Listener};
use rap_core::identity::Identity;
use rap_core::site::Ingest;
use rap_qemu::lab::Host;
use serde_json::{Value, json};

use super::{Dice, Fault, Link, Proxy};
use crate::bench::Figure;
use crate::centre::{self, Centre};
use crate::instrument::{Agent, Target};
use crate::keys;

const BOX: Ipv4Addr = Ipv4Addr::new(10, 86, 0, 1);
const CENTRE: Ipv4Addr = Ipv4Addr::new(10, 86, 0, 2);
/// Reports of one post to the box.
const POSTED: usize = 200;
/// Longer than any pause of the forwarder while the line is closed, and then a batch on the line.
const LONG: Duration = Duration::from_secs(150);

/// What is measured.
#[derive(Debug, Clone)]
pub struct SlowLink {
    /// Bits a second each way.
    pub rate: u64,
    /// One way.
    pub delay: Duration,
    /// How many reports wait when the line opens.
    pub reports: usize,
    /// Who makes the line.
    pub path: Path,
    /// Where log, keys and database are put.
    pub directory: PathBuf,
}

/// Who makes a slow line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The kernel's `netem`, rate and delay.
    Netem,
    /// The kernel's `tbf` the rate, [`Link`] the delay.
    Tbf,
    /// [`Link`] both.
    Proxy,
}

/// The hosts at the ends of a line of the kernel's.
struct Ends {
    of_box: Host,
    centre: Host,
}

impl Path {
    /// The best there is here.
    #[must_use]
    pub fn best() -> Self {
        let trial = SlowLink {
            rate: 128_000,
            delay: Duration::from_millis(1),
            reports: 0,
            path: Self::Netem,
            directory: PathBuf::new(),
        };
        [Self::Netem, Self::Tbf]
            .into_iter()
            .find(|path| {
                Ends::new(&SlowLink {
                    path: *path,
                    ..trial.clone()
                })
                .is_ok()
            })
            .unwrap_or(Self::Proxy)
    }

    /// In words, for whoever reads the figures.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Netem => "kernel: netem",
            Self::Tbf => "kernel: tbf; delay by the fault proxy",
            Self::Proxy => "fault proxy",
        }
    }
}

/// Measures; the figures are the line, the reports' size plain and on the line, and reports a second.
///
/// # Errors
/// When something of it does not start, or reports do not arrive, or arrive twice or out of order.
pub fn slow_link(wanted: &SlowLink) -> anyhow::Result<Vec<Figure>> {
    keys::write(&wanted.directory)?;
    let ends = match wanted.path {
        Path::Proxy => None,
        _ => Some(Ends::new(wanted)?),
    };
    let (centre, arrivals) = start_centre(wanted, ends.as_ref())?;
    let (target, here) = (centre.address(), ends.as_ref().map(|ends| &ends.of_box));
    let proxy = on(here, || Proxy::start(target))??;
    proxy.set(Fault::Refuse)?;
    let forwarder = on(here, || start_forwarder(wanted, &proxy))??;
    let size = on(here, || post(&forwarder, wanted.reports))??;
    proxy.set(wanted.fault())?;
    let times = wait_for(&arrivals, wanted.reports)?;

    let store = centre.store()?;
    ensure!(store.duplicates()? == 0, "reports arrived twice");
    let wrong = store.order_errors()?;
    ensure!(wrong.is_empty(), "order: {}", wrong.join("; "));
    figures(wanted, size, &times, proxy.counts().up)
}

impl SlowLink {
    /// What is left for the proxy to do.
    fn fault(&self) -> Fault {
        match self.path {
            Path::Netem => Fault::Pass,
            Path::Tbf => Fault::Slow(Link {
                rate: None,
                delay: self.delay,
            }),
            Path::Proxy => Fault::Slow(Link {
                rate: Some(self.rate),
                delay: self.delay,
            }),
        }
    }
}

impl Ends {
    fn new(wanted: &SlowLink) -> anyhow::Result<Self> {
        let host = |name: &str| Host::new(format!("{name} of slow-link-{}", std::process::id()));
        let (of_box, centre) = (host("box")?, host("centre")?);
        of_box.connect("line0", &centre, "line0")?;
        for (host, address) in [(&of_box, BOX), (&centre, CENTRE)] {
            host.configure("line0", address, 24, None)?;
            let discipline = match wanted.path {
                // Room for a second of packets.
                Path::Netem => format!(
                    "netem rate {}bit delay {}ms limit 1000",
                    wanted.rate,
                    wanted.delay.as_millis()
                ),
                // One packet at once, and half a second's queue before packets are lost.
                _ => format!("tbf rate {}bit burst 1600 latency 500ms", wanted.rate),
            };
            let mut tc = Command::new("tc");
            tc.args("qdisc add dev line0 root".split(' '))
                .args(discipline.split(' '));
            let output = host.output(tc)?;
            if !output.status.success() {
                bail!("tc: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        Ok(Self { of_box, centre })
    }
}

/// Does `work` on `host`, or here.
fn on<T: Send>(host: Option<&Host>, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    Ok(match host {
        Some(host) => host.run(work)?,
        None => work(),
    })
}

/// The centre, and when each report arrives at it.
fn start_centre(wanted: &SlowLink, ends: Option<&Ends>) -> anyhow::Result<(Centre, Receiver<Instant>)> {
    let address = ends.map_or(Ipv4Addr::LOCALHOST, |_| CENTRE);
    let bind = || TcpListener::bind((address, 0));
    let (arrived, arrivals) = channel();
    let centre = Centre::start(centre::Config {
        socket: on(ends.map(|ends| &ends.centre), bind)??,
        tls: wanted.directory.clone(),
        database: wanted.directory.join("centre.db"),
        // Whoever measured may have given up.
        on_arrival: Box::new(move |_| {
            let _ = arrived.send(Instant::now());
        }),
        on_refusal: Box::new(|_, _| {}),
    })?;
    centre.answer_shortly();
    Ok((centre, arrivals))
}

fn start_forwarder(wanted: &SlowLink, proxy: &Proxy) -> anyhow::Result<Forwarder> {
    let mut config = Config::new(&wanted.directory.join("log"), proxy.url());
    // The line is closed at first; it must not be waited for once it opens.
    config.patience.longest_pause = Duration::from_millis(500);
    config.limits.rate.burst = u32::MAX;
    config.listeners.push(Listener {
        source: "/bench/port1".to_owned(),
        ingest: Ingest::Http,
        triggers: Vec::new(),
        socket: TcpListener::bind("127.0.0.1:0")?,
    });
    Ok(Forwarder::start(config, &Identity::load(&wanted.directory)?)?)
}

/// Posts so many reports; says how many bytes one has.
fn post(forwarder: &Forwarder, count: usize) -> anyhow::Result<f64> {
    let address: SocketAddr = *forwarder.addresses().first().context("nothing listens")?;
    let agent = Agent::new(&Target {
        url: format!("http://{address}"),
        ca: None,
        server_name: None,
    })?;
    let mut instrument = Instrument::new();
    let reports: Vec<Value> = (0..count).map(|_| instrument.report()).collect();
    let bytes: usize = reports.iter().map(|report| report.to_string().len()).sum();
    for batch in reports.chunks(POSTED) {
        let answer = agent.post(&batch.into())?;
        ensure!(answer.status == 202, "{}: {}", answer.status, answer.body);
    }
    Ok(ratio(bytes, count))
}

/// When each of `count` reports arrived.
fn wait_for(arrivals: &Receiver<Instant>, count: usize) -> anyhow::Result<Vec<Instant>> {
    let mut times = Vec::new();
    while times.len() < count {
        match arrivals.recv_timeout(LONG) {
            Ok(time) => times.push(time),
            Err(RecvTimeoutError::Timeout) => bail!("{} of {count} reports arrived", times.len()),
            Err(RecvTimeoutError::Disconnected) => bail!("the centre has ended"),
        }
    }
    Ok(times)
}

/// The first batch is the start: the handshake, and what was left of the forwarder's pause, came before it.
fn figures(wanted: &SlowLink, size: f64, times: &[Instant], bytes: u64) -> anyhow::Result<Vec<Figure>> {
    let (first, last) = (
        times.first().context("no reports")?,
        times.last().context("no reports")?,
    );
    // Those of a batch arrive within a moment.
    let batch = times
        .iter()
        .take_while(|time| time.duration_since(*first) < Duration::from_millis(50))
        .count();
    let rest = times.len().saturating_sub(batch);
    ensure!(rest > 0, "all reports fit one batch: more are needed");
    let line = format!(
        "{} kbit/s, {} ms round trip ({})",
        wanted.rate / 1000,
        2 * wanted.delay.as_millis(),
        wanted.path.words()
    );
    let speed = ratio(rest, 1) / last.duration_since(*first).as_secs_f64();
    let on_line = ratio(usize::try_from(bytes)?, times.len());
    Ok(vec![
        Figure::text("slow line", line, ""),
        Figure::number("a report as posted", size, "bytes"),
        Figure::number("a report on the line, TLS and all", on_line, "bytes"),
        Figure::number("reports over the slow line", speed, "reports/s").at_least(230.0),
    ])
}

fn ratio(value: usize, by: usize) -> f64 {
    let float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    float(value) / float(by.max(1))
}

/// An analyser that says every ten seconds how it is: about 1 KiB of JSON, of which the readings wander, counters grow
/// and little else changes.
struct Instrument {
    dice: Dice,
    count: u32,
    readings: [i32; 16],
}

impl Instrument {
    fn new() -> Self {
        Self {
            dice: Dice::new(1),
            count: 0,
            readings: std::array::from_fn(|k| 2000 + 137 * i32::try_from(k).unwrap_or(0)),
        }
    }

    fn report(&mut self) -> Value {
        const NAMES: [&str; 16] = [
            "sample-arm",
            "reagent-arm",
            "incubator-1",
            "incubator-2",
            "cuvette-wheel",
            "lamp",
            "detector",
            "coolant-in",
            "coolant-out",
            "reagent-1",
            "reagent-2",
            "wash",
            "pump-1",
            "pump-2",
            "vacuum",
            "cabinet",
        ];
        self.count += 1;
        for reading in &mut self.readings {
            // Half of them stay: sensors are slow and their last digit is not.
            if self.dice.once_in(2) {
                *reading += self.dice.pick(&[-2, -1, 1, 2]);
            }
        }
        let readings: serde_json::Map<String, Value> = NAMES
            .iter()
            .zip(self.readings)
            .map(|(name, value)| {
                let value = json!({ "value": f64::from(value) / 100.0, "unit": "C", "status": "ok" });
                ((*name).to_owned(), value)
            })
            .collect();
        let (minutes, seconds) = (self.count / 6, self.count % 6 * 10);
        json!({
            "specversion": "1.0",
            "id": format!("A4711-{:08}", self.count),
            "type": "instrument.status",
            "time": format!("2026-11-24T{:02}:{:02}:{seconds:02}Z", minutes / 60 % 24, minutes % 60),
            "datacontenttype": "application/json",
            "data": {
                "serial": "A4711", "state": "running", "tests-done": 81_000 + self.count / 3,
                "waste-percent": 12 + self.count / 900 % 80, "readings": readings,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_about_a_kibibyte_and_none_is_like_another() {
        let mut instrument = Instrument::new();
        let (first, second) = (instrument.report().to_string(), instrument.report().to_string());
        assert!((980..1100).contains(&first.len()), "{}", first.len());
        assert_ne!(first, second);
    }
}
