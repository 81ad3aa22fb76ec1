//! The DHCP client of the uplink: dhcpcd in the foreground, with this program as its hook.
//!
//! dhcpcd configures nothing itself: what it is given goes to netd, which uses it or refuses it ([`super::lease`]). It
//! may outlive netd; the next netd ends it first.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use netfw::model::{Addressing, Network};
use netfw::netns::Namespace;
use rustix::process::{Pid, Signal, kill_process};

use super::Place;
use super::lease::{self, Lease};
use super::stop::Stop;

/// The name under which dhcpcd starts this program; the entry is [`super::dhcp_hook`].
pub const DHCP_HOOK: &str = "rap-dhcp-hook";

/// Where Debian, and so the appliance, has it.
const DHCPCD: &str = "/usr/sbin/dhcpcd";
/// Where it keeps leases over restarts (dhcpcd(8)).
const DATABASE: &str = "/var/lib/dhcpcd";
/// How long to wait before a client that ended is started again.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a lease that cannot be used is kept before the client asks as if it had none.
const ANOTHER: Duration = Duration::from_secs(20);

const CONFIGURATION_FILE: &str = "dhcpcd.conf";
/// Nothing is configured; no IPv6, no invented addresses.
const CONFIGURATION: &str = "\
noconfigure
ipv4only
noipv4ll
nodelay
option subnet_mask, routers, broadcast_address, domain_name_servers, interface_mtu, dhcp_lease_time
require dhcp_server_identifier
";

/// How often it is looked whether the client still runs, or is to end.
const LOOK: Duration = Duration::from_millis(250);

/// Starts the client when the uplink wants one, until told to stop; the thread ends when the client has.
pub(super) fn start(place: &Place, network: &Network, stop: Stop) -> anyhow::Result<Option<JoinHandle<()>>> {
    if network.uplink.addressing != Addressing::Dhcp {
        Lease::forget(&place.runtime)?;
        return Ok(None);
    }
    let configuration = place.runtime.join(CONFIGURATION_FILE);
    std::fs::write(&configuration, CONFIGURATION)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    link_hook(&place.runtime)?;
    std::fs::create_dir_all(DATABASE).with_context(|| format!("cannot make {DATABASE}"))?;

    let client = Client {
        root: place.machine.root.clone(),
        runtime: place.runtime.clone(),
        network: network.clone(),
        stop,
    };
    std::thread::Builder::new()
        .name("dhcpcd".to_owned())
        .spawn(move || client.keep())
        .map(Some)
        .context("cannot start the thread of the DHCP client")
}

/// The hook's name leads to this program, wherever it is.
fn link_hook(runtime: &Path) -> anyhow::Result<()> {
    let link = runtime.join(DHCP_HOOK);
    let program = std::env::current_exe().context("cannot find this program")?;
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", link.display()));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(program, &link).with_context(|| format!("cannot make {}", link.display()))
}

/// The client of one site.
struct Client {
    root: Namespace,
    runtime: PathBuf,
    network: Network,
    stop: Stop,
}

/// Why a client's run is over.
enum Ended {
    /// It was to.
    Stopped,
    /// Its lease is of no use.
    Refused,
    /// By itself.
    Alone(ExitStatus),
}

impl Client {
    /// Runs the client until told to stop.
    fn keep(&self) {
        loop {
            match self.root.run(|| self.run()) {
                Ok(Ok(Ended::Stopped)) => return,
                Ok(Ok(Ended::Refused)) => {
                    self.forget();
                    continue;
                }
                Ok(Ok(Ended::Alone(code))) => log::warn!("dhcpcd ended with {code}; starting it again"),
                Ok(Err(error)) => log::error!("cannot run {DHCPCD}: {error}"),
                Err(error) => log::error!("{error}"),
            }
            if !self.stop.pause(PAUSE) {
                return;
            }
        }
    }

    fn run(&self) -> std::io::Result<Ended> {
        // One left by a netd before this one. That there is none is the usual case.
        let _ = command()
            .args(["--exit", netfw::plan::UPLINK])
            .stderr(Stdio::null())
            .status();
        let mut child = command()
            .args(["--nobackground", "--config"])
            .arg(self.runtime.join(CONFIGURATION_FILE))
            .arg("--script")
            .arg(self.runtime.join(DHCP_HOOK))
            .args([
                "--env",
                &format!("{}={}", lease::RUNTIME_VARIABLE, self.runtime.display()),
            ])
            .args([
                "--env",
                &format!("{}={}", lease::NIC_VARIABLE, self.network.uplink.nic),
            ])
            .arg(netfw::plan::UPLINK)
            .spawn()?;
        let mut refused: Option<Instant> = None;
        loop {
            if let Some(code) = child.try_wait()? {
                return Ok(Ended::Alone(code));
            }
            if !self.stop.pause(LOOK) {
                end(&mut child)?;
                return Ok(Ended::Stopped);
            }
            let useless = Lease::read(&self.runtime).is_some_and(|lease| lease.check(&self.network).is_err());
            refused = refused.filter(|_| useless).or(useless.then(Instant::now));
            if refused.is_some_and(|since| since.elapsed() >= ANOTHER) {
                end(&mut child)?;
                return Ok(Ended::Refused);
            }
        }
    }

    /// Makes the next client begin as if it had never had a lease.
    fn forget(&self) {
        let kept = Path::new(DATABASE).join(format!("{}.lease", netfw::plan::UPLINK));
        // Without one there is nothing to forget.
        let _ = std::fs::remove_file(kept);
        if let Err(error) = Lease::forget(&self.runtime) {
            log::warn!("{error:#}");
        }
    }
}

/// Ends the client, by force when it does not go by itself.
fn end(child: &mut Child) -> std::io::Result<()> {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // It may have gone in this moment.
        let _ = kill_process(pid, Signal::TERM);
    }
    let asked = Instant::now();
    while child.try_wait()?.is_none() {
        if asked.elapsed() >= PAUSE {
            child.kill()?;
            return child.wait().map(drop);
        }
        std::thread::sleep(LOOK / 5);
    }
    Ok(())
}

fn command() -> Command {
    let mut command = Command::new(DHCPCD);
    command
        .arg("-4")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
