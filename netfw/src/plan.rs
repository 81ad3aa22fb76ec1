//! What the kernel is to look like, from the description alone: no clock, no kernel, no order of discovery.
//!
//! Invariants: each port is a namespace of its own with one link in it; no namespace has a route to another; every
//! namespace has a table that denies by default and forwarding switched off. What a remote session needs beyond that
//! (a pair of links, forwarding on exactly these) is in [`SessionPlan`] and exists only while one is open.

mod session;
mod sysctl;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::model::{Addressing, Ipv6, Mac, Mtu, Network, Nic, Port, VlanId};
use crate::ruleset::{self, Table};

pub use session::{PortSession, SessionEnd, SessionPlan};
pub use sysctl::Sysctl;

/// The uplink's name in the root namespace.
pub const UPLINK: &str = "uplink";
/// The card's name in the root namespace, where the uplink is a VLAN on it.
pub const TRUNK: &str = "trunk";
/// The link in the root namespace that remote sessions come in by; whoever opens the tunnel makes it.
pub const TUNNEL: &str = "tunnel";
/// The name, in a port's namespace, of its end of the pair of links that a session goes through.
pub const SESSION: &str = "session";

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetPlan {
    /// The root namespace, with the uplink.
    pub root: NamespacePlan,
    /// One namespace a port, in the order they were described.
    pub ports: Vec<NamespacePlan>,
    /// What sessions need, where there is a session prefix.
    pub sessions: Option<SessionPlan>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePlan {
    /// Its name; for the root namespace, the word `root`.
    pub name: String,
    /// Its one table.
    pub table: Table,
    /// Settings of the namespace, made before a link is brought into it.
    pub sysctls: Vec<Sysctl>,
    /// Its one link besides loopback.
    pub link: LinkPlan,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlan {
    /// What it is called in its namespace.
    pub name: String,
    /// The card.
    pub nic: Nic,
    /// When the link is a VLAN on the card; the card itself is called [`TRUNK`] then.
    pub trunk: Option<Trunk>,
    /// The largest packet, of the link and of a card below it; none: whatever the card has.
    pub mtu: Option<Mtu>,
    /// Its only address; none: somebody else (a DHCP client) looks after addresses and routes.
    pub address: Option<Ipv4Net>,
    /// The default router.
    pub gateway: Option<Ipv4Addr>,
    /// Its configured IPv6 address and default router; none: IPv6 is off or the kernel looks after it.
    pub ipv6: Option<(Ipv6Net, Option<Ipv6Addr>)>,
    /// A neighbour whose Ethernet address is pinned.
    pub neighbour: Option<(Ipv4Addr, Mac)>,
    /// Settings of the link, made before it is brought up.
    pub sysctls: Vec<Sysctl>,
}

/// The card below a VLAN: up, without addresses, without IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// The VLAN.
    pub vlan: VlanId,
    /// Settings of the card, made before it is brought up.
    pub sysctls: Vec<Sysctl>,
}

impl NetPlan {
    /// Plans `network`.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        Self {
            root: root_plan(network),
            ports: network
                .ports
                .iter()
                .map(|port| port_plan(port, network))
                .collect(),
            sessions: SessionPlan::new(network),
        }
    }
}

fn root_plan(network: &Network) -> NamespacePlan {
    let uplink = &network.uplink;
    let (address, gateway) = match uplink.addressing {
        Addressing::Dhcp => (None, None),
        Addressing::Static { address, gateway } => (Some(address), gateway),
    };
    let ipv6 = match uplink.ipv6 {
        Ipv6::Off | Ipv6::Slaac => None,
        Ipv6::Static { address, gateway } => Some((address, gateway)),
    };
    NamespacePlan {
        name: "root".to_owned(),
        table: ruleset::root_table(network),
        sysctls: sysctl::of_root(uplink.ipv6),
        link: LinkPlan {
            name: UPLINK.to_owned(),
            nic: uplink.nic.clone(),
            trunk: uplink.vlan.map(|vlan| Trunk {
                vlan,
                sysctls: sysctl::of_link(TRUNK),
            }),
            mtu: uplink.mtu,
            address,
            gateway,
            ipv6,
            neighbour: None,
            sysctls: sysctl::of_uplink(uplink.ipv6),
        },
    }
}

fn port_plan(port: &Port, network: &Network) -> NamespacePlan {
    let name = port.name.to_string();
    NamespacePlan {
        table: ruleset::port_table(port, network),
        sysctls: sysctl::of_namespace(),
        link: LinkPlan {
            nic: port.nic.clone(),
            trunk: None,
            mtu: None,
            address: Some(port.address),
            gateway: None,
            ipv6: None,
            neighbour: port.mac.map(|mac| (port.instrument, mac)),
            sysctls: sysctl::of_link(&name),
            name: name.clone(),
        },
        name,
    }
}

#[cfg(test)]
mod tests;
