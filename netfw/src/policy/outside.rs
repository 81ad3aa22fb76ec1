//! What the hospital's network and the far end of a remote session may do.

use std::net::IpAddr;

use super::{Answer, Kind, Moment, Neighbour, Packet, State, is_group, is_udp};
use crate::model::{Addressing, Ipv6, Network};

/// From the hospital's network: nothing is offered there; the box's own connections are answered.
pub(super) fn from_hospital(network: &Network, moment: &Moment, packet: &Packet) -> Answer {
    if packet.from.is_ipv6() && network.uplink.ipv6 == Ipv6::Off {
        return Answer::silent("IPv6 is switched off.");
    }
    let spoofed = packet.from.is_loopback() || is_group(packet.from) || network.is_own(moment, packet.from);
    if spoofed {
        return Answer::silent("Nobody in the hospital's network has the address it claims to come from.");
    }
    let (group, own) = (is_group(packet.to), network.is_own(moment, packet.to));
    if !group && !own {
        return Answer::silent("It is not for the box, which is nobody's router.");
    }
    if let Some(purpose) = link_affairs(network, packet) {
        return Answer::delivered(purpose);
    }
    if group || !can_be_answered(network, packet.from) {
        return Answer::silent("There is nobody to answer.");
    }
    match packet.kind {
        Kind::Transport {
            state: State::Stray, ..
        } => Answer::silent("It belongs to no connection."),
        Kind::Transport {
            state: State::Answers,
            ..
        } => Answer::delivered("It answers a connection the box opened."),
        Kind::Error => Answer::delivered("It tells of a connection the box opened."),
        Kind::Transport {
            state: State::Opens, ..
        }
        | Kind::Echo
        | Kind::Neighbour(_)
        | Kind::Other(_) => Answer::refused("The box offers nothing to the hospital's network, and says so."),
    }
}

/// Whether an answer to `from` would leave by the uplink.
fn can_be_answered(network: &Network, from: IpAddr) -> bool {
    match (from, &network.uplink.addressing) {
        (from, _) if from.is_unspecified() => false,
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
