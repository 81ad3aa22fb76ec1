//! `bench forward`: how many reports a second the forwarder makes durable, how long an acknowledgement takes, what it
//! costs in bytes, memory and processor time, and what a power cut takes; beside the disk itself, and beside rsyslog
//! and syslog-ng set to keep what they are given.
//!
//! The forwarder is the release build that ships, in a process of its own; only its limits on a port's reports and
//! connections are raised, by its command line, and one figure is taken with those it ships with. The load is one
//! thread of this process. Everything on one disk in one run, on another whose flush takes 3 ms after that: here
//! processors bind, there the disk does. Two slower ones show from where on the disk alone is what binds. Of several
//! rounds the middle one counts.

mod case;
mod device;
mod ground;
mod load;
mod loss;
mod ours;
mod peer;
mod pipe;
mod raw;
mod report;
mod rsyslog;
mod syslog_ng;
mod table;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rap_core::site::Ingest;

use self::case::{Case, Meter, Row, median};
use self::ground::{FLUSH, Ground, SLOWER};
use self::load::Plan;
use self::loss::Loss;
use self::ours::{Limits, Workshop};
use self::peer::{NOWHERE, Peers};
use self::raw::Raw;
use self::syslog_ng::SyslogNg;
pub use self::table::Findings;
use self::wire::{Http, Relp};
use super::Figure;
use crate::fault::{Fault, Link, Path as Line, Proxy, SlowLink, slow_link};

/// Groups the raw limit is measured with, and posters the forwarder is.
const POSTERS: [usize; 4] = [1, 8, 64, 256];
const GROUPS: [usize; 3] = [1, 64, 256];
/// Connections of the load on rsyslog.
const RELP: usize = 64;
/// Reports given to syslog-ng at once.
const GIVEN: usize = 20_000;
/// Bits a second of the slow link.
const LINK: u64 = 128_000;
/// Reports over it.
const OVER_LINK: usize = 6000;
/// What a run's directory is called, before what makes it one of its own.
const RUN: &str = "run-";
/// Goals of the project.
const OF_RAW: f64 = 0.8;
const OF_RSYSLOG: f64 = 50.0;
const MEMORY: f64 = 24.0;
/// The log's folder on a disk of ours.
const LOG: &str = "log";

/// What is measured with what.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The release build of `rap-tls`.
    pub forwarder: PathBuf,
    /// The tree with the peers' programs; without it they are left out.
    pub peers: PathBuf,
    /// A directory on the disk that is measured; made if missing, and left empty.
    pub directory: PathBuf,
    /// How long one round of a case counts.
    pub length: Duration,
    /// Rounds of each case.
    pub rounds: usize,
}

/// Measures everything; takes some minutes.
///
/// # Errors
/// When something does not start, or refuses what it should take.
pub fn measure(setup: &Setup) -> anyhow::Result<Findings> {
    std::fs::create_dir_all(&setup.directory).with_context(|| setup.directory.display().to_string())?;
    sweep(&setup.directory)?;
    let place = tempfile::Builder::new()
        .prefix(RUN)
        .tempdir_in(&setup.directory)?;
    let bench = Bench {
        setup,
        workshop: Workshop::new(&setup.forwarder, place.path())?,
        peers: Peers::at(&setup.peers),
        place: place.path(),
    };
    let mut findings = Findings::default();
    if bench.peers.is_none() {
        findings.add(Figure::text("rsyslog, syslog-ng", "left out: not unpacked", ""));
    }
    let log = bench.place.join("log");
    ours::age(&log)?;
    bench.on_this_disk(&log, &mut findings)?;
    bench.on_slow_disk(&log, &mut findings)?;
    bench.on_slower_disks(&log, &mut findings)?;
    bench.over_slow_link(&mut findings)?;
    Ok(findings)
}

/// Takes away what a run left that was killed.
fn sweep(directory: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(RUN) {
            std::fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// A disk whose flush takes that long, with a copy of `log` on it; `None` where there can be none, which is said.
fn slow(flush: Duration, log: &Path, findings: &mut Findings) -> anyhow::Result<Option<(Ground, PathBuf)>> {
    let name = format!("a disk whose flush takes {} ms", flush.as_millis());
    if let Some(lacks) = crate::volatile::lacks() {
        findings.add(Figure::text(name, format!("left out: needs {lacks}"), ""));
        return Ok(None);
    }
    let ground = Ground::slow(flush)?;
    findings.begin(&name);
    let there = ground.copy(log, LOG)?;
    Ok(Some((ground, there)))
}

/// Puts the empty `log` back onto a disk of ours. It cannot be drained there: who serves a disk must not use it.
fn anew(ground: &Ground, log: &Path) -> anyhow::Result<()> {
    ground.copy(log, LOG).map(drop)
}

/// What is the same for all of a run.
struct Bench<'a> {
    setup: &'a Setup,
    workshop: Workshop,
    peers: Option<Peers>,
    place: &'a Path,
}

/// Rates of everything that is compared, on one disk.
struct Rates {
    raw: Vec<(usize, f64)>,
    peers: Vec<(&'static str, PeerRow)>,
}

/// What a peer came to.
#[derive(Debug, Clone, Copy)]
struct PeerRow {
    /// Reports a second.
    rate: f64,
    /// Bytes the disk was given for each byte of a report.
    device: f64,
    /// The most memory it held, in MiB.
    memory: f64,
}

const RSYSLOG: &str = "rsyslog, synced disk queue, RELP acknowledged";
const SYSLOG_NG: &str = "syslog-ng, reliable disk buffer, nothing acknowledged";

impl Bench<'_> {
    /// This machine's own disk: all cases, and what is left to be told once.
    fn on_this_disk(&self, log: &Path, findings: &mut Findings) -> anyhow::Result<()> {
        let ground = Ground::here(self.place)?;
        findings.begin("this machine's disk");
        let rates = self.rates(&ground)?;
        let mut cases = Vec::new();
        for ingest in [Ingest::Http, Ingest::Tls] {
            cases.extend(POSTERS.map(|posters| Case { ingest, posters }));
        }
        let rows = self.cases(&cases, &ground, log, |log| ours::drain(log).map(drop))?;
        let most = rows.iter().map(|(_, row)| row.memory).fold(0.0, f64::max);
        findings.compare(&rows, &rates);
        findings.add(Figure::number("most memory of the forwarder", most, "MiB").at_most(MEMORY));
        let young = self.place.join("young");
        let case = Case {
            ingest: Ingest::Http,
            posters: 64,
        };
        let row = case.run(&self.workshop, &ground, &young, self.setup.length)?;
        findings.add(Figure::number(
            "HTTP, 64 posters, a log that still grows",
            row.rate,
            "reports/s",
        ));
        findings.add(Figure::number(
            "device bytes for a byte, a log that still grows",
            row.device,
            "B/B",
        ));
        findings.add(self.as_shipped(log)?);
        Ok(())
    }

    /// The slow disk: what depends on the disk, and the power cuts.
    fn on_slow_disk(&self, log: &Path, findings: &mut Findings) -> anyhow::Result<()> {
        let Some((mut ground, there)) = slow(FLUSH, log, findings)? else {
            return Ok(());
        };
        let rates = self.rates(&ground)?;
        let cases = POSTERS.map(|posters| Case {
            ingest: Ingest::Http,
            posters,
        });
        let rows = self.cases(&cases, &ground, &there, |_| anew(&ground, log))?;
        findings.compare(&rows, &rates);

        let mut lose = |name: &str, loss: Loss| findings.lost(name, loss);
        lose(
            "ours",
            loss::ours(&self.workshop, &mut ground, &there, self.place)?,
        );
        if let Some(peers) = &self.peers {
            let output = self.place.join("peer.output");
            lose("rsyslog", loss::of_rsyslog(peers, &mut ground, &output)?);
            lose("syslog-ng", loss::of_syslog_ng(peers, &mut ground, &output)?);
        }
        Ok(())
    }

    /// Disks that wait longer: how much of the raw limit is left to many posters there.
    fn on_slower_disks(&self, log: &Path, findings: &mut Findings) -> anyhow::Result<()> {
        for flush in SLOWER {
            let Some((ground, there)) = slow(flush, log, findings)? else {
                return Ok(());
            };
            let rates = Rates {
                raw: self.raw(&ground, &[64, 256])?,
                peers: Vec::new(),
            };
            let cases = [64, 256].map(|posters| Case {
                ingest: Ingest::Http,
                posters,
            });
            let rows = self.cases(&cases, &ground, &there, |_| anew(&ground, log))?;
            findings.compare(&rows, &rates);
        }
        Ok(())
    }

    /// What this disk can do in groups of so many.
    fn raw(&self, ground: &Ground, groups: &[usize]) -> anyhow::Result<Vec<(usize, f64)>> {
        let raw = Raw::new(&ground.directory)?;
        let rate = |group: &usize| {
            let mut rounds = self.rounds(|| raw.rate(*group, self.setup.length / 2))?;
            rounds.sort_by(f64::total_cmp);
            let middle = rounds.get(rounds.len() / 2).copied();
            Ok((*group, middle.context("at least one round")?))
        };
        groups.iter().map(rate).collect()
    }

    /// What this disk can do, and what the peers make of it.
    fn rates(&self, ground: &Ground) -> anyhow::Result<Rates> {
        let mut rates = Rates {
            raw: self.raw(ground, &GROUPS)?,
            peers: Vec::new(),
        };
        if let Some(peers) = &self.peers {
            for name in [RSYSLOG, SYSLOG_NG] {
                let mut rounds = self.rounds(|| match name {
                    RSYSLOG => self.rsyslog(peers, ground),
                    _ => self.syslog_ng(peers, ground),
                })?;
                rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
                let middle = rounds.get(rounds.len() / 2).copied();
                rates.peers.push((name, middle.context("at least one round")?));
            }
        }
        Ok(rates)
    }

    fn rsyslog(&self, peers: &Peers, ground: &Ground) -> anyhow::Result<PeerRow> {
        let queue = ground.fresh("rsyslog")?;
        let peer = rsyslog::start(peers, &queue, NOWHERE, &self.place.join("peer.output"))?;
        let meter = Meter::start(ground)?;
        let plan = Plan {
            address: peer.address,
            tls: None,
            posters: RELP,
            window: 1,
            warm_up: Duration::from_millis(300),
            length: self.setup.length,
        };
        let outcome = load::run(&plan, Relp::new)?;
        Ok(PeerRow {
            rate: outcome.rate(),
            device: meter.bytes_for_a_byte(outcome.acknowledged.len())?,
            memory: peer.most_memory()?,
        })
    }

    fn syslog_ng(&self, peers: &Peers, ground: &Ground) -> anyhow::Result<PeerRow> {
        let buffer = ground.fresh("syslog-ng")?;
        let peer = SyslogNg::start(peers, &buffer, NOWHERE, &self.place.join("peer.output"))?;
        let meter = Meter::start(ground)?;
        Ok(PeerRow {
            rate: peer.feed(GIVEN, 1)?,
            device: meter.bytes_for_a_byte(GIVEN)?,
            memory: peer.most_memory()?,
        })
    }

    /// All cases in turn, round after round, so that what disturbs one round disturbs all cases.
    fn cases(
        &self,
        cases: &[Case],
        ground: &Ground,
        log: &Path,
        between: impl Fn(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<(Case, Row)>> {
        let mut rows = vec![Vec::new(); cases.len()];
        for _ in 0..self.setup.rounds {
            for (case, rows) in cases.iter().zip(&mut rows) {
                rows.push(case.run(&self.workshop, ground, log, self.setup.length)?);
                between(log)?;
            }
        }
        let middle = cases
            .iter()
            .zip(rows)
            .filter_map(|(case, rows)| Some((*case, median(rows)?)));
        Ok(middle.collect())
    }

    /// With the limits that a port has on the box, once the burst it may bring is used up.
    fn as_shipped(&self, log: &Path) -> anyhow::Result<Figure> {
        let forwarder = self.workshop.start(log, Ingest::Http, Limits::Product)?;
        let plan = Plan {
            address: forwarder.address,
            tls: None,
            posters: 32,
            window: 1,
            warm_up: Duration::from_secs(3),
            length: Duration::from_secs(5),
        };
        let rate = load::run(&plan, Http::new)?.rate();
        Ok(Figure::number(
            "HTTP, 32 posters, limits as shipped, one port",
            rate,
            "reports/s",
        ))
    }

    /// Delivery over a slow line, without delay and with 400 ms there and back; beside posts of one report each.
    fn over_slow_link(&self, findings: &mut Findings) -> anyhow::Result<()> {
        findings.begin("a link of 128 kbit/s");
        let single = self.single_posts()?;
        for (name, delay) in [("link", Duration::ZERO), ("far-link", Duration::from_millis(200))] {
            let directory = self.place.join(name);
            std::fs::create_dir_all(&directory)?;
            let mut figures = slow_link(&SlowLink {
                rate: LINK,
                delay,
                reports: OVER_LINK,
                path: Line::Proxy,
                directory,
            })?;
            let speed = figures.pop().context("a speed")?;
            findings.extend(figures);
            findings.add(speed.beside("a post each, plain, no delay", single));
        }
        Ok(())
    }

    /// One poster over the line without delay.
    fn single_posts(&self) -> anyhow::Result<f64> {
        let forwarder = self
            .workshop
            .start(&self.place.join("young"), Ingest::Http, Limits::Raised)?;
        let line = Proxy::start(forwarder.address)?;
        line.set(Fault::Slow(Link {
            rate: Some(LINK),
            delay: Duration::ZERO,
        }))?;
        let plan = Plan {
            address: line.address(),
            tls: None,
            posters: 1,
            window: 1,
            warm_up: Duration::from_secs(1),
            length: Duration::from_secs(8),
        };
        Ok(load::run(&plan, Http::new)?.rate())
    }

    fn rounds<T>(&self, mut round: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
        (0..self.setup.rounds).map(|_| round()).collect()
    }
}
