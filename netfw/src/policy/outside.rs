//! What the hospital's network and the far end of a remote session may do.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{Answer, Kind, Moment, Neighbour, Packet, State, is_udp};
use crate::model::{Addressing, Ipv6, Network};

/// From the hospital's network: nothing is offered there; the box's own connections are answered.
pub(super) fn from_hospital(network: &Network, moment: &Moment, packet: &Packet) -> Answer {
    if packet.from.is_ipv6() && network.uplink.ipv6 == Ipv6::Off {
        return Answer::silent("IPv6 is switched off.");
    }
    if !can_be_answered(network, moment, packet.from) && !packet.from.is_unspecified() {
        return Answer::silent("Nobody in the hospital's network has the address it claims to come from.");
    }
    let (group, own) = (
        listens_to(network, moment, packet.to),
        network.is_own(moment, packet.to),
    );
    if !group && !own {
        return Answer::silent("It is not for the box, which is nobody's router.");
    }
    if let Some(purpose) = link_affairs(network, packet) {
        return Answer::delivered(purpose);
    }
    if group || packet.from.is_unspecified() {
        return Answer::silent("There is nobody to answer.");
    }
    match packet.kind {
        Kind::Transport {
            state: State::Stray, ..
        }
        | Kind::Unasked => Answer::silent("It belongs to nothing the box knows."),
        Kind::Transport {
            state: State::Answers,
            ..
        } => Answer::delivered("It answers a connection the box opened."),
        Kind::Error => Answer::delivered("It tells of a connection the box opened."),
        // The kernel tracks none of them, so no refusal would belong to anything.
        Kind::Neighbour(_) => Answer::silent("What neighbours tell each other is not answered."),
        Kind::Transport {
            state: State::Opens, ..
        }
        | Kind::Echo
        | Kind::Other(_) => Answer::refused("The box offers nothing to the hospital's network, and says so."),
    }
}

/// Whether an answer to `from` would reach one host, and would leave by the uplink.
fn can_be_answered(network: &Network, moment: &Moment, from: IpAddr) -> bool {
    if from.is_loopback() || from.is_unspecified() || is_group(network, moment, from) {
        return false;
    }
    if network.is_own(moment, from) || beside_uplink(network, moment, from) {
        return false;
    }
    match (from, &network.uplink.addressing) {
        (
            IpAddr::V4(from),
            Addressing::Static {
                address,
                gateway: None,
            },
        ) => address.contains(&from),
        _ => true,
    }
}

/// Whether the way to `address` is that of remote sessions.
fn beside_uplink(network: &Network, moment: &Moment, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else {
        return false;
    };
    let tunnel = moment.tunnel.is_some_and(|tunnel| tunnel.contains(&address));
    tunnel
        || network
            .open_pairs(moment)
            .any(|(outer, _)| outer.contains(&address))
}

/// Whether the address is one of many hosts at once.
fn is_group(network: &Network, moment: &Moment, address: IpAddr) -> bool {
    let everybody = |own: IpNet| own.prefix_len() < 31 && own.broadcast() == address;
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || network.own(moment).any(everybody),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// Whether the box is among those that the address of a group is for: everybody on the link, and in IPv6 those whose
/// address ends alike (RFC 4291 §2.7.1).
fn listens_to(network: &Network, moment: &Moment, group: IpAddr) -> bool {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let IpAddr::V6(group6) = group else {
        return is_group(network, moment, group) && !group.is_multicast();
    };
    let ends_alike = |own: IpNet| match own.addr() {
        IpAddr::V6(own) => group6 == solicited_node(own),
        IpAddr::V4(_) => false,
    };
    group6 == ALL_NODES || network.own(moment).any(ends_alike)
}

fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let [high, low] = [u16::from_be_bytes([0xff, a]), u16::from_be_bytes([b, c])];
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low)
}

/// What a link needs to work at all.
fn link_affairs(network: &Network, packet: &Packet) -> Option<&'static str> {
    let uplink = &network.uplink;
    if uplink.addressing == Addressing::Dhcp && packet.from.is_ipv4() && is_udp(packet.kind, 67, 68) {
        return Some("The hospital's DHCP server gives the uplink its address.");
    }
    let IpAddr::V6(from) = packet.from else {
        return None;
    };
    match packet.kind {
        Kind::Neighbour(Neighbour::Discovery) => Some("IPv6 neighbours find each other."),
        Kind::Neighbour(Neighbour::ListenerQuery) if from.is_unicast_link_local() => {
            Some("A switch asks which groups the box listens to.")
        }
        Kind::Neighbour(Neighbour::RouterAdvertisement)
            if uplink.ipv6 == Ipv6::Slaac && from.is_unicast_link_local() =>
        {
            Some("A router of the link tells which network this is.")
        }
        _ => None,
    }
}

/// From the far end of a remote session: what is open at this moment, and nothing of the box itself.
pub(super) fn from_tunnel(network: &Network, moment: &Moment, packet: &Packet) -> Answer {
    let there =
        |tunnel: Ipv4Net| IpNet::V4(tunnel).contains(&packet.from) && !network.is_own(moment, packet.from);
    if !moment.tunnel.is_none_or(there) {
        return Answer::silent("Nobody in the tunnel has the address it claims to come from.");
    }
    let Some(port) = network.behind(packet.to) else {
        return Answer::silent("A remote session reaches instruments that allow one, and nothing else.");
    };
    match packet.kind {
        Kind::Transport {
            protocol,
            destination,
            state: State::Opens,
            ..
        } if moment.is_open(port, protocol, destination) => {
            Answer::delivered(format!("{protocol}/{destination} of {} is open.", port.name))
        }
        Kind::Error if moment.any_open(port) => {
            Answer::delivered("Packets of an open session are too large for the way back.")
        }
        _ => Answer::silent(format!("Nothing of {} is open to this.", port.name)),
    }
}
