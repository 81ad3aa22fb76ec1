//! What the kernel is to look like, from the description alone: no clock, no kernel, no order of discovery.
//!
//! Invariants: each port is a namespace of its own with one link in it; no namespace has a route to another; every
//! namespace has a table that denies by default and forwarding switched off.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::model::{Addressing, Mac, Network, Nic, Port};
use crate::ruleset::{self, Table};

/// The uplink's name in the root namespace.
pub const UPLINK: &str = "uplink";

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetPlan {
    /// The root namespace, with the uplink.
    pub root: NamespacePlan,
    /// One namespace a port, in the order they were described.
    pub ports: Vec<NamespacePlan>,
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
    /// Its only address; none: somebody else (a DHCP client) looks after addresses and routes.
    pub address: Option<Ipv4Net>,
    /// The default router.
    pub gateway: Option<Ipv4Addr>,
    /// A neighbour whose Ethernet address is pinned.
    pub neighbour: Option<(Ipv4Addr, Mac)>,
    /// Settings of the link, made before it is brought up.
    pub sysctls: Vec<Sysctl>,
}

/// One kernel setting below `/proc/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, e.g. `net/ipv4/ip_forward`.
    pub path: String,
    /// Its value.
    pub value: &'static str,
}

impl NetPlan {
    /// Plans `network`.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let (address, gateway) = match network.uplink.addressing {
            Addressing::Dhcp => (None, None),
            Addressing::Static { address, gateway } => (Some(address), gateway),
        };
        let root = NamespacePlan {
            name: "root".to_owned(),
            table: ruleset::root_table(network),
            sysctls: namespace_sysctls(),
            link: LinkPlan {
                name: UPLINK.to_owned(),
                nic: network.uplink.nic.clone(),
                address,
                gateway,
                neighbour: None,
                sysctls: link_sysctls(UPLINK),
            },
        };
        Self {
            root,
            ports: network.ports.iter().map(port_plan).collect(),
        }
    }
}

fn port_plan(port: &Port) -> NamespacePlan {
    let name = port.name.to_string();
    NamespacePlan {
        table: ruleset::port_table(port),
        sysctls: namespace_sysctls(),
        link: LinkPlan {
            nic: port.nic.clone(),
            address: Some(port.address),
            gateway: None,
            neighbour: port.mac.map(|mac| (port.instrument, mac)),
            sysctls: link_sysctls(&name),
            name: name.clone(),
        },
        name,
    }
}

/// Forwarding first: the kernel resets the others when it changes (`Documentation/networking/ip-sysctl.rst`).
fn namespace_sysctls() -> Vec<Sysctl> {
    let mut settings = vec![
        sysctl("net/ipv4/ip_forward", "0"),
        sysctl("net/ipv4/tcp_syncookies", "1"),
        sysctl("net/ipv4/icmp_echo_ignore_broadcasts", "1"),
    ];
    // What a link gets when it comes, and what holds for all of them whatever each says.
    settings.extend(link_sysctls("default"));
    settings.extend(link_sysctls("all"));
    settings
}

/// The same source (`ip-sysctl.rst`): arp_ignore 1, answer only for an address of the link the question came by;
/// arp_announce 2, ask only with an address of the link; rp_filter 1, RFC 3704 strict.
fn link_sysctls(link: &str) -> Vec<Sysctl> {
    let ipv4 = |key: &str, value| sysctl(&format!("net/ipv4/conf/{link}/{key}"), value);
    vec![
        sysctl(&format!("net/ipv6/conf/{link}/disable_ipv6"), "1"),
        ipv4("rp_filter", "1"),
        ipv4("arp_ignore", "1"),
        ipv4("arp_announce", "2"),
        ipv4("accept_redirects", "0"),
        ipv4("secure_redirects", "0"),
        ipv4("send_redirects", "0"),
        ipv4("accept_source_route", "0"),
    ]
}

fn sysctl(path: &str, value: &'static str) -> Sysctl {
    Sysctl {
        path: path.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests;
