//! The real nginx in front of the test centre, as many an operator would put it: ending TLS with client certificates,
//! limiting, speaking TLS again to the centre; or passing the bytes on.
//!
//! One process in the foreground, everything it writes in a temporary directory, on a port of 127.0.0.1 that stays its
//! own over restarts. Invariant: nothing of this machine is changed.

mod configuration;

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rap_qemu::process::{Running, spawn};

use crate::fault::Port;

const PLACES: [&str; 2] = ["/usr/sbin/nginx", "/usr/bin/nginx"];
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// How long it may take to serve.
const START: Duration = Duration::from_secs(20);

/// How nginx is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It ends TLS, asks for client certificates, and speaks TLS to the centre with a certificate of its own.
    Http(Limits),
    /// It hands TCP connections on as they are.
    Stream,
}

/// What nginx refuses by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body; more is 413 (`client_max_body_size`).
    pub body: u64,
    /// Requests a second, and the status for those beyond (`limit_req`).
    pub rate: Option<(u32, u16)>,
    /// How long the centre may be silent; then 504 (`proxy_read_timeout`), in whole milliseconds.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            rate: None,
            patience: Duration::from_secs(10),
        }
    }
}

/// A running nginx; dropping it kills it.
#[derive(Debug)]
pub struct Nginx {
    place: tempfile::TempDir,
    port: Port,
    upstream: SocketAddr,
    setup: Setup,
    running: Option<Running>,
}

/// What is missing to run it here, in words.
#[must_use]
pub fn lacks() -> Option<String> {
    if program().is_none() {
        return Some("the program nginx".to_owned());
    }
    let stream = Path::new(STREAM_MODULE).is_file();
    (!stream).then(|| "nginx's module stream (libnginx-mod-stream)".to_owned())
}

fn program() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

impl Nginx {
    /// Starts it before the centre at `upstream`, with `centre.crt`, `centre.key` and `centre-ca.crt` of `keys` towards
    /// the boxes, and `device.crt`, `device.key` towards the centre.
    ///
    /// # Errors
    /// With its last words when it does not serve.
    pub fn start(setup: Setup, upstream: SocketAddr, keys: &Path) -> anyhow::Result<Self> {
        let mut nginx = Self {
            place: tempfile::Builder::new().prefix("rap-nginx-").tempdir()?,
            port: Port::free()?,
            upstream,
            setup,
            running: None,
        };
        nginx.restart(setup, keys)?;
        Ok(nginx)
    }

    /// Ends it and starts it again with another setup or other keys; connections break, the address stays.
    ///
    /// # Errors
    /// With its last words when it does not serve.
    pub fn restart(&mut self, setup: Setup, keys: &Path) -> anyhow::Result<()> {
        self.running = None;
        self.setup = setup;
        for name in [
            "centre.crt",
            "centre.key",
            "centre-ca.crt",
            "device.crt",
            "device.key",
        ] {
            std::fs::copy(keys.join(name), self.place.path().join(name)).with_context(|| name.to_owned())?;
        }
        let file = self.place.path().join("nginx.conf");
        std::fs::write(&file, self.configuration())?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.place.path().join("error.log"))?;
        let mut command = Command::new(program().context("nginx is not installed")?);
        command.arg("-p").arg(self.place.path()).arg("-c").arg(file);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.running = Some(Running(spawn(command, None, Vec::new())?));
        self.wait_until_it_serves()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// How many requests it answered with this status since it was started first; none for [`Setup::Stream`].
    #[must_use]
    pub fn answered(&self, status: u16) -> usize {
        let log = std::fs::read_to_string(self.place.path().join("access.log")).unwrap_or_default();
        let status = status.to_string();
        log.lines().filter(|line| *line == status).count()
    }

    /// What it wrote.
    #[must_use]
    pub fn words(&self) -> String {
        std::fs::read_to_string(self.place.path().join("error.log")).unwrap_or_default()
    }

    fn configuration(&self) -> String {
        configuration::text(&self.setup, self.address(), self.upstream)
    }

    /// It listens before it has written its process's number.
    fn wait_until_it_serves(&mut self) -> anyhow::Result<()> {
        let address = self.address();
        let running = self.running.as_mut().context("it was not started")?;
        let number = running.0.id().to_string();
        let begun = Instant::now();
        loop {
            let written = std::fs::read_to_string(self.place.path().join("pid")).unwrap_or_default();
            if written.trim() == number && TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if !matches!(running.0.try_wait(), Ok(None)) || begun.elapsed() > START {
                let words = std::fs::read_to_string(self.place.path().join("error.log"));
                bail!("nginx does not serve: {}", words.unwrap_or_default().trim());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
