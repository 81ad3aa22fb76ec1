//! The world around the box: hosts in network namespaces, at the other end of its cables.
//!
//! ```text
//! instrument 1 (192.168.1.50) ── tap ── port 1 ┐         ┌ tap ── lan0 10.9.0.1 (router, DHCP, DNS: `hospital`)
//! instrument 2 (192.168.1.50) ── tap ── port 2 ├── box ──┤         ├── 10.9.0.10 (`centre`)
//! instrument N …                               ┘ uplink  ┘         └── 10.9.0.20 (`workstation`)
//! ```
//!
//! A [`Layout`] puts the uplink into a VLAN, or the centre behind a second router and a narrower link:
//!
//! ```text
//!           ┌ tag 7 ── lan0 (router) ── MTU 1280 ── next router ── 10.8.0.10 (`centre`)
//! box ──────┤
//!           └ no tag ── stray
//! ```
//!
//! The addresses are the contract in ARCHITECTURE.md. Works as root, or in a user namespace
//! ([`enter_user_namespace`]). Invariant: no host of the lab has a way to any network outside it.

mod cable;
mod capture;
mod dhcp;
mod hospital;
mod host;
mod namespace;
pub mod probe;
mod tap;
mod trunk;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use cable::Cable;
pub(crate) use cable::Plug;
pub use capture::{Capture, Ip, Packet};
pub use dhcp::{Lease, Offer};
pub use hospital::Layout;
pub use host::Host;
pub use namespace::Namespace;

use crate::process::Running;
use crate::{Error, Result};
use hospital::Hospital;

/// The hospital's router, DHCP and name server.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// The box on the hospital's network: the only lease its DHCP server has.
pub const BOX: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The service centre.
pub const CENTRE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 10), 8443);
/// The service centre, where a [`Layout`] puts it behind a second router.
pub const FAR_CENTRE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 8, 0, 10), 8443);
/// The service centre's name, which the hospital's name server knows.
pub const CENTRE_NAME: &str = "centre.test";
/// Some computer of the hospital.
pub const WORKSTATION: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 20);
/// Where the hospital's proxy is, in tests that have one.
pub const PROXY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 30);
/// The prefix length of the hospital's network.
pub const PREFIX: u8 = 24;
/// Every instrument's fixed address, the same on every port.
pub const INSTRUMENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
/// The box's address on every port.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The PCI path of the uplink card, as `site.toml` names it.
pub const UPLINK_NIC: &str = "pci:0000:00:10.0";

/// The PCI path of the card of instrument port `number` (from 1), as `site.toml` names it.
#[must_use]
pub fn port_nic(number: usize) -> String {
    format!("pci:0000:00:{:02x}.0", 0x10 + number)
}

/// Set in the environment of the program that [`enter_user_namespace`] started again.
const INSIDE: &str = "RAP_LAB_INSIDE";

/// A complete surrounding for one machine.
#[derive(Debug)]
pub struct Lab {
    /// The hospital's router, with its DHCP and name server, on `lan0`; with a narrow path on `wan0` too.
    pub hospital: Host,
    /// The router behind it on a narrow path ([`Layout::path_mtu`]), on `wan0` and `eth0`.
    pub next_router: Option<Host>,
    /// The service centre's host, on `eth0`.
    pub centre: Host,
    /// A computer of the hospital, on `eth0`.
    pub workstation: Host,
    /// With a tagged uplink ([`Layout::vlan`]): who is on the box's cable without a tag, on `eth0`. Its address is
    /// the workstation's.
    pub stray: Option<Host>,
    /// The instruments' hosts, on `eth0`, with their fixed addresses; port 1's first.
    pub instruments: Vec<Host>,
    layout: Layout,
    cables: Vec<Arc<Cable>>,
    servers: Mutex<Servers>,
    /// Goes after those that write into it.
    directory: tempfile::TempDir,
}

/// The hospital's servers.
#[derive(Debug, Default)]
struct Servers {
    /// Answers for names, and gives the plain lease unless an offer took its place.
    names: Option<Running>,
    /// An offer, and who makes it.
    offered: Option<(Offer, Running)>,
}

impl Lab {
    /// Builds the hospital, the centre and `instruments` hosts with the factory's fixed address.
    ///
    /// # Errors
    /// When rights or programs are missing (root or a user namespace, `ip`, `dnsmasq`, /dev/net/tun).
    pub fn new(instruments: usize) -> Result<Self> {
        Self::laid_out(instruments, Layout::default())
    }

    /// As [`Self::new`], with a hospital's network of another `layout`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn laid_out(instruments: usize, layout: Layout) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rap-lab-").tempdir();
        let directory = directory.map_err(|e| Error::Network("make a temporary directory", e))?;
        let around = Hospital::new(&layout)?;
        let mut cables = vec![Arc::new(around.uplink)];
        let mut hosts = Vec::new();
        for number in 1..=instruments {
            let host = Host::new(format!("instrument {number}"))?;
            cables.push(Arc::new(Cable::straight(host.namespace(), "eth0")?));
            host.configure("eth0", INSTRUMENT, PREFIX, Some(GATEWAY))?;
            hosts.push(host);
        }
        let lab = Self {
            hospital: around.router,
            next_router: around.next_router,
            centre: around.centre,
            workstation: around.workstation,
            stray: around.stray,
            instruments: hosts,
            layout,
            cables,
            servers: Mutex::default(),
            directory,
        };
        lab.serve(&mut lab.servers(), Some(BOX))?;
        Ok(lab)
    }

    /// Where the service centre is.
    #[must_use]
    pub fn centre_address(&self) -> SocketAddrV4 {
        self.layout.centre()
    }

    /// From now on the hospital's DHCP server gives `offer`, or nobody answers there. Names are answered as before,
    /// and the router has the offer's router's address as well.
    ///
    /// # Errors
    /// When a server does not start, or a program is missing (`udhcpd`).
    pub fn offer(&self, offer: Option<&Offer>) -> Result<()> {
        let mut servers = self.servers();
        if let Some((old, server)) = servers.offered.take() {
            drop(server);
            self.second_router("del", &old)?;
        } else {
            self.serve(&mut servers, None)?;
        }
        if let Some(offer) = offer {
            self.second_router("add", offer)?;
            let server = self.hospital.serve_offer("lan0", offer, self.directory.path())?;
            servers.offered = Some((*offer, server));
        }
        Ok(())
    }

    /// Starts the name server, which gives `lease` by DHCP if there is one, in the place of the one that was there.
    fn serve(&self, servers: &mut Servers, lease: Option<Ipv4Addr>) -> Result<()> {
        servers.names = None;
        let names = [(CENTRE_NAME, *self.centre_address().ip())];
        let place = self.directory.path();
        let server = self.hospital.serve_dhcp("lan0", ROUTER, lease, &names, place)?;
        servers.names = Some(server);
        Ok(())
    }

    /// The router has the offer's router's address too, or has it no more.
    fn second_router(&self, verb: &str, offer: &Offer) -> Result<()> {
        let Offer { router, prefix, .. } = offer;
        if *router == ROUTER {
            return Ok(());
        }
        self.hospital
            .ip(&format!("address {verb} {router}/{prefix} dev lan0"))
    }

    /// Servers that a panic left half-changed are ended or replaced as any others.
    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine's ends of the cables: the uplink first, then the ports in order.
    #[must_use]
    pub fn cables(&self) -> Vec<Arc<Cable>> {
        self.cables.clone()
    }

    /// One more computer of the hospital, with `address` on `eth0`. `name` is also its cable's on the bridge: at most 15
    /// characters, and not used yet.
    ///
    /// # Errors
    /// As [`Host::ip`].
    pub fn join(&self, name: &str, address: Ipv4Addr) -> Result<Host> {
        hospital::on_lan(&self.hospital, name, address)
    }

    /// What the hospital's plain DHCP server has given out: a line a lease, with the Ethernet and the IP address.
    #[must_use]
    pub fn leases(&self) -> String {
        // No file is no lease yet.
        std::fs::read_to_string(self.directory.path().join("leases")).unwrap_or_default()
    }

    /// The host on port `number`, from 1.
    ///
    /// # Panics
    /// When there is no such port.
    #[must_use]
    pub fn instrument(&self, number: usize) -> &Host {
        &self.instruments[number - 1]
    }
}

/// Whether this process may build a lab as it is.
#[must_use]
pub fn permitted() -> bool {
    Namespace::new().is_ok()
}

/// Starts this program again as root of its own user namespace, when it may not build a lab as it is. To be called
/// first thing in `main`; returns when nothing had to be done.
///
/// # Errors
/// When user namespaces are not to be had either.
pub fn enter_user_namespace() -> Result<()> {
    if permitted() {
        return Ok(());
    }
    let refused = Error::Setting(
        "the lab needs network namespaces: run it as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
            .to_owned(),
    );
    if std::env::var_os(INSIDE).is_some() || !user_namespace_is_to_be_had() {
        return Err(refused);
    }
    let program = std::env::current_exe().map_err(|e| Error::Network("find this program", e))?;
    let mut again = in_user_namespace();
    again.arg(program).args(std::env::args_os().skip(1));
    // Returns only when it failed.
    let source = again.env(INSIDE, "1").exec();
    log::debug!("unshare: {source}");
    Err(refused)
}

/// `unshare` into a user namespace with a network of its own; the program is still to be named.
fn in_user_namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--"]);
    command
}

/// Tried, because the program that is replaced by a failing `unshare` cannot say what to do any more.
fn user_namespace_is_to_be_had() -> bool {
    let mut trial = in_user_namespace();
    let trial = trial.arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
pub(crate) mod tests;
