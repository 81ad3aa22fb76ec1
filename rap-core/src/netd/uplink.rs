//! The DHCP client of the uplink: dhcpcd in the foreground, with this program as its hook.
//!
//! dhcpcd may outlive netd (it keeps the address while netd is restarted); the next netd ends it first.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use netfw::model::{Addressing, Network};
use netfw::netns::Namespace;
use rustix::process::{Pid, Signal, kill_process};

use super::stop::Stop;
use super::{Place, lease};

/// The name under which dhcpcd starts this program; the entry is [`super::dhcp_hook`].
pub const DHCP_HOOK: &str = "rap-dhcp-hook";

/// Where Debian, and so the appliance, has it.
const DHCPCD: &str = "/usr/sbin/dhcpcd";
/// Where it keeps leases over restarts (dhcpcd(8)).
const DATABASE: &str = "/var/lib/dhcpcd";
/// How long to wait before a client that ended is started again.
const PAUSE: Duration = Duration::from_secs(5);

/// No resolver, no IPv6, no invented addresses, no routes but what the lease says; the address stays when it ends.
const CONFIGURATION: &str = "\
ipv4only
noipv4ll
persistent
nodelay
option subnet_mask, routers, broadcast_address, domain_name_servers, interface_mtu, dhcp_lease_time
require dhcp_server_identifier
";

/// How often it is looked whether the client still runs, or is to end.
const LOOK: Duration = Duration::from_millis(250);

/// Starts the client when the uplink wants one, until told to stop.
pub(super) fn start(place: &Place, network: &Network, stop: Stop) -> anyhow::Result<()> {
    lease::Lease::forget(&place.runtime)?;
    if network.uplink.addressing != Addressing::Dhcp {
        return Ok(());
    }
    let configuration = place.runtime.join("dhcpcd.conf");
    std::fs::write(&configuration, CONFIGURATION)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    link_hook(&place.runtime)?;
    std::fs::create_dir_all(DATABASE).with_context(|| format!("cannot make {DATABASE}"))?;

    let (root, runtime) = (place.machine.root.clone(), place.runtime.clone());
    std::thread::Builder::new()
        .name("dhcpcd".to_owned())
        .spawn(move || keep(&root, &runtime, &stop))
        .context("cannot start the thread of the DHCP client")?;
    Ok(())
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

/// Runs the client until told to stop.
fn keep(root: &Namespace, runtime: &Path, stop: &Stop) {
    loop {
        match root.run(|| run(runtime, stop)) {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(code))) => log::warn!("dhcpcd ended with {code}; starting it again"),
            Ok(Err(error)) => log::error!("cannot run {DHCPCD}: {error}"),
            Err(error) => log::error!("{error}"),
        }
        if !stop.pause(PAUSE) {
            return;
        }
    }
}

/// Runs the client once; `None` when it ended because it was to.
fn run(runtime: &Path, stop: &Stop) -> std::io::Result<Option<ExitStatus>> {
    // One left by a netd before this one. That there is none is the usual case.
    let _ = client()
        .args(["--exit", netfw::plan::UPLINK])
        .stderr(Stdio::null())
        .status();
    let mut child = client()
        .args(["--nobackground", "--config"])
        .arg(runtime.join("dhcpcd.conf"))
        .arg("--script")
        .arg(runtime.join(DHCP_HOOK))
        .arg("--env")
        .arg(format!("{}={}", lease::RUNTIME_VARIABLE, runtime.display()))
        .arg(netfw::plan::UPLINK)
        .spawn()?;
    loop {
        if let Some(code) = child.try_wait()? {
            return Ok(Some(code));
        }
        if !stop.pause(LOOK) {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                // It may have gone in this moment.
                let _ = kill_process(pid, Signal::TERM);
            }
            child.wait()?;
            return Ok(None);
        }
    }
}

fn client() -> Command {
    let mut command = Command::new(DHCPCD);
    command
        .arg("-4")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
