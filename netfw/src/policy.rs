//! Who may talk to whom, as promises: written from the description's words and independent of the rules that keep
//! them, so that each can be held against the other.

use std::net::IpAddr;

use crate::model::{Mac, Opening, PortName, Protocol};

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
    /// Anything else, by its protocol's number.
    Other(u8),
}

/// What a packet is within its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The first one.
    Opens,
    /// One of a connection the other side opened, which was allowed when it was opened.
    Answers,
    /// One that fits no connection, such as a TCP SYN with ACK out of nothing.
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
