//! Who may talk to whom, as promises: written from the description's words and independent of the rules that keep
//! them, so that each can be held against the other.
//!
//! [`Network::verdict`] answers for one packet, [`Network::promises`] says it in sentences. Neither knows of rates:
//! a packet that is allowed and one too many (see [`crate::model::Limits`]) is dropped in silence, a refusal that is
//! one too many is not sent.

mod inside;
mod instrument;
mod outside;
mod promises;

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::model::{Addressing, Ipv6, Mac, Network, Opening, Port, PortName, Protocol};

/// Where a packet comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Zone {
    /// A port's cable: the instrument, or whoever was plugged in instead.
    Instrument(PortName),
    /// The uplink's cable: the hospital's network.
    Hospital,
    /// Untagged frames on the card below an uplink that is a VLAN.
    Trunk,
    /// The tunnel of a remote session: somebody at the service centre.
    Tunnel,
    /// A program of the box in the root namespace.
    Box,
    /// A program of the box in a port's namespace.
    BoxAt(PortName),
}

/// What a packet is, beyond its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP or UDP, with source and destination port, in this state.
    Transport {
        /// Its protocol.
        protocol: Protocol,
        /// The sender's port.
        source: u16,
        /// The receiver's port.
        destination: u16,
        /// What it is within its connection.
        state: State,
    },
    /// An echo request (ICMP or ICMPv6).
    Echo,
    /// An ICMP or ICMPv6 error that quotes a packet of a connection which its receiver has: what path MTU discovery
    /// needs (RFC 1191, RFC 8201).
    Error,
    /// An ICMPv6 message of a link's own affairs (RFC 4861, RFC 3810).
    Neighbour(Neighbour),
    /// Any other ICMP or ICMPv6 message that answers or tells of nothing its receiver knows, such as an echo reply out
    /// of nothing.
    Unasked,
    /// Anything else, by its protocol's number; ICMP's for a question that is no echo request.
    Other(u8),
}

/// What a packet is within its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// One from the side that opens or opened the connection. The first one and any later one are judged alike:
    /// nothing passes because something passed before.
    Opens,
    /// One of a connection the other side opened, which was allowed when it was opened.
    Answers,
    /// One that fits no connection: any TCP segment out of nothing but a SYN.
    Stray,
}

/// ICMPv6 messages between neighbours on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Neighbour {
    /// Neighbour solicitation or advertisement.
    Discovery,
    /// Router solicitation.
    RouterSolicitation,
    /// Router advertisement.
    RouterAdvertisement,
    /// Multicast listener query.
    ListenerQuery,
    /// Multicast listener report, version 2.
    ListenerReport,
}

/// A packet on its way in, or out of a program of the box.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Where it comes from.
    pub zone: Zone,
    /// The sender's Ethernet address, when it comes from a cable.
    pub station: Option<Mac>,
    /// The source address.
    pub from: IpAddr,
    /// The destination address.
    pub to: IpAddr,
    /// What it is.
    pub kind: Kind,
}

/// What is true at the moment besides the description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moment {
    /// What is open to remote sessions just now.
    pub open: Vec<(PortName, Opening)>,
    /// Endpoints that names were resolved to.
    pub endpoints: Vec<(IpAddr, Protocol, u16)>,
    /// Name servers of the uplink's lease.
    pub dns: Vec<IpAddr>,
    /// The addresses the uplink has besides configured ones, with the lengths of their prefixes: its lease's, those
    /// from router advertisements, and its link-local one.
    pub own: Vec<IpNet>,
    /// The box's address in the tunnel of remote sessions, while there is one, with the length of its prefix.
    pub tunnel: Option<Ipv4Net>,
}

/// What becomes of a packet, as its sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It reaches whom it was for.
    Delivered,
    /// It does not, and its sender is told: a TCP reset, or ICMP "administratively prohibited".
    Refused,
    /// It does not, and nobody answers.
    Silent,
}

/// A verdict, and why, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, for people.
    pub reason: String,
}

impl Answer {
    fn delivered(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Delivered,
            reason: reason.into(),
        }
    }

    fn refused(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Refused,
            reason: reason.into(),
        }
    }

    fn silent(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Silent,
            reason: reason.into(),
        }
    }
}

impl Network {
    /// What becomes of `packet` at this `moment`.
    #[must_use]
    pub fn verdict(&self, moment: &Moment, packet: &Packet) -> Answer {
        match &packet.zone {
            Zone::Instrument(name) => self.at_port(name, |port| instrument::verdict(port, moment, packet)),
            Zone::BoxAt(name) => self.at_port(name, |port| inside::from_port(port, packet)),
            Zone::Hospital => outside::from_hospital(self, moment, packet),
            Zone::Trunk => Answer::silent("What comes untagged beside the uplink's VLAN is nobody's."),
            Zone::Tunnel => outside::from_tunnel(self, moment, packet),
            Zone::Box => inside::from_root(self, moment, packet),
        }
    }

    fn at_port(&self, name: &PortName, judge: impl FnOnce(&Port) -> Answer) -> Answer {
        let port = self.ports.iter().find(|port| port.name == *name);
        port.map_or_else(
            || Answer::silent(format!("There is no port {name}: its card stays switched off.")),
            judge,
        )
    }

    /// The uplink's addresses.
    fn own(&self, moment: &Moment) -> impl Iterator<Item = IpNet> {
        let v4 = match self.uplink.addressing {
            Addressing::Static { address, .. } => Some(IpNet::V4(address)),
            Addressing::Dhcp => None,
        };
        let v6 = match self.uplink.ipv6 {
            Ipv6::Static { address, .. } => Some(IpNet::V6(address)),
            Ipv6::Off | Ipv6::Slaac => None,
        };
        let uplink = v4.into_iter().chain(v6).chain(moment.own.iter().copied());
        let outer = self.open_pairs(moment).map(|(outer, _)| outer);
        uplink.chain(outer.chain(moment.tunnel).map(IpNet::V4))
    }

    /// Both ends of the links that open sessions go through.
    fn open_pairs(&self, moment: &Moment) -> impl Iterator<Item = (Ipv4Net, Ipv4Net)> {
        let ports = self.ports.iter().enumerate();
        let open = ports.filter(|(_, port)| moment.any_open(port));
        open.filter_map(|(nth, _)| self.session_pair(nth))
    }

    /// Whether `address` is the box's outside its ports.
    fn is_own(&self, moment: &Moment, address: IpAddr) -> bool {
        self.own(moment).any(|own| own.addr() == address)
    }

    /// The port whose instrument has the service address `address`.
    fn behind(&self, address: IpAddr) -> Option<&Port> {
        let reachable = self.ports.iter().filter(|port| !port.remote.is_empty());
        reachable
            .into_iter()
            .find(|port| self.service_address(&port.name).map(IpAddr::V4) == Some(address))
    }
}

impl Moment {
    /// Whether a session is open to this protocol and port of `port`.
    fn is_open(&self, port: &Port, protocol: Protocol, number: u16) -> bool {
        let wanted = Opening {
            protocol,
            port: number,
        };
        self.open
            .iter()
            .any(|(name, opening)| *name == port.name && *opening == wanted)
    }

    /// Whether a session is open to anything at `port`.
    fn any_open(&self, port: &Port) -> bool {
        self.open.iter().any(|(name, _)| *name == port.name)
    }
}

/// Whether this is UDP between these two ports, whatever its state.
fn is_udp(kind: Kind, from: u16, to: u16) -> bool {
    matches!(kind, Kind::Transport { protocol: Protocol::Udp, source, destination, .. }
        if (source, destination) == (from, to))
}

#[cfg(test)]
mod tests;
