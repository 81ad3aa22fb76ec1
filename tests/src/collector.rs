//! A hospital's collector of audit records: the real rsyslog, by syslog over TLS (RFC 5425) with certificates on both sides.
//!
//! rsyslog is unpacked from Debian's packages by `scripts/test` and never installed, so that it does not become the host's
//! own log; an installed one is taken where there is no such tree. Each record is a line of [`Collector::records`].
//!
//! Its own first word goes into the same file, so that the file is open before there is a connection: on a busy machine
//! release 8.2302 was seen to write records in clear into a connection, as if a descriptor were closed twice and the file
//! opened in between. It is seldom then, and not gone; the box takes it for a failure.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::lab::Host;
use rap_qemu::process::{Running, spawn};

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);
/// What records begin with: facility 13. The rest are its own words.
const AUDIT: &str = "<1";
/// What it writes to, in its folder.
const RECORDS: &str = "records";

/// Which library speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// OpenSSL: answers close_notify.
    Ossl,
    /// GnuTLS: does not.
    Gtls,
}

/// How a collector is to be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which library speaks TLS.
    pub driver: Driver,
    /// The certificate of the authority that boxes are issued by.
    pub boxes: PathBuf,
    /// The only name of a box that it takes.
    pub name: String,
    /// Its own certificate and key.
    pub pair: [PathBuf; 2],
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    _running: Running,
    folder: PathBuf,
}

/// The tree of the packages; `None` when neither that nor an installed rsyslog is there.
fn tree() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/collector");
    let trees = [unpacked, PathBuf::from("/")];
    let whole = |tree: &PathBuf| {
        tree.join("usr/sbin/rsyslogd").is_file() && modules(tree).join("lmnsd_ossl.so").is_file()
    };
    trees.into_iter().find(whole)
}

fn libraries(tree: &Path) -> PathBuf {
    tree.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

fn modules(tree: &Path) -> PathBuf {
    libraries(tree).join("rsyslog")
}

/// What is missing to run one here, in words.
#[must_use]
pub fn lacks() -> Option<&'static str> {
    tree()
        .is_none()
        .then_some("rsyslog with its TLS drivers (scripts/test unpacks it below target/collector)")
}

impl Collector {
    /// Starts one in `folder`, which keeps its records from one start to the next; on `host` of a lab, or here.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn start(folder: &Path, setup: &Setup, host: Option<&Host>) -> anyhow::Result<Self> {
        let tree = tree().context("no rsyslog")?;
        let configuration = folder.join("rsyslog.conf");
        std::fs::write(&configuration, configure(folder, setup))?;
        let output = folder.join("output");
        let mut command = Command::new(tree.join("usr/sbin/rsyslogd"));
        command
            .arg("-n")
            .arg("-f")
            .arg(&configuration)
            .arg("-i")
            .arg(folder.join("pid"))
            .arg("-M")
            .arg(modules(&tree))
            .env("LD_LIBRARY_PATH", libraries(&tree))
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::options().append(true).open(&output)?);
        let mut running = match host {
            Some(host) => host.start(command)?,
            None => Running(spawn(command, None, Vec::new())?),
        };
        let begun = Instant::now();
        // A connection of ours would be a sender with a bad certificate: the kernel is asked instead.
        while !listens(running.0.id(), setup.address.port())? {
            let said = || std::fs::read_to_string(&output).unwrap_or_default();
            ensure!(
                begun.elapsed() < START && running.0.try_wait()?.is_none(),
                "rsyslog does not listen: {}",
                said().trim()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            _running: running,
            folder: folder.to_owned(),
        })
    }

    /// What it has, a record a line.
    #[must_use]
    pub fn records(&self) -> String {
        records(&self.folder)
    }
}

/// What the collector in `folder` has, whether it runs or not.
#[must_use]
pub fn records(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join(RECORDS)).unwrap_or_default();
    let records = text.lines().filter(|line| line.starts_with(AUDIT));
    records.map(|line| format!("{line}\n")).collect()
}

/// Whether a process' network has a listener at `port` (proc_pid_net(5): state 0A).
fn listens(pid: u32, port: u16) -> anyhow::Result<bool> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let here = format!(":{port:04X}");
    let is_it = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&here));
        local && fields.nth(1) == Some("0A")
    };
    Ok(table.lines().any(is_it))
}

fn configure(folder: &Path, setup: &Setup) -> String {
    let driver = match setup.driver {
        Driver::Ossl => "ossl",
        Driver::Gtls => "gtls",
    };
    let [certificate, key] = &setup.pair;
    format!(
        r#"global(workDirectory="{folder}" maxMessageSize="16k" defaultNetstreamDriver="{driver}"
       defaultNetstreamDriverCAFile="{boxes}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="x509/name"
       permittedPeer=["{name}"])
input(type="imtcp" address="{ip}" port="{port}" ruleset="kept")
template(name="raw" type="string" string="%rawmsg%\n")
ruleset(name="kept") {{
  action(type="omfile" file="{folder}/{RECORDS}" template="raw" asyncWriting="off" flushOnTXEnd="on")
}}
call kept
"#,
        folder = folder.display(),
        boxes = setup.boxes.display(),
        certificate = certificate.display(),
        key = key.display(),
        name = setup.name,
        ip = setup.address.ip(),
        port = setup.address.port(),
    )
}
