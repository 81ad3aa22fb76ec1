//! syslog-ng with its reliable disk buffer, fed over TCP, where nothing is ever acknowledged to the sender. What it has
//! taken is asked of its control socket.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::load::float;
use super::peer::{Peer, Peers, free_address};
use super::report::Report;

/// How long it may take to take what was sent.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct SyslogNg {
    peer: Peer,
    peers: Peers,
    control: PathBuf,
}

impl SyslogNg {
    /// Starts it on `directory`, which holds its buffer; it forwards to `out`. `output` is for its own words.
    pub(super) fn start(
        peers: &Peers,
        directory: &Path,
        out: SocketAddr,
        output: &Path,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let configuration = output.with_extension("syslog-ng.conf");
        std::fs::write(&configuration, text(directory, address, out))?;
        let control = output.with_extension("syslog-ng.ctl");
        let mut command = peers.command("syslog-ng");
        command.args(["--foreground", "--no-caps"]);
        command.arg("--cfgfile").arg(&configuration);
        command.arg("--control").arg(&control);
        command.arg("--persist-file").arg(directory.join("persist"));
        command
            .arg("--pidfile")
            .arg(output.with_extension("syslog-ng.pid"));
        command.arg("--module-path").arg(peers.syslog_ng_modules()?);
        Ok(Self {
            peer: Peer::start(command, address, output)?,
            peers: peers.clone(),
            control,
        })
    }

    /// Sends `count` reports over one connection and waits until all are taken; taken reports a second.
    pub(super) fn feed(&self, count: usize, first: u64) -> anyhow::Result<f64> {
        let mut report = Report::new();
        let mut bytes = Vec::new();
        for k in (first..).take(count) {
            bytes.extend_from_slice(b"<134>1 2026-01-01T00:00:00Z instrument bench - - - ");
            bytes.extend_from_slice(report.numbered(k));
            bytes.push(b'\n');
        }
        let before = self.taken()?;
        let begun = Instant::now();
        TcpStream::connect(self.peer.address)?.write_all(&bytes)?;
        while self.taken()? < before + count {
            ensure!(
                begun.elapsed() < PATIENCE,
                "not all of {count} reports were taken"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(float(count) / begun.elapsed().as_secs_f64())
    }

    /// How many messages its disk buffer has been given.
    fn taken(&self) -> anyhow::Result<usize> {
        let mut command = self.peers.command("syslog-ng-ctl");
        command.args(["stats", "--control"]).arg(&self.control);
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text
            .lines()
            .find(|line| line.starts_with("dst.network;out") && line.contains(";processed;"));
        let line = line.with_context(|| format!("no count of messages in: {text}"))?;
        Ok(line.rsplit(';').next().unwrap_or_default().parse()?)
    }

    /// The most memory it ever held, in MiB.
    pub(super) fn most_memory(&self) -> anyhow::Result<f64> {
        self.peer.most_memory()
    }
}

fn text(directory: &Path, address: SocketAddr, out: SocketAddr) -> String {
    format!(
        r#"@version: 3.38
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); dns-cache(no); }};
source in {{
  network(transport("tcp") ip("{ip}") port({port}) max-connections(300) log-iw-size(30000) flags(no-parse));
}};
destination out {{
  network("{to}" port({to_port}) transport("tcp") template("${{MESSAGE}}\n") time-reopen(1)
    disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(16777216) dir("{directory}")));
}};
log {{ source(in); destination(out); flags(flow-control); }};
"#,
        directory = directory.display(),
        ip = address.ip(),
        port = address.port(),
        to = out.ip(),
        to_port = out.port(),
    )
}
