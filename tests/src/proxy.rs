//! Real proxies for the lab: squid, tinyproxy, dante and microsocks, as a hospital runs them, each as a program on one
//! of the lab's hosts.
//!
//! Each runs in mount and process namespaces of its own: it has its own resolv.conf and, where it asks the system for
//! users, its own passwd and shadow; and all its processes end with it. Invariant: nothing of this machine is changed.

mod configuration;

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rap_qemu::lab::Host;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::Running;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// The user every proxy with users knows.
pub const USER: &str = "rap-box";
/// Its password.
pub const PASSWORD: &str = "s3same-Open";
/// How long a proxy may take to listen.
const START: Duration = Duration::from_secs(20);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP, Basic authentication by its own helper.
    Squid,
    /// HTTP.
    Tinyproxy,
    /// SOCKS 5, users of the system.
    Dante,
    /// SOCKS 5.
    Microsocks,
}

/// How a proxy is to be.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Its address on its host.
    pub address: Ipv4Addr,
    /// The host's interface towards where it connects.
    pub out: &'static str,
    /// The name server it asks.
    pub resolver: Ipv4Addr,
    /// Whether it wants [`USER`] and [`PASSWORD`].
    pub users: bool,
    /// The one TCP port it connects to; microsocks knows no such rule.
    pub allowed: u16,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    running: Running,
    _place: tempfile::TempDir,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Squid, Self::Tinyproxy, Self::Dante, Self::Microsocks];

    /// The program's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Dante => "danted",
            Self::Microsocks => "microsocks",
        }
    }

    /// The TCP port it listens on.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Squid | Self::Tinyproxy => 3128,
            Self::Dante | Self::Microsocks => 1080,
        }
    }

    /// Its URL at `address`, as `site.toml` has it.
    #[must_use]
    pub fn url(self, address: Ipv4Addr) -> String {
        let scheme = match self {
            Self::Squid | Self::Tinyproxy => "http",
            Self::Dante | Self::Microsocks => "socks5h",
        };
        format!("{scheme}://{address}:{}", self.port())
    }

    /// What is missing to run it here, in words.
    #[must_use]
    pub fn lacks(self) -> Option<String> {
        if self.program().is_none() {
            return Some(format!("the program {}", self.name()));
        }
        // squid and dante change their user.
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let users: u64 = map
            .split_whitespace()
            .nth(2)
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        let root = rustix::process::geteuid().is_root() && users > 65_534;
        (!root).then(|| "root, with all users".to_owned())
    }

    fn program(self) -> Option<PathBuf> {
        let places = ["/usr/sbin", "/usr/bin"];
        let mut places = places.iter().map(|place| Path::new(place).join(self.name()));
        places.find(|path| path.is_file())
    }
}

impl Proxy {
    /// Starts `kind` on `host` and waits until it listens.
    ///
    /// # Errors
    /// With its last words when it does not.
    pub fn start(kind: Kind, host: &Host, setup: &Setup) -> anyhow::Result<Self> {
        let program = kind
            .program()
            .with_context(|| format!("{} is not installed", kind.name()))?;
        let door = SocketAddrV4::new(setup.address, kind.port());
        ensure!(
            host.try_tcp(door, START)? != Verdict::Open,
            "something listens on {door} already"
        );
        let place = tempfile::Builder::new()
            .prefix(&format!("rap-{}-", kind.name()))
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let arguments = configuration::write(kind, setup, place.path())?;
        let log = place.path().join("log");
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        output.set_permissions(std::fs::Permissions::from_mode(0o666))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
        command.args(["sh", "-euc", INSIDE, "sh"]).arg(place.path());
        command.arg(program).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut running = host.start(command)?;
        let begun = Instant::now();
        while host.try_tcp(door, START)? != Verdict::Open {
            let gone = !matches!(running.0.try_wait(), Ok(None));
            if gone || begun.elapsed() > START {
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{} does not listen: {}", kind.name(), words.trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            running,
            _place: place,
        })
    }

    /// Stops it in the middle of what it does: the kernel still accepts connections for it, and nobody answers.
    ///
    /// # Errors
    /// When its processes cannot be found.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When its processes cannot be found.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let processes = descendants(self.running.0.id())?;
        ensure!(processes.len() > 1, "the proxy has no processes");
        for process in processes {
            kill_process(process, signal).or_else(|error| match error {
                rustix::io::Errno::SRCH => Ok(()),
                error => Err(error),
            })?;
        }
        Ok(())
    }
}

impl Drop for Proxy {
    /// Returns when all its processes are gone, so that another one can listen in its place.
    fn drop(&mut self) {
        let processes = descendants(self.running.0.id()).unwrap_or_default();
        let open = |process: Pid| pidfd_open(process, PidfdFlags::empty()).ok();
        let held: Vec<_> = processes.into_iter().filter_map(open).collect();
        for process in &held {
            // It may have gone in this moment.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for process in &held {
            let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], None);
        }
    }
}

/// Run as root of the namespaces; the first argument is the place of the files that are put over the system's. Not
/// replaced by the program: its death has to take everything in the process namespace with it.
const INSIDE: &str = r#"
place=$1; shift
for file in resolv.conf passwd shadow; do
    [ ! -e "$place/$file" ] || mount --bind "$place/$file" "/etc/$file"
done
"$@"
exit $?
"#;

/// The processes below `parent`.
fn descendants(parent: u32) -> anyhow::Result<Vec<Pid>> {
    let mut found = Vec::new();
    let mut open = vec![parent];
    while let Some(process) = open.pop() {
        let path = format!("/proc/{process}/task/{process}/children");
        let children = std::fs::read_to_string(&path).with_context(|| path)?;
        for child in children.split_whitespace() {
            let child: i32 = child.parse()?;
            found.push(Pid::from_raw(child).context("a process without a number")?);
            open.push(child.unsigned_abs());
        }
    }
    Ok(found)
}
