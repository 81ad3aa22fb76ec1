//! A box, its way out and its service centre, in one process.
//!
//! ```text
//! instruments ── forwarder ── front ──┬──────────────────────┬── centre
//!                           (proxy)   └── nginx ── behind ───┘
//! ```

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rap_core::forward::uplink::Patience;
use rap_core::forward::{Config, Forwarder, Listener};
use rap_core::identity::Identity;
use rap_core::site::Ingest;
use rap_tests::centre::{self, Centre};
use rap_tests::fault::Proxy;
use rap_tests::keys::Family;
use rap_tests::nginx::{self, Limits, Nginx, Setup};

use super::ledger::{self, Ledger, Posted};
use super::posters::Instrument;

/// For everything that takes long only when it fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// What the forwarder gives each step; a fault that is silence lasts as long.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// Bytes of a segment of the log.
pub(crate) const SEGMENT: u64 = 64 * 1024;

/// Everything; dropped from the box's side.
pub(crate) struct Rig {
    forwarder: Option<Forwarder>,
    pub(crate) front: Proxy,
    pub(crate) nginx: Option<Nginx>,
    /// Between nginx and the centre.
    pub(crate) behind: Option<Proxy>,
    centre: Option<Centre>,
    pub(crate) ledger: Ledger,
    pub(crate) family: Family,
    pub(crate) directory: tempfile::TempDir,
}

impl Rig {
    /// The centre right behind the front.
    pub(crate) fn direct() -> Self {
        Self::new(None)
    }

    /// With nginx before the centre; `None` when this machine has none.
    pub(crate) fn with_nginx(setup: Setup) -> Option<Self> {
        if let Some(lacks) = nginx::lacks() {
            skip(&lacks);
            return None;
        }
        Some(Self::new(Some(setup)))
    }

    fn new(setup: Option<Setup>) -> Self {
        let directory = tempfile::Builder::new().prefix("rap-faults-").tempdir().unwrap();
        let family = Family::new().unwrap();
        family.write(directory.path()).unwrap();
        let ledger = Ledger::default();
        let centre = start_centre(
            directory.path(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
            &ledger,
        );
        let behind = setup.map(|_| Proxy::start(centre.address()).unwrap());
        let nginx = setup
            .zip(behind.as_ref())
            .map(|(setup, behind)| Nginx::start(setup, behind.address(), directory.path()).unwrap());
        let target = nginx.as_ref().map_or(centre.address(), |nginx| nginx.address());
        Self {
            forwarder: None,
            front: Proxy::start(target).unwrap(),
            nginx,
            behind,
            centre: Some(centre),
            ledger,
            family,
            directory,
        }
    }

    /// As it is, with a forwarder that has room for 16 segments.
    pub(crate) fn started(mut self) -> Self {
        self.start(16);
        self
    }

    /// Starts the forwarder, in the place of the one that ran, with room for so many segments.
    pub(crate) fn start(&mut self, segments: u64) {
        self.forwarder = None;
        let config = config(self.path(), self.front.url(), segments);
        let identity = Identity::load(self.path()).unwrap();
        self.forwarder = Some(Forwarder::start(config, &identity).unwrap());
    }

    /// Starts the centre anew, with the keys that are there now, in the place of the one that ran.
    pub(crate) fn restart_centre(&mut self) {
        let address = self.centre().address();
        self.centre = None;
        let mut socket = None;
        // Its threads end by themselves.
        wait_until("the centre's address is free", || {
            socket = TcpListener::bind(address).ok();
            socket.is_some()
        });
        self.centre = Some(start_centre(self.directory.path(), socket.unwrap(), &self.ledger));
    }

    /// Starts nginx anew with the keys that are there now.
    pub(crate) fn restart_nginx(&mut self, setup: Setup) {
        let nginx = self.nginx.as_mut().unwrap();
        nginx.restart(setup, self.directory.path()).unwrap();
    }

    /// The instrument on a port, from 1.
    pub(crate) fn instrument(&self, port: u64) -> Instrument {
        let index = usize::try_from(port - 1).unwrap();
        Instrument::new(port, self.forwarder().addresses()[index], 1)
    }

    pub(crate) fn forwarder(&self) -> &Forwarder {
        self.forwarder.as_ref().unwrap()
    }

    pub(crate) fn centre(&self) -> &Centre {
        self.centre.as_ref().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn waiting(&self) -> u64 {
        let status = self.forwarder().status();
        status.routine.waiting + status.alert.waiting
    }

    /// What keeps delivery from working, as the box says it.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.forwarder().status().trouble
    }

    /// Waits until the box says one of these, or words that have one of these in them.
    pub(crate) fn expect_trouble(&self, words: &[&str]) {
        let mut said = std::collections::BTreeSet::new();
        let begun = Instant::now();
        loop {
            let trouble = self.trouble().unwrap_or_default();
            if words.iter().any(|words| trouble.contains(words)) {
                return;
            }
            said.insert(trouble);
            assert!(
                begun.elapsed() < LONG,
                "the box says none of {words:?}, only {said:?}"
            );
            assert!(self.forwarder().is_running(), "the forwarder has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nothing is left to deliver, and holds what arrived against what was acknowledged.
    pub(crate) fn expect_delivered(&self, posted: &[Posted]) {
        wait_until("the log is empty", || {
            assert!(self.forwarder().is_running(), "the forwarder has ended");
            self.waiting() == 0
        });
        ledger::check(&self.centre().store().unwrap(), posted);
    }
}

fn start_centre(keys: &Path, socket: TcpListener, ledger: &Ledger) -> Centre {
    let ledger = ledger.clone();
    Centre::start(centre::Config {
        socket,
        tls: keys.to_owned(),
        database: keys.join("centre.db"),
        on_arrival: Box::new(move |arrival| ledger.note(arrival)),
        on_refusal: Box::new(|_, _| {}),
    })
    .unwrap()
}

/// A box that delivers to `centre`, with two ports.
pub(crate) fn config(directory: &Path, centre: String, segments: u64) -> Config {
    let mut config = Config::new(&directory.join("log"), centre);
    config.log.segment = SEGMENT;
    config.log.total = segments * SEGMENT;
    config.limits.rate.burst = u32::MAX;
    config.patience = Patience {
        step: STEP,
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
    };
    for port in 1..=2 {
        config.listeners.push(Listener {
            source: format!("/lab/port{port}"),
            ingest: Ingest::Http,
            triggers: Vec::new(),
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
        });
    }
    config
}

/// nginx that ends TLS, with the usual limits.
pub(crate) fn http() -> Setup {
    Setup::Http(Limits {
        patience: Duration::from_millis(500),
        ..Limits::default()
    })
}

/// Says that a test is skipped; with `CI` in the environment nothing may be.
pub(crate) fn skip(needed: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test needs {needed}");
    eprintln!("skipped: needs {needed}");
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
