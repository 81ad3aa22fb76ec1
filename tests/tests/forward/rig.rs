//! A box and a service centre in one process, and what the log says meanwhile.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rap_core::forward::uplink::{Patience, Progress};
use rap_core::forward::{Config, Forwarder, Listener};
use rap_core::identity::Identity;
use rap_core::site::Ingest;
use rap_tests::centre::Centre;
use rap_tests::instrument::{Agent, Plan, Target};
use rap_tests::keys::{self, Family};

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A box and a service centre with keys of one family.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) family: Family,
    pub(crate) centre: Centre,
    pub(crate) forwarder: Option<Forwarder>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_keys(|_, _| {})
    }

    /// With some of the family's keys issued anew into the directory, before anything reads them.
    pub(crate) fn with_keys(issue: impl FnOnce(&Family, &Path)) -> Self {
        listen_to_log();
        let directory = tempfile::tempdir().unwrap();
        let family = Family::new().unwrap();
        family.write(directory.path()).unwrap();
        issue(&family, directory.path());
        let centre = Centre::quiet(directory.path(), &directory.path().join("centre.db")).unwrap();
        Self {
            directory,
            family,
            centre,
            forwarder: None,
        }
    }

    pub(crate) fn started() -> Self {
        let mut rig = Self::new();
        rig.start(|_| {});
        rig
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn start(&mut self, adjust: impl FnOnce(&mut Config)) {
        let identity = Identity::load(self.path()).unwrap();
        let mut config = config(self.path(), self.centre.url(), "127.0.0.1:0".parse().unwrap());
        adjust(&mut config);
        self.forwarder = Some(Forwarder::start(config, &identity).unwrap());
    }

    pub(crate) fn address(&self, port: usize) -> SocketAddr {
        self.forwarder.as_ref().unwrap().addresses()[port]
    }

    pub(crate) fn agent(&self) -> Agent {
        agent(self.path(), self.address(0))
    }

    pub(crate) fn post(&self, plan: &Plan) {
        self.agent().run(plan, &self.path().join("acked")).unwrap();
    }

    pub(crate) fn progress(&self) -> Progress {
        self.forwarder.as_ref().unwrap().progress()
    }

    /// Waits until the box says that this keeps it from delivering.
    pub(crate) fn expect_trouble(&self, words: &str) {
        wait_until(words, || {
            let trouble = self.progress().trouble;
            trouble.is_some_and(|trouble| trouble.contains(words))
        });
    }

    pub(crate) fn waiting(&self) -> u64 {
        let status = self.forwarder.as_ref().unwrap().status();
        status.routine.waiting + status.alert.waiting
    }

    /// When the centre last answered over TLS, milliseconds since boot: what confirms a new network.
    pub(crate) fn exchanged(&self) -> Option<u64> {
        self.forwarder.as_ref().unwrap().status().exchanged
    }

    pub(crate) fn delivered(&self, count: usize) -> Vec<String> {
        let events = self.centre.store().unwrap().wait_for(count, LONG).unwrap();
        assert_eq!(
            self.centre.store().unwrap().order_errors().unwrap(),
            Vec::<String>::new()
        );
        events.into_iter().map(|e| e.id).collect()
    }
}

pub(crate) fn config(directory: &Path, centre: String, listen: SocketAddr) -> Config {
    let mut config = Config::new(&directory.join("log"), centre);
    config.log.segment = 64 * 1024;
    config.log.total = 16 * 64 * 1024;
    config.patience = Patience {
        step: Duration::from_secs(5),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
    };
    for (ingest, listen) in [
        (Ingest::Tls, listen),
        (Ingest::Http, "127.0.0.1:0".parse().unwrap()),
    ] {
        config.listeners.push(Listener {
            source: format!("/lab/port{}", config.listeners.len() + 1),
            ingest,
            triggers: Vec::new(),
            socket: TcpListener::bind(listen).unwrap(),
        });
    }
    config
}

pub(crate) fn agent(keys: &Path, address: SocketAddr) -> Agent {
    let target = Target {
        url: format!("https://{address}"),
        ca: Some(keys.join("centre-ca.crt")),
        server_name: Some(keys::INGEST_NAME.to_owned()),
    };
    Agent::new(&target).unwrap()
}

pub(crate) fn plan(source: &str, count: u64) -> Plan {
    Plan {
        source: source.to_owned(),
        count,
        start: 1,
        interval: Duration::ZERO,
        alert_every: None,
        noise: 0,
        deadline: LONG,
    }
}

pub(crate) fn ids(source: &str, count: u64) -> Vec<String> {
    (1..=count).map(|k| format!("{source}-{k}")).collect()
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("rap") {
            LINES
                .get_or_init(Mutex::default)
                .lock()
                .unwrap()
                .push(record.args().to_string());
        }
    }
    fn flush(&self) {}
}

pub(crate) fn listen_to_log() {
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

pub(crate) fn lines_with(text: &str) -> Vec<String> {
    let lines = LINES.get_or_init(Mutex::default).lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}
