//! A repository of updates as many an operator would serve it: the real nginx, with client certificates, on the service
//! centre's host. It counts what it sends.

use std::fs::{self, OpenOptions};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::lab::Lab;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::Running;

/// The port beside the centre's.
pub const PORT: u16 = 8444;
const START: Duration = Duration::from_secs(20);

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Repository {
    place: tempfile::TempDir,
    _running: Running,
}

/// What was asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Bytes it sent, heads of answers included, TLS not.
    pub bytes: u64,
    /// Requests it answered.
    pub requests: u64,
}

impl Served {
    /// What was asked since it was `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            requests: self.requests - before.requests,
        }
    }
}

impl Repository {
    /// Serves the files below `folder` in `lab`, with the centre's certificate of `keys`, to who has a box's.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn serve(lab: &Lab, keys: &Path, folder: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-repository-").tempdir()?;
        for name in ["centre.crt", "centre.key", "centre-ca.crt"] {
            fs::copy(keys.join(name), place.path().join(name)).with_context(|| name.to_owned())?;
        }
        let address = SocketAddrV4::new(*lab.centre_address().ip(), PORT);
        let file = place.path().join("nginx.conf");
        fs::write(&file, configuration(address, &fs::canonicalize(folder)?))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(place.path().join("error.log"))?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(place.path()).arg("-c").arg(file);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = lab.centre.start(command)?;
        let begun = Instant::now();
        while lab.workstation.try_tcp(address, START)? != Verdict::Open {
            let words = fs::read_to_string(place.path().join("error.log")).unwrap_or_default();
            ensure!(
                begun.elapsed() < START,
                "the repository's nginx does not serve: {words}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            place,
            _running: running,
        })
    }

    /// What it served so far.
    #[must_use]
    pub fn served(&self) -> Served {
        let log = self.log();
        let bytes = log
            .lines()
            .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
        Served {
            bytes: bytes.sum(),
            requests: log.lines().count() as u64,
        }
    }

    /// A line an answer: bytes, status, path.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("access.log")).unwrap_or_default()
    }
}

fn configuration(listen: SocketAddrV4, folder: &Path) -> String {
    let root = rustix::process::geteuid().is_root();
    let user = if root { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what};\n"))
        .concat();
    format!(
        "{user}daemon off;
master_process off;
pid pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
{temporary}    log_format bytes '$bytes_sent $status $uri';
    access_log access.log bytes;
    server {{
        listen {listen} ssl;
        ssl_certificate centre.crt;
        ssl_certificate_key centre.key;
        ssl_client_certificate centre-ca.crt;
        ssl_verify_client on;
        root {};
    }}
}}
",
        folder.display()
    )
}
