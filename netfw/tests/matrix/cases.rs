//! Every case of a site: each source zone, each destination, each protocol and port, and everything that lies.

mod hospital;
mod inside;
mod instrument;
mod ipv6;
mod session;

use std::net::{IpAddr, Ipv4Addr};

use crate::case::{Case, From, Setup, Side};
use crate::lab::LISTENED;
use crate::packet::{ACK, Body, FIN, Packet, RST, SYN, Shape};
use crate::site::{self, Site};
use crate::wire::{EVERYBODY, Station};

/// All cases of `site`.
pub(crate) fn all(site: &Site) -> Vec<Case> {
    let mut cases = Cases::default();
    for nth in 0..site.network.ports.len() {
        instrument::add(&mut cases, site, nth);
        ipv6::from_instrument(&mut cases, site, nth);
        inside::from_port(&mut cases, site, nth);
    }
    hospital::add(&mut cases, site);
    ipv6::from_hospital(&mut cases, site);
    inside::from_root(&mut cases, site);
    ipv6::from_root(&mut cases, site);
    session::add(&mut cases, site);
    cases.list
}

/// Cases so far. Each opens its own connection: no two have the same port of their own.
#[derive(Debug, Default)]
struct Cases {
    list: Vec<Case>,
}

/// What is sent somewhere: a name and a body that still lacks its source port.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Tcp(u16, u8),
    Udp(u16),
    Echo,
    Protocol(u8),
}

/// A TCP header's flags that fit no connection.
const STRAY: [u8; 9] = [
    SYN | ACK,
    ACK,
    RST,
    RST | ACK,
    FIN,
    FIN | ACK,
    0,
    SYN | FIN,
    // FIN, PSH, URG: a scanner's "Christmas tree".
    0x29,
];

impl Cases {
    /// A port of the sender's own.
    fn own_port(&self) -> u16 {
        20_000 + u16::try_from(self.list.len()).unwrap()
    }

    fn body(&self, probe: Probe) -> Body {
        let from = self.own_port();
        match probe {
            Probe::Tcp(to, flags) => Body::Tcp { from, to, flags },
            Probe::Udp(to) => Body::Udp { from, to },
            Probe::Echo => Body::Echo,
            Probe::Protocol(number) => Body::Other(number),
        }
    }

    fn push(&mut self, what: &'static str, from: &From, packet: Packet) {
        self.list.push(Case::new(what, from.clone(), packet));
    }

    fn push_after(&mut self, what: &'static str, before: (&From, Packet), from: &From, packet: Packet) {
        self.list
            .push(Case::new(what, from.clone(), packet).after(before.0.clone(), before.1));
    }

    fn push_over(&mut self, side: Side, before: (&From, Packet), from: &From, packet: Packet) {
        let what = match side {
            Side::Root => "a session that is over in the root namespace",
            Side::Port => "a session that is over at its port",
        };
        let mut case = Case::new(what, from.clone(), packet);
        case.setup = Setup::Over(before.0.clone(), Box::new(before.1), side);
        self.list.push(case);
    }

    /// Sends each of `probes` from `source` to `destination`.
    fn try_all(
        &mut self,
        what: &'static str,
        from: &From,
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        probes: &[Probe],
    ) {
        let (source, destination) = (source.into(), destination.into());
        for probe in probes {
            let packet = Packet::new(source, destination, self.body(*probe));
            self.push(what, from, packet);
        }
    }

    /// The same probes, torn, in fragments and with a way of their own.
    fn in_pieces(&mut self, from: &From, source: Ipv4Addr, destination: Ipv4Addr, probes: &[Probe]) {
        for probe in probes {
            for shape in [Shape::Split, Shape::Torn, Shape::Routed] {
                let packet = Packet::new(source, destination, self.body(*probe)).shaped(shape);
                self.push("in pieces", from, packet);
            }
        }
    }
}

/// Everything there is to try at an address.
fn everything() -> Vec<Probe> {
    let tcp = LISTENED.iter().map(|port| Probe::Tcp(*port, SYN));
    let udp = LISTENED.iter().map(|port| Probe::Udp(*port));
    let others = [
        Probe::Tcp(9, SYN),
        Probe::Udp(9),
        Probe::Echo,
        Probe::Protocol(47),
    ];
    tcp.chain(udp).chain(others).collect()
}

/// One of each sort, for addresses that nobody should be reached at.
const FEW: [Probe; 7] = [
    Probe::Tcp(22, SYN),
    Probe::Tcp(8443, SYN),
    Probe::Udp(53),
    Probe::Udp(67),
    Probe::Udp(514),
    Probe::Echo,
    Probe::Protocol(47),
];

/// A frame to the box's card, from a station on a wire.
fn to_card(wire: usize, name: &'static str, station: Station) -> From {
    From::Wire {
        wire,
        name,
        station,
        to: site::card(wire),
        astray: false,
    }
}

/// The same sender, with the frame addressed as `destination` asks for (RFC 1112 §6.4).
fn addressed(from: &From, destination: Ipv4Addr, broadcast: Ipv4Addr) -> From {
    let mut from = from.clone();
    if let From::Wire { to, .. } = &mut from {
        if destination.is_multicast() {
            let [_, b, c, d] = destination.octets();
            *to = [1, 0, 0x5e, b & 0x7f, c, d];
        } else if destination.is_broadcast() || destination == broadcast {
            *to = EVERYBODY;
        }
    }
    from
}

/// ICMP messages nobody asked for: type, code.
const UNASKED: [(u8, u8); 8] = [(3, 1), (3, 4), (4, 0), (5, 1), (9, 0), (11, 0), (13, 0), (17, 0)];

/// An ICMP message that quotes a packet nobody sent.
fn unasked(kind: u8, code: u8, source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Packet {
    let about = Packet::new(destination, source, Body::Udp { from: port, to: 7 });
    let rest = match (kind, code) {
        // A redirect names the better router: the sender itself.
        (5, _) => source.octets(),
        // The next hop's MTU (RFC 1191 §4).
        (3, 4) => [0, 0, 2, 0],
        _ => [0; 4],
    };
    Packet::new(
        source,
        destination,
        Body::Error {
            kind,
            code,
            rest,
            about: Box::new(about),
        },
    )
}

/// What a router says of a packet that does not fit its next link (RFC 1191 §4); said by `router`.
fn too_large(about: &Packet, router: Ipv4Addr) -> Packet {
    let body = Body::Error {
        kind: 3,
        code: 4,
        rest: [0, 0, 5, 0],
        about: Box::new(about.clone()),
    };
    Packet::new(router, about.source, body)
}
