//! What a network is to netfw: one uplink, instrument ports, the endpoints traffic may leave to, and the addresses of
//! remote sessions.
//!
//! Invariant: a value of these types is valid by itself (a newtype can only hold what its rule allows), and a
//! [`Network`] made by [`Network::new`] is valid as a whole: names, NICs and PCI paths are used once, the
//! instrument lies inside its port's prefix and is not the gateway, no port's prefix overlaps the static uplink, and
//! the session prefix overlaps nothing. Two ports *may* use the same prefix and the same instrument address: each port
//! is its own namespace.

mod newtype;
mod nic;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

pub use newtype::{Domain, Invalid, Mtu, PortName, VlanId};
pub use nic::{Mac, Nic, PciPath};

/// A transport protocol netfw can open a port for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

/// A service the box itself offers to the instrument at a port's gateway address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// What it is, for rule comments and socket names, e.g. `ingest`.
    pub name: &'static str,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port number, never 0.
    pub port: u16,
}

/// A port of an instrument that a remote session may be opened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opening {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port number, never 0.
    pub port: u16,
}

/// The host of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name, resolved on the box.
    Name(String),
}

/// One destination beyond the uplink that the box itself may talk to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What it is, for rule comments, e.g. `centre`.
    pub name: String,
    /// Its host.
    pub host: Host,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port number, never 0.
    pub port: u16,
}

/// How the uplink gets its IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// From the hospital's DHCP server, by a client that netfw does not run.
    Dhcp,
    /// Configured.
    Static {
        /// The box's address and the prefix length of its network.
        address: Ipv4Net,
        /// The default router, if there is one.
        gateway: Option<Ipv4Addr>,
    },
}

/// What the uplink does with IPv6. Ports never speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipv6 {
    /// Nothing: switched off.
    #[default]
    Off,
    /// Addresses and default routers from router advertisements (RFC 4862).
    Slaac,
    /// Configured; router advertisements are ignored.
    Static {
        /// The box's address and the prefix length of its network.
        address: Ipv6Net,
        /// The default router, if there is one; a link-local address will do.
        gateway: Option<Ipv6Addr>,
    },
}

/// The one link into the hospital's network. It stays in the root namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Its card.
    pub nic: Nic,
    /// The VLAN on that card, when the hospital's switch tags it; what comes untagged is then nobody's.
    pub vlan: Option<VlanId>,
    /// The largest packet, when it is not the card's own default.
    pub mtu: Option<Mtu>,
    /// Its addressing.
    pub addressing: Addressing,
    /// Its IPv6.
    pub ipv6: Ipv6,
    /// Name servers; each is also an allowed endpoint on port 53.
    pub dns: Vec<IpAddr>,
    /// Domains that names without a dot are looked up in. No rule depends on them.
    pub search: Vec<Domain>,
}

/// What one instrument may use of the box at once, so that a noisy one disturbs nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once to each service; more are dropped.
    pub connections: u32,
    /// New connections a second to each service, after a burst of twice as many; more are dropped.
    pub connections_per_second: u32,
    /// Packets a second of any kind, after a burst of as many; more are dropped before the kernel tracks them.
    pub packets_per_second: u32,
}

/// One instrument's port. It is moved into a namespace of its own, named [`Port::name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, and its namespace's.
    pub name: PortName,
    /// Its card.
    pub nic: Nic,
    /// The box's address on this port (the instrument's gateway) and the prefix length.
    pub address: Ipv4Net,
    /// The instrument's one address: fixed, or handed out as the only lease.
    pub instrument: Ipv4Addr,
    /// Whether the box answers DHCP here with that one lease.
    pub dhcp: bool,
    /// The instrument's Ethernet address, when it is pinned.
    pub mac: Option<Mac>,
    /// What the box offers here besides DHCP.
    pub services: Vec<Service>,
    /// What a remote session may be opened to on the instrument.
    pub remote: Vec<Opening>,
    /// What the instrument may use of the box.
    pub limits: Limits,
}

/// The whole description, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The uplink.
    pub uplink: Uplink,
    /// The ports, in the order they were described.
    pub ports: Vec<Port>,
    /// Where the box may connect to through the uplink.
    pub endpoints: Vec<Endpoint>,
    /// Addresses for remote sessions, /16 to /30. The nth port has the nth pair of them (a /31, RFC 3021): the even
    /// one is the root namespace's end, the odd one is the *service address* the instrument is reached at, unique on
    /// this box whatever the instruments' own addresses are.
    pub sessions: Option<Ipv4Net>,
}

impl Protocol {
    /// Its name as nftables, `/etc/services` and people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.port)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            connections_per_second: 50,
            packets_per_second: 5000,
        }
    }
}

impl Network {
    /// The pair of session addresses of the nth port: root's end, and the instrument's service address. None without
    /// a session prefix, or where it ends.
    #[must_use]
    pub fn session_pair(&self, nth: usize) -> Option<(Ipv4Net, Ipv4Net)> {
        let prefix = self.sessions?;
        let offset = u32::try_from(nth).ok()?.checked_mul(2)?;
        let even = u32::from(prefix.network()).checked_add(offset)?;
        let pair = |bits: u32| Ipv4Net::new(bits.into(), 31).ok();
        let (outer, inner) = (pair(even)?, pair(even | 1)?);
        prefix.contains(&inner.addr()).then_some((outer, inner))
    }

    /// Whether a remote session can be opened to anything at all.
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        self.sessions.is_some() && self.ports.iter().any(|port| !port.remote.is_empty())
    }

    /// The service address of the port called `name`, if sessions to it are possible at all.
    #[must_use]
    pub fn service_address(&self, name: &PortName) -> Option<Ipv4Addr> {
        let nth = self.ports.iter().position(|port| port.name == *name)?;
        self.session_pair(nth).map(|(_, inner)| inner.addr())
    }
}
