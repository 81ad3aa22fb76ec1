//! What the policy says of a case.
//!
//! Below the policy lies the link: what no rule sees (a frame for another station, a torn fragment, a packet that
//! chooses its own way) is for nobody, and expected in silence.

use netfw::model::{Mac, Protocol};
use netfw::policy::{Answer, Kind, Moment, Neighbour, Packet as Asked, State, Verdict, Zone};

use crate::case::{Case, From, Setup, UPLINK};
use crate::packet::{Body, Packet, SYN, Shape};
use crate::site::Site;

/// What the policy says of `case`.
pub(crate) fn expected(site: &Site, moment: &Moment, case: &Case) -> Answer {
    if let Some(reason) = below(site, case) {
        return Answer {
            verdict: Verdict::Silent,
            reason: reason.to_owned(),
        };
    }
    let (zone, station) = origin(site, case);
    let asked = Asked {
        from: case.packet.source,
        to: case.packet.destination,
        zone,
        station,
        kind: kind(site, moment, case),
    };
    if case.closed().is_some() {
        let over = Moment {
            open: Vec::new(),
            ..moment.clone()
        };
        return site.network.verdict(&over, &asked);
    }
    site.network.verdict(moment, &asked)
}

/// Why no rule sees it.
fn below(site: &Site, case: &Case) -> Option<&'static str> {
    match case.packet.shape {
        Shape::Torn => return Some("a fragment without the others is nothing"),
        Shape::Routed => return Some("a packet that chooses its own way goes none"),
        Shape::Whole | Shape::Split => {}
    }
    let From::Wire { wire, to, astray, .. } = case.from else {
        return None;
    };
    let multicast = to[0] & 1 != 0;
    if !multicast && to != crate::site::card(wire) && to != [0; 6] {
        return Some("a frame for another station");
    }
    (astray && site.network.uplink.vlan.is_none()).then_some("a frame of a VLAN the box is not in")
}

/// ICMP that is neither a question nor an error: an answer, to nothing that was asked (RFC 792).
fn fits_no_question(case: &Case) -> bool {
    match &case.packet.body {
        Body::EchoReply => true,
        Body::Error { kind, .. } => case.packet.source.is_ipv4() && matches!(kind, 9 | 10 | 14 | 16 | 18),
        _ => false,
    }
}

fn origin(site: &Site, case: &Case) -> (Zone, Option<Mac>) {
    let port = |nth: usize| site.network.ports[nth - 1].name.clone();
    match case.from {
        From::Inside { inside: 0, .. } => (Zone::Box, None),
        From::Inside { inside, .. } => (Zone::BoxAt(port(inside)), None),
        From::Wire {
            wire,
            station,
            astray,
            ..
        } => {
            // A group's, which no sender has, is somebody else's for sure.
            let mac = crate::site::text(station)
                .parse()
                .unwrap_or_else(|_| "02:ff:ff:ff:ff:ff".parse().unwrap());
            let mac = Some(mac);
            match wire {
                UPLINK if astray => (Zone::Trunk, mac),
                UPLINK => (Zone::Hospital, mac),
                tunnel if tunnel > site.network.ports.len() => (Zone::Tunnel, None),
                wire => (Zone::Instrument(port(wire)), mac),
            }
        }
    }
}

fn kind(site: &Site, moment: &Moment, case: &Case) -> Kind {
    let stray = match &case.packet.body {
        Body::Tcp { flags, .. } => flags & 0x3f != SYN,
        Body::EchoReply => true,
        _ => false,
    };
    let state = match &case.setup {
        Setup::Nothing | Setup::Keep if stray => State::Stray,
        Setup::Nothing | Setup::Keep => State::Opens,
        Setup::Before(from, packet) | Setup::Over(from, packet, _) => {
            let before = Case::new("", from.clone(), (**packet).clone());
            let known = expected(site, moment, &before).verdict == Verdict::Delivered;
            match relation(&case.packet, packet, &site.translated(packet)) {
                Some(state) if known => state,
                // A datagram that answers nothing is like any other.
                _ if matches!(case.packet.body, Body::Udp { .. }) => State::Opens,
                _ => State::Stray,
            }
        }
    };
    match &case.packet.body {
        Body::Tcp { from, to, .. } => transport(Protocol::Tcp, *from, *to, state),
        Body::Udp { from, to } => transport(Protocol::Udp, *from, *to, state),
        Body::Echo => Kind::Echo,
        // What is over nobody has.
        Body::Error { .. } if case.closed().is_some() => Kind::Unasked,
        Body::Error { .. } if state == State::Answers => Kind::Error,
        _ if fits_no_question(case) => Kind::Unasked,
        Body::Icmp { kind, .. } if case.packet.source.is_ipv6() => match kind {
            133 => Kind::Neighbour(Neighbour::RouterSolicitation),
            134 => Kind::Neighbour(Neighbour::RouterAdvertisement),
            135 | 136 => Kind::Neighbour(Neighbour::Discovery),
            130 => Kind::Neighbour(Neighbour::ListenerQuery),
            143 => Kind::Neighbour(Neighbour::ListenerReport),
            _ => Kind::Other(58),
        },
        Body::EchoReply | Body::Icmp { .. } | Body::Error { .. } => Kind::Other(icmp(&case.packet)),
        Body::Other(protocol) => Kind::Other(*protocol),
    }
}

/// What `packet` is to the connection that `first` began: its next, or an answer. None: nothing. `beyond` is the same
/// first packet as the other side of a session sees it.
fn relation(packet: &Packet, first: &Packet, beyond: &Packet) -> Option<State> {
    let ports = |packet: &Packet| match packet.body {
        Body::Tcp { from, to, .. } => Some((6, from, to)),
        Body::Udp { from, to } => Some((17, from, to)),
        _ => None,
    };
    let tuple = |packet: &Packet| ports(packet).map(|ports| (packet.source, packet.destination, ports));
    match &packet.body {
        // Whichever way the packet went that it is about.
        Body::Error { about, .. } => {
            let known = [first, &first.reversed(), beyond].map(tuple);
            known.contains(&tuple(about)).then_some(State::Answers)
        }
        _ if tuple(packet) == tuple(first) => Some(State::Opens),
        _ => (tuple(packet) == tuple(&first.reversed())).then_some(State::Answers),
    }
}

fn transport(protocol: Protocol, source: u16, destination: u16, state: State) -> Kind {
    Kind::Transport {
        protocol,
        source,
        destination,
        state,
    }
}

fn icmp(packet: &Packet) -> u8 {
    if packet.source.is_ipv4() { 1 } else { 58 }
}

/// Whether whoever gets the packet of `case` answers it.
pub(crate) fn asks(case: &Case) -> bool {
    match &case.packet.body {
        Body::Tcp { flags, .. } => flags & 0x3f == SYN,
        Body::Udp { .. } => !case.packet.source.is_unspecified() && matches!(case.setup, Setup::Nothing),
        Body::Echo => true,
        _ => false,
    }
}
