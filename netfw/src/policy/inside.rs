//! What the box's own programs may do.

use std::net::IpAddr;

use super::{Answer, Kind, Moment, Neighbour, Packet, State, is_udp};
use crate::model::{Addressing, Host, Ipv6, Network, Port, Protocol};

/// In the root namespace: the configured endpoints and name servers, and the box itself. A program that tries more
/// is told at once.
pub(super) fn from_root(network: &Network, moment: &Moment, packet: &Packet) -> Answer {
    if packet.to.is_loopback() || network.is_own(moment, packet.to) {
        return Answer::delivered("The box may talk to itself.");
    }
    if let Some(port) = network.behind(packet.to) {
        return match packet.kind {
            Kind::Error if moment.any_open(port) => {
                Answer::delivered("Packets of an open session are too large for the tunnel.")
            }
            _ => Answer::refused("The box itself has no business with an instrument."),
        };
    }
    if packet.to.is_ipv6() && network.uplink.ipv6 == Ipv6::Off {
        return Answer::refused("IPv6 is switched off.");
    }
    let allowed = match packet.kind {
        Kind::Transport {
            protocol,
            destination,
            ..
        } => endpoint(network, moment, packet.to, protocol, destination),
        Kind::Neighbour(what) => neighbour(network.uplink.ipv6, what),
        Kind::Echo | Kind::Error | Kind::Unasked | Kind::Other(_) => None,
    };
    if let Some(reason) = allowed {
        return Answer::delivered(reason);
    }
    if network.uplink.addressing == Addressing::Dhcp && is_udp(packet.kind, 68, 67) {
        return Answer::delivered("The uplink gets its address by DHCP.");
    }
    Answer::refused("It is neither a configured endpoint nor a name server.")
}

fn endpoint(network: &Network, moment: &Moment, to: IpAddr, protocol: Protocol, port: u16) -> Option<String> {
    let known = network.endpoints.iter().find(|endpoint| {
        (&endpoint.host, endpoint.protocol, endpoint.port) == (&Host::Ip(to), protocol, port)
    });
    if let Some(endpoint) = known {
        return Some(format!("The box may reach {}.", endpoint.name));
    }
    if moment.endpoints.contains(&(to, protocol, port)) {
        return Some("The name of an endpoint leads there.".to_owned());
    }
    let server = network.uplink.dns.contains(&to) || moment.dns.contains(&to);
    (server && port == 53).then(|| "It is a name server.".to_owned())
}

fn neighbour(ipv6: Ipv6, what: Neighbour) -> Option<String> {
    let needed = match what {
        Neighbour::Discovery | Neighbour::ListenerReport => true,
        Neighbour::RouterSolicitation => ipv6 == Ipv6::Slaac,
        Neighbour::RouterAdvertisement | Neighbour::ListenerQuery => false,
    };
    needed.then(|| "The link's own affairs.".to_owned())
}

/// In a port's namespace: answers to the instrument.
pub(super) fn from_port(port: &Port, packet: &Packet) -> Answer {
    let gateway = IpAddr::V4(port.address.addr());
    if port.dhcp && packet.from == gateway && is_udp(packet.kind, 67, 68) {
        return Answer::delivered("The box gives the instrument its address by DHCP.");
    }
    let to_instrument = packet.from == gateway && packet.to == IpAddr::V4(port.instrument);
    match packet.kind {
        Kind::Transport {
            state: State::Answers,
            ..
        } if to_instrument => Answer::delivered("The box answers its instrument."),
        _ => Answer::silent("The box opens nothing towards an instrument."),
    }
}
