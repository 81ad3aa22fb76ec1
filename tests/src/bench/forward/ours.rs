//! The forwarder as it ships: the release build of `rap-tls forward`, started as init starts it, with nobody at the
//! other end of its uplink.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rap_core::forward::Lane;
use rap_core::forward::log::{AppendError, Config, Disk, Log, NewRecord};
use rap_core::identity;
use rap_core::notify::SOCKETS;
use rap_core::site::Ingest;
use rap_qemu::process::{Running, cpu_time, spawn};
use rustls::{ClientConfig, RootCertStore};

use crate::keys;

/// Reports and bytes taken from the log at once when it is emptied.
const PEEK: (usize, usize) = (4096, 16 * 1024 * 1024);

/// What every forwarder of a run shares: the program, keys, site.
#[derive(Debug)]
pub(super) struct Workshop {
    program: PathBuf,
    place: PathBuf,
    tls: Arc<ClientConfig>,
}

/// How a forwarder is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// As it ships: 1000 reports a second and 32 connections for each port.
    Product,
    /// As many reports and connections as come, so that the limits are not what is measured.
    Raised,
}

/// A running forwarder with one port.
#[derive(Debug)]
pub(super) struct Forwarder {
    process: Running,
    pub(super) address: SocketAddr,
}

impl Workshop {
    /// Prepares keys and sites in `place`.
    ///
    /// # Errors
    /// When the program is missing or the files cannot be written.
    pub(super) fn new(program: &Path, place: &Path) -> anyhow::Result<Self> {
        ensure!(
            program.is_file(),
            "{} is missing; build it: cargo build --release -p rap-core --bin rap-tls",
            program.display()
        );
        keys::write(place)?;
        for ingest in ["http", "tls"] {
            std::fs::write(place.join(format!("{ingest}.toml")), site(ingest))?;
        }
        let mut roots = RootCertStore::empty();
        for certificate in identity::certificates(&place.join("centre-ca.crt"))? {
            roots.add(certificate)?;
        }
        let tls = ClientConfig::builder_with_provider(identity::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            program: program.to_owned(),
            place: place.to_owned(),
            tls: Arc::new(tls),
        })
    }

    /// What a client of a forwarder's TLS port needs.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// Starts a forwarder on the log in `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&self, log: &Path, ingest: Ingest, limits: Limits) -> anyhow::Result<Forwarder> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let site = if ingest == Ingest::Tls {
            "tls.toml"
        } else {
            "http.toml"
        };
        let output = std::fs::File::create(self.place.join("forward.output"))?;
        let mut command = Command::new(&self.program);
        command.arg("forward").arg("--site").arg(self.place.join(site));
        command.arg("--identity").arg(&self.place).arg("--log").arg(log);
        command.arg("--status").arg(self.place.join("status"));
        if limits == Limits::Raised {
            command.args(["--reports-a-second", "10000000", "--connections", "1000"]);
        }
        command.env(SOCKETS, format!("ingest@port1={}", socket.as_raw_fd()));
        command
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        let process = Running(spawn(command, None, vec![socket.into()])?);
        Ok(Forwarder { process, address })
    }
}

impl Forwarder {
    /// Processor time it has used.
    pub(super) fn cpu(&self) -> Duration {
        cpu_time(self.process.0.id()).unwrap_or_default()
    }

    /// The most memory it ever held, in MiB (`VmHWM`, proc(5)).
    ///
    /// # Errors
    /// When it runs no more.
    pub(super) fn most_memory(&self) -> anyhow::Result<f64> {
        memory(self.process.0.id())
    }
}

/// The most memory process `pid` ever held, in MiB.
pub(super) fn memory(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("it has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line
        .context("VmHWM in its status")?
        .trim()
        .trim_end_matches(" kB");
    Ok(kibibytes.parse::<f64>()? / 1024.0)
}

/// Makes the log in `directory` one that has been full once, as a box's is for most of its life: every segment is
/// there, and empty.
///
/// # Errors
/// When the log cannot be used.
pub(super) fn age(directory: &Path) -> anyhow::Result<()> {
    let mut log = Log::open(Box::new(Disk::new(directory)?), Config::default())?;
    let large = |id: usize| NewRecord {
        source: "/bench/port1".to_owned(),
        id: id.to_string(),
        received: 0,
        event: vec![b' '; 200 * 1024],
    };
    for id in 0.. {
        match log.append(Lane::Routine, vec![large(id)]) {
            Ok(()) => {}
            Err(AppendError::Full) => break,
            Err(error) => return Err(error.into()),
        }
    }
    drop(log);
    drain(directory).map(drop)
}

/// Takes everything out of the log in `directory`, as if it were delivered; the ids in order.
///
/// # Errors
/// When the log cannot be used.
pub(super) fn drain(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut log = Log::open(Box::new(Disk::new(directory)?), Config::default())?;
    let mut ids = Vec::new();
    loop {
        let batch = log.peek(Lane::Routine, PEEK.0, PEEK.1)?;
        if batch.records.is_empty() {
            return Ok(ids);
        }
        log.advance(Lane::Routine, &batch)?;
        ids.extend(batch.records.into_iter().map(|record| record.id));
    }
}

/// A site with one port. Nobody listens where its centre is said to be, and there is no relay to get there.
fn site(ingest: &str) -> String {
    format!(
        r#"version = 1
name = "bench"
[uplink]
nic = "pci:0000:00:10.0"
address = "dhcp"
[centre]
url = "https://127.0.0.1:9"
[[port]]
name = "port1"
nic = "pci:0000:00:11.0"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
ingest = "{ingest}"
"#
    )
}
