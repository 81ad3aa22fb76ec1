//! Relay, forwarder and service centre around a disk that forgets.
//!
//! All of it is in one network namespace: what is bound here meets nothing of this machine or of another test.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_core::forward::log;
use rap_core::notify::{SOCKETS, socket_list};
use rap_core::relay;
use rap_qemu::lab::Host;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::{Running, spawn};
use serde_json::Value;

use super::verdict::Arrived;
use crate::centre::{Centre, Config};
use crate::instrument::{Agent, Target};
use crate::keys;
use crate::system::program;
use crate::volatile::{Survivors, Volatile};

/// The ports' names, in [`World::agent`]'s order: the first speaks TLS, the second plain HTTP.
pub const PORTS: [&str; 2] = ["port1", "port2"];
const SITE: &str = include_str!("site.toml");
const NAME: &str = "cuts";
const CENTRE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9443);
const INGEST: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8443),
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080),
];
/// For what takes long only when it fails.
const LONG: Duration = Duration::from_secs(60);

/// Where a forwarder finds things, as in [`rap_core::forward::Place`].
#[derive(Debug)]
pub struct Places {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the keys.
    pub identity: PathBuf,
    /// Directory of the log, on the disk that forgets.
    pub log: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Bytes of the disk.
    pub disk: u64,
    /// Room for the log.
    pub room: log::Config,
    /// The forwarder's program; it gets the ports' sockets as init hands them down.
    pub forwarder: fn(&Setup, &Places) -> anyhow::Result<Command>,
}

impl Default for Setup {
    /// The box's own program, on a disk of 32 MiB, with a log of 8 MiB whose segments are small enough to be filled and
    /// used again many times in a minute.
    fn default() -> Self {
        Self {
            disk: 32 << 20,
            room: log::Config {
                segment: 64 << 10,
                total: 8 << 20,
            },
            forwarder: product,
        }
    }
}

/// `rap-tls forward`, as on the box but for its places and the room for its log.
fn product(setup: &Setup, places: &Places) -> anyhow::Result<Command> {
    let mut command = Command::new(program("rap-tls")?);
    command.arg("forward").arg("--site").arg(&places.site);
    command.arg("--identity").arg(&places.identity);
    command.arg("--log").arg(&places.log);
    command.arg("--status").arg(&places.status);
    // Half a minute a pause is right for a box, and too long for a life of a second.
    command.args(["--longest-pause", "1"]);
    command.args(["--log-segment", &setup.room.segment.to_string()]);
    command.args(["--log-total", &setup.room.total.to_string()]);
    Ok(command)
}

/// The forwarder and all around it.
#[derive(Debug)]
pub struct World {
    setup: Setup,
    places: Places,
    forwarder: Option<Running>,
    _relay: Running,
    centre: Centre,
    arrivals: Arc<Mutex<Vec<Arrived>>>,
    host: Host,
    disk: Volatile,
    place: tempfile::TempDir,
}

impl World {
    /// Everything but the forwarder runs; the disk is empty and mounted.
    ///
    /// # Errors
    /// When a right or a program is missing.
    pub fn new(setup: Setup) -> anyhow::Result<Self> {
        let disk = Volatile::new(setup.disk)?;
        let place = tempfile::Builder::new().prefix("rap-cuts-").tempdir()?;
        keys::write(place.path())?;
        let site = place.path().join("site.toml");
        std::fs::write(&site, SITE)?;
        let places = Places {
            site,
            identity: place.path().to_owned(),
            log: disk.directory().join("forward"),
            status: place.path().join("status"),
        };
        let host = Host::new("box")?;
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let centre = centre(place.path(), &host, &arrivals)?;
        let relay = start_relay(&places, &host, &place.path().join("relay-output"))?;
        Ok(Self {
            setup,
            places,
            forwarder: None,
            _relay: relay,
            centre,
            arrivals,
            host,
            disk,
            place,
        })
    }

    /// Starts the forwarder, with new sockets, as at a boot. It may not be ready yet.
    ///
    /// # Errors
    /// When its program is missing or a port is taken.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut sockets = Vec::new();
        for address in INGEST {
            let bound = self.host.run(|| TcpListener::bind(address))?;
            sockets.push(OwnedFd::from(bound.with_context(|| address.to_string())?));
        }
        let names = PORTS.map(|port| format!("ingest@{port}"));
        let list = names
            .iter()
            .zip(&sockets)
            .map(|(name, socket)| (name.as_str(), socket.as_raw_fd()));
        let mut command = (self.setup.forwarder)(&self.setup, &self.places)?;
        command.env(SOCKETS, socket_list(list));
        into_file(&mut command, &self.place.path().join("output"))?;
        let child = spawn(command, Some(self.host.namespace()), sockets)?;
        self.forwarder = Some(Running(child));
        Ok(())
    }

    /// Whether the forwarder runs.
    pub fn runs(&mut self) -> bool {
        self.forwarder
            .as_mut()
            .is_some_and(|forwarder| matches!(forwarder.0.try_wait(), Ok(None)))
    }

    /// The power goes: the disk forgets, the forwarder is dead.
    ///
    /// # Errors
    /// When the survivors cannot be written.
    pub fn power_cut(&mut self, survivors: Survivors) -> anyhow::Result<()> {
        self.disk.cut(survivors)?;
        self.forwarder = None;
        Ok(())
    }

    /// The power is back: the file system is mounted from what is on the platters. The forwarder does not run yet.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn restore(&mut self) -> anyhow::Result<()> {
        self.disk.restore()
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Volatile {
        &self.disk
    }

    /// The service centre.
    #[must_use]
    pub fn centre(&self) -> &Centre {
        &self.centre
    }

    /// Where agents run.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// An agent at port `port`, from 0; to be used on [`Self::host`] only.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub fn agent(&self, port: usize) -> anyhow::Result<Agent> {
        let address = INGEST[port];
        Agent::new(&match port {
            0 => Target {
                url: format!("https://{address}"),
                ca: Some(self.places.identity.join("centre-ca.crt")),
                server_name: Some(keys::INGEST_NAME.to_owned()),
            },
            _ => Target {
                url: format!("http://{address}"),
                ca: None,
                server_name: None,
            },
        })
    }

    /// The `source` of reports that come in at port `port`, from 0.
    #[must_use]
    pub fn source(port: usize) -> String {
        format!("/{NAME}/{}", PORTS[port])
    }

    /// What arrived at the centre so far.
    pub fn arrivals(&self) -> MutexGuard<'_, Vec<Arrived>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reports that wait in the log by the forwarder's own account, if it gave one since `since`.
    #[must_use]
    pub fn waiting(&self, since: std::time::SystemTime) -> Option<u64> {
        let path = self.places.status.join("forward.json");
        let written = std::fs::metadata(&path).ok()?.modified().ok()?;
        let status: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let lane = |lane: &str| status[lane]["waiting"].as_u64();
        (written > since).then_some(lane("alert")? + lane("routine")?)
    }

    /// Everything the forwarder said, in all its lives.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.place.path().join("output")).unwrap_or_default()
    }
}

/// It tells of each event once it is stored, whether or not the reply arrives.
fn centre(keys: &Path, host: &Host, arrivals: &Arc<Mutex<Vec<Arrived>>>) -> anyhow::Result<Centre> {
    let book = Arc::clone(arrivals);
    let socket = host.run(|| TcpListener::bind(CENTRE))?;
    Centre::start(Config {
        socket: socket.with_context(|| CENTRE.to_string())?,
        tls: keys.to_owned(),
        database: keys.join("centre.db"),
        on_arrival: Box::new(move |arrival| {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            book.push(Arrived::from(arrival));
        }),
        on_refusal: Box::new(|_, _| {}),
    })
}

/// The relay keeps nothing on a disk, so it may outlive the cuts.
fn start_relay(places: &Places, host: &Host, output: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new(program("rap")?);
    command.arg("relay").arg("--site").arg(&places.site);
    command.arg("--identity").arg(&places.identity);
    command.arg("--status").arg(&places.status);
    into_file(&mut command, output)?;
    let relay = host.start(command)?;
    let begun = Instant::now();
    while host.try_tcp(relay::ADDRESS, LONG)? != Verdict::Open {
        ensure!(begun.elapsed() < LONG, "the relay does not listen after {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(relay)
}

fn into_file(command: &mut Command, path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    command
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file);
    Ok(())
}
