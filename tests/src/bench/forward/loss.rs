//! What a power cut takes: reports that were acknowledged, the power of the disk cut in the middle, everything killed,
//! the disk mounted again, the program started again, and what it still has counted.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rap_core::site::Ingest;

use super::ground::{FLUSH, Ground, copy};
use super::load::{self, Outcome, Plan};
use super::ours::{Limits, Workshop, drain};
use super::peer::{NOWHERE, Peers};
use super::syslog_ng::SyslogNg;
use super::wire::{Http, Relp, Wire};
use super::{report, rsyslog};
use crate::volatile::Survivors;

/// How long it is under load before the cut.
const BEFORE: Duration = Duration::from_secs(2);
/// Posters, or connections.
const POSTERS: usize = 64;
/// Reports given to syslog-ng, which acknowledges none.
const GIVEN: usize = 20_000;
/// Without a byte for so long a peer has delivered what it has.
const QUIET: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(60);

/// What a cut left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) acknowledged: usize,
    /// Of those, how many were not there any more.
    pub(super) lost: usize,
}

impl Loss {
    fn of(acknowledged: &[u64], found: &BTreeSet<u64>) -> Self {
        Self {
            acknowledged: acknowledged.len(),
            lost: acknowledged.iter().filter(|k| !found.contains(k)).count(),
        }
    }
}

/// Ours: what its log would go on to deliver.
pub(super) fn ours(
    workshop: &Workshop,
    ground: &mut Ground,
    log: &Path,
    scratch: &Path,
) -> anyhow::Result<Loss> {
    let forwarder = workshop.start(log, Ingest::Http, Limits::Raised)?;
    let address = forwarder.address;
    let outcome = cut_under_load(ground, address, Http::new, || drop(forwarder))?;
    let rescued = scratch.join("rescued");
    copy(log, &rescued)?;
    let found = drain(&rescued)?
        .iter()
        .flat_map(|id| report::numbers(id.as_bytes()))
        .collect();
    Ok(Loss::of(&outcome.acknowledged, &found))
}

/// rsyslog: what it delivers when it is started again.
pub(super) fn of_rsyslog(peers: &Peers, ground: &mut Ground, output: &Path) -> anyhow::Result<Loss> {
    let queue = ground.fresh("rsyslog")?;
    let peer = rsyslog::start(peers, &queue, NOWHERE, output)?;
    let address = peer.address;
    let outcome = cut_under_load(ground, address, Relp::new, || drop(peer))?;
    let collector = Collector::start()?;
    let _peer = rsyslog::start(peers, &queue, collector.address, output)?;
    Ok(Loss::of(&outcome.acknowledged, &collector.all()))
}

/// syslog-ng: what it delivers of what it had taken. It acknowledges nothing; what counts is what its disk buffer says
/// that it has.
pub(super) fn of_syslog_ng(peers: &Peers, ground: &mut Ground, output: &Path) -> anyhow::Result<Loss> {
    let buffer = ground.fresh("syslog-ng")?;
    let peer = SyslogNg::start(peers, &buffer, NOWHERE, output)?;
    peer.feed(GIVEN, 1)?;
    cut(ground)?;
    drop(peer);
    restore(ground)?;
    let collector = Collector::start()?;
    let _peer = SyslogNg::start(peers, &buffer, collector.address, output)?;
    let given: Vec<u64> = (1..).take(GIVEN).collect();
    Ok(Loss::of(&given, &collector.all()))
}

/// Posts to `address` until the power is cut and `kill` has ended what listens there; the disk is mounted again after.
fn cut_under_load<W: Wire>(
    ground: &mut Ground,
    address: SocketAddr,
    wire: impl Fn() -> W + Send,
    kill: impl FnOnce(),
) -> anyhow::Result<Outcome> {
    let plan = Plan {
        address,
        tls: None,
        posters: POSTERS,
        window: 1,
        warm_up: Duration::ZERO,
        length: LONGEST,
    };
    let outcome = std::thread::scope(|scope| {
        let posting = scope.spawn(|| load::run(&plan, wire));
        std::thread::sleep(BEFORE);
        let cut = cut(ground);
        kill();
        let outcome = posting.join().map_err(|_| anyhow::anyhow!("the load panicked"))?;
        cut.and(outcome)
    })?;
    restore(ground)?;
    Ok(outcome)
}

fn cut(ground: &mut Ground) -> anyhow::Result<()> {
    let disk = ground.disk.as_mut().context("a disk whose power can be cut")?;
    disk.cut(Survivors::None)
}

fn restore(ground: &mut Ground) -> anyhow::Result<()> {
    let disk = ground.disk.as_mut().context("a disk whose power can be cut")?;
    disk.restore()?;
    disk.flush_takes(FLUSH);
    Ok(())
}

/// Takes whatever is sent to it.
#[derive(Debug)]
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<(Vec<u8>, Instant)>>,
}

impl Collector {
    fn start() -> anyhow::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let taken = Arc::new(Mutex::new((Vec::new(), Instant::now())));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            // One sender; it may connect again.
            while let Ok((mut stream, _)) = socket.accept() {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let mut taken = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.0.extend_from_slice(&buffer[..count]);
                    taken.1 = Instant::now();
                }
            }
        });
        Ok(Self { address, taken })
    }

    /// The numbers of the reports that came, once no more come.
    fn all(&self) -> BTreeSet<u64> {
        let begun = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.1.elapsed() > QUIET || begun.elapsed() > LONGEST {
                return report::numbers(&taken.0).into_iter().collect();
            }
        }
    }
}
