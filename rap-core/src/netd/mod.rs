//! `rap netd`: the network of the box as its site describes it, kept that way.
//!
//! It applies the site through netfw, opens the ingest socket inside each port's namespace and gives it to init to
//! keep, answers DHCP on the ports that want it, runs the DHCP client of the uplink, and looks again whenever a link
//! changes. A port that cannot be had is a line in the status; the others work.
//!
//! Invariant: what is right already is not touched, so restarting netd interrupts no connection.

mod dhcp;
mod dhcp_server;
mod lease;
mod listen;
mod network;
mod report;
mod resolve;
mod uplink;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use netfw::Machine;
use netfw::model::Network;

use crate::notify::Notifier;
use crate::site::Site;
use crate::{paths, status};

#[doc(hidden)]
pub use dhcp::answer as dhcp_answer;
pub use lease::dhcp_hook;
pub use uplink::DHCP_HOOK;

/// How often netd says that it is alive and looks at the lease.
const TICK: Duration = Duration::from_secs(1);
/// How long changes are gathered before they are looked at: a cable that is plugged in bounces.
const GATHER: Duration = Duration::from_millis(200);
/// How often everything is looked at though nothing was heard.
const REVIEW: Duration = Duration::from_secs(60);

/// Where on a machine netd does its work; tests use a machine of namespaces.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root namespace and the ports' prefix.
    pub machine: Machine,
    /// Directory of the status files.
    pub status: PathBuf,
    /// Directory for the lease, the resolver's configuration and the DHCP client's files.
    pub runtime: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            machine: Machine::default(),
            status: paths::STATUS.into(),
            runtime: lease::RUNTIME.into(),
        }
    }
}

/// The service `rap netd`. Returns only with an error; without a usable site it stays and says so.
///
/// # Errors
/// When the root namespace cannot be closed.
pub fn run() -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let configured = || -> anyhow::Result<_> {
        let site = Site::load(Path::new(paths::SITE))?;
        let network = network::of(&site)?;
        Ok((site, network))
    };
    match configured() {
        Ok((site, network)) => keep(&site, network, &Place::default(), &notifier),
        Err(error) => status::stay("netd", &notifier, &error),
    }
}

/// Applies `site` at `place` and keeps it so. Returns only with an error.
///
/// # Errors
/// When the site is wrong as a network, or the root namespace cannot be closed.
pub fn serve(site: &Site, place: &Place, notifier: &Notifier) -> anyhow::Result<()> {
    keep(site, network::of(site)?, place, notifier)
}

fn keep(site: &Site, network: Network, place: &Place, notifier: &Notifier) -> anyhow::Result<()> {
    std::fs::create_dir_all(&place.runtime)
        .with_context(|| format!("cannot make {}", place.runtime.display()))?;
    lease::write_resolver(&place.runtime, &network.uplink.dns)?;

    let (sender, changes) = sync_channel(1);
    let mut daemon = Daemon {
        site,
        place,
        notifier,
        network,
        opened: HashSet::new(),
        lease: None,
        last: report::Status::default(),
    };
    daemon.apply()?;
    daemon.start_helpers(&sender)?;
    notifier.ready();
    log::info!("applied {}", daemon.last.summary());
    daemon.keep(&changes)
}

struct Daemon<'a> {
    site: &'a Site,
    place: &'a Place,
    notifier: &'a Notifier,
    network: Network,
    /// Ports whose socket init has.
    opened: HashSet<String>,
    lease: Option<lease::Lease>,
    last: report::Status,
}

impl Daemon<'_> {
    fn keep(&mut self, changes: &Receiver<()>) -> anyhow::Result<()> {
        let mut reviewed = Instant::now();
        loop {
            let changed = match changes.recv_timeout(TICK) {
                Ok(()) => {
                    std::thread::sleep(GATHER);
                    while changes.try_recv().is_ok() {}
                    true
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("nobody watches the links any more"),
            };
            self.notifier.alive();
            let leased = self.read_lease();
            if changed || leased || reviewed.elapsed() >= REVIEW {
                reviewed = Instant::now();
                self.apply()?;
            }
        }
    }

    /// Brings the kernel, the sockets and the status to what they should be.
    fn apply(&mut self) -> anyhow::Result<()> {
        let report = netfw::apply_on(&self.place.machine, &self.network).context("the box stays closed")?;
        for change in &report.changes {
            log::info!("{change}");
        }
        let mut problems = self.open_sockets();
        problems.extend(self.allow_name_servers());
        let status = report::Status::new(&report, self.lease.as_ref(), problems);
        if status != self.last {
            for news in status.news_since(&self.last) {
                log::info!("{news}");
            }
            if let Err(error) = status::write(&self.place.status, "netd", &status) {
                log::warn!("cannot write the status: {error}");
            }
            self.notifier.status(&status.summary());
            self.last = status;
        }
        Ok(())
    }

    /// Opens the ingest socket of every port that has none yet, card or no card, and gives it to init.
    fn open_sockets(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for port in &self.site.ports {
            let name = port.name.as_str();
            if self.opened.contains(name) {
                continue;
            }
            match listen::open(&self.place.machine.port(name), port) {
                Ok(listen::Socket::New(socket)) => {
                    use std::os::fd::AsFd as _;
                    self.notifier.store(&format!("ingest@{name}"), socket.as_fd());
                    self.opened.insert(name.to_owned());
                }
                Ok(listen::Socket::Kept) => {
                    self.opened.insert(name.to_owned());
                }
                Err(error) => problems.push(format!("{name}: no ingest: {error:#}")),
            }
        }
        problems
    }

    /// A table that was loaded anew has lost the lease's name servers; adding what is there renews it.
    fn allow_name_servers(&self) -> Option<String> {
        let lease = self.lease.as_ref()?;
        let elements = lease.name_server_elements(&self.network);
        let filled = netfw::fill(&self.place.machine, &self.network, netfw::ruleset::DNS, &elements);
        filled
            .err()
            .map(|error| format!("name servers of the lease not allowed: {error}"))
    }

    /// Takes in what the DHCP client's hook wrote; says whether it is news.
    fn read_lease(&mut self) -> bool {
        let lease = lease::Lease::read(&self.place.runtime);
        if lease == self.lease {
            return false;
        }
        if let Some(lease) = &lease
            && self.network.uplink.dns.is_empty()
            && let Err(error) = lease::write_resolver(&self.place.runtime, &lease.dns)
        {
            log::warn!("{error:#}");
        }
        self.lease = lease;
        true
    }

    /// Everything that goes on beside the loop, each on threads of its own.
    fn start_helpers(&self, changed: &SyncSender<()>) -> anyhow::Result<()> {
        let ports = self.site.ports.iter().map(|port| port.name.as_str());
        let ports = ports.map(|name| self.place.machine.port(name));
        for namespace in ports.chain([self.place.machine.root.clone()]) {
            let changed = changed.clone();
            // One waiting message is enough: it makes netd look at everything.
            let tell = move || !matches!(changed.try_send(()), Err(TrySendError::Disconnected(())));
            netfw::watch(namespace, tell)?;
        }
        for port in self.site.ports.iter().filter(|port| port.dhcp) {
            dhcp_server::start(self.place.machine.port(port.name.as_str()), port)?;
        }
        resolve::start(&self.place.machine, &self.network)?;
        uplink::start(self.place, &self.network)
    }
}
