//! Random sites: a network as somebody may describe it, and the hospital around it.
//!
//! A site is a function of its seed alone, so a failure is replayed with `MATRIX_SEED`.

mod random;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netfw::model::{Addressing, Ipv6, Network, Opening, PortName};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::packet::{Body, Packet};
use crate::wire::{Host, Station};

/// A site: the description, and what no description says.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) seed: u64,
    pub(crate) network: Network,
    /// The box's address on the uplink, configured or leased.
    pub(crate) address: Ipv4Net,
    /// What its endpoint names resolve to, by their place among the endpoints.
    pub(crate) resolved: Vec<(usize, IpAddr)>,
    /// Ports with a session open to everything they offer.
    pub(crate) sessions: Vec<usize>,
}

/// The network in which everything on the uplink's IPv6 has its address.
const LAN6: &str = "fd00:9::/64";
/// Who is beyond the hospital's router.
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
/// The box's address in the tunnel.
pub(crate) const TUNNEL_END: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// The engineer's address in the tunnel.
pub(crate) const ENGINEER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 2);
/// The box's card on wire n is 02:00:00:00:00:n.
pub(crate) fn card(wire: usize) -> Station {
    [2, 0, 0, 0, 0, u8::try_from(wire).unwrap()]
}

/// The hosts' stations begin with 06, then the wire.
pub(crate) fn station(wire: usize, number: u8) -> Station {
    [6, 0, 0, 0, u8::try_from(wire).unwrap(), number]
}

impl Site {
    /// The site of `seed`. Without `vlans` its uplink is in none: not every kernel has them.
    pub(crate) fn new(seed: u64, vlans: bool) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        random::sites(seed, vlans)
            .new_tree(&mut runner)
            .unwrap()
            .current()
    }

    /// What is open to remote sessions.
    pub(crate) fn open(&self) -> impl Iterator<Item = (PortName, Opening)> {
        let ports = self.sessions.iter().map(|nth| &self.network.ports[*nth]);
        ports.flat_map(|port| port.remote.iter().map(|opening| (port.name.clone(), *opening)))
    }

    /// A packet to a service address as the instrument sees it; any other as it is.
    pub(crate) fn translated(&self, packet: &Packet) -> Packet {
        let mut packet = packet.clone();
        for (nth, port) in self.network.ports.iter().enumerate() {
            let pair = self.network.session_pair(nth);
            if pair.is_some_and(|(_, inner)| packet.destination == inner.addr()) {
                packet.source = port.address.addr().into();
                packet.destination = port.instrument.into();
                return packet;
            }
        }
        packet
    }

    /// The nth host's address on the uplink's network.
    pub(crate) fn lan(&self, number: u32) -> Ipv4Addr {
        (u32::from(self.address.network()) + number).into()
    }

    /// The same in IPv6.
    pub(crate) fn lan6(number: u16) -> Ipv6Addr {
        let network: Ipv6Net = LAN6.parse().unwrap();
        let mut segments = network.addr().segments();
        segments[7] = number;
        segments.into()
    }

    /// The box's global IPv6 address, where it has one.
    pub(crate) fn own6(&self) -> Ipv6Addr {
        if self.network.uplink.ipv6 != Ipv6::Slaac {
            return Self::lan6(2);
        }
        let (network, own) = (Self::lan6(0).segments(), link_local(card(0)).segments());
        let mut segments = network;
        segments[4..].copy_from_slice(&own[4..]);
        segments.into()
    }

    /// What the hospital's router says of its network.
    pub(crate) fn advertisement(&self) -> Packet {
        let mut payload = vec![0; 8];
        payload.extend(prefix(Self::lan6(0)));
        Packet::new(
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            Body::Icmp {
                kind: 134,
                code: 0,
                rest: [64, 0, 0x07, 0x08],
                payload,
            },
        )
    }

    /// Who is on the hospital's network. A host's link-local address ends in its number as its others do.
    pub(crate) fn hospital(&self) -> Vec<Host> {
        let host = |name, number: u8, routes| Host {
            name,
            station: station(0, number),
            addresses: vec![
                self.lan(number.into()).into(),
                Self::lan6(number.into()).into(),
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number.into()).into(),
            ],
            routes,
        };
        vec![
            host("router", 1, true),
            host("name server", 3, false),
            host("centre", 10, false),
            host("stranger", 20, false),
        ]
    }

    /// The instrument on the nth port (from 0), and somebody else on its cable.
    pub(crate) fn instrument(&self, nth: usize) -> Vec<Host> {
        let port = &self.network.ports[nth];
        let own = port.mac.map_or(station(nth + 1, 50), |mac| mac.bytes());
        vec![Host {
            name: "instrument",
            station: own,
            addresses: vec![port.instrument.into()],
            routes: false,
        }]
    }
}

/// A prefix to make an address of: on the link, for two hours (RFC 4861 §4.6.2).
pub(crate) fn prefix(network: Ipv6Addr) -> Vec<u8> {
    let mut option = vec![3, 4, 64, 0xc0, 0, 0, 0x1c, 0x20, 0, 0, 0x1c, 0x20, 0, 0, 0, 0];
    option.extend(network.octets());
    option
}

/// The address a card makes of its station (RFC 4291 §2.5.1).
pub(crate) fn link_local(station: Station) -> Ipv6Addr {
    let [a, b, c, d, e, f] = station.map(u16::from);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        (a ^ 2) << 8 | b,
        c << 8 | 0xff,
        0xfe00 | d,
        e << 8 | f,
    )
}

pub(crate) fn text(station: Station) -> String {
    station.map(|byte| format!("{byte:02x}")).join(":")
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network {
            uplink,
            ports,
            endpoints,
            ..
        } = &self.network;
        write!(f, "MATRIX_SEED={}: uplink {} ", self.seed, self.address)?;
        f.write_str(if uplink.addressing == Addressing::Dhcp {
            "by DHCP"
        } else {
            "static"
        })?;
        if let Some(vlan) = uplink.vlan {
            write!(f, ", VLAN {vlan}")?;
        }
        write!(
            f,
            ", IPv6 {:?}, {} name servers, {} endpoints",
            uplink.ipv6,
            uplink.dns.len(),
            endpoints.len()
        )?;
        for (nth, port) in ports.iter().enumerate() {
            let open = if self.sessions.contains(&nth) {
                ", session open"
            } else {
                ""
            };
            let pinned = if port.mac.is_some() { ", pinned" } else { "" };
            let dhcp = if port.dhcp { ", DHCP" } else { "" };
            let services: Vec<_> = port.services.iter().map(|service| service.name).collect();
            write!(
                f,
                "; {} {} for {} ({}{dhcp}{pinned}{open})",
                port.name,
                port.address,
                port.instrument,
                services.join(" ")
            )?;
        }
        Ok(())
    }
}
