//! What an instrument may do: use the services of its port, and answer a session that is open.

use std::net::{IpAddr, Ipv4Addr};

use super::{Answer, Kind, Moment, Packet, State, is_udp};
use crate::model::Port;

pub(super) fn verdict(port: &Port, moment: &Moment, packet: &Packet) -> Answer {
    let (gateway, instrument) = (IpAddr::V4(port.address.addr()), IpAddr::V4(port.instrument));
    if packet.from.is_ipv6() || packet.to.is_ipv6() {
        return Answer::silent("Ports do not speak IPv6.");
    }
    if let (Some(pinned), Some(station)) = (port.mac, packet.station)
        && pinned != station
    {
        return Answer::silent(format!(
            "Port {} listens to the station {pinned} only.",
            port.name
        ));
    }
    if port.dhcp && asks_for_address(packet, gateway, instrument) {
        return Answer::delivered("The instrument may ask for its address by DHCP.");
    }
    if packet.from != instrument {
        return Answer::silent(format!(
            "At port {} only the instrument's own address {instrument} is heard.",
            port.name
        ));
    }
    if packet.to != gateway {
        return Answer::silent(format!(
            "An instrument reaches its port's address {gateway} and nothing beyond."
        ));
    }
    to_gateway(port, moment, packet.kind)
}

fn asks_for_address(packet: &Packet, gateway: IpAddr, instrument: IpAddr) -> bool {
    let everybody = IpAddr::V4(Ipv4Addr::BROADCAST);
    let known = packet.from == instrument && [everybody, gateway].contains(&packet.to);
    // Without an address it asks everybody (RFC 2131 §4.1).
    let unknown = packet.from.is_unspecified() && packet.to == everybody;
    is_udp(packet.kind, 68, 67) && (known || unknown)
}

fn to_gateway(port: &Port, moment: &Moment, kind: Kind) -> Answer {
    match kind {
        Kind::Transport {
            state: State::Stray, ..
        } => Answer::silent("It belongs to no connection."),
        Kind::Transport {
            protocol,
            source,
            state: State::Answers,
            ..
        } => {
            if moment.is_open(port, protocol, source) {
                Answer::delivered("It answers a remote session that is open.")
            } else {
                Answer::silent("It answers a remote session that is over.")
            }
        }
        Kind::Transport {
            protocol,
            destination,
            state: State::Opens,
            ..
        } => {
            let offered = port
                .services
                .iter()
                .find(|service| (service.protocol, service.port) == (protocol, destination));
            match offered {
                Some(service) => {
                    Answer::delivered(format!("Port {} offers the service {}.", port.name, service.name))
                }
                None => Answer::silent(format!(
                    "Port {} offers nothing at {protocol}/{destination}.",
                    port.name
                )),
            }
        }
        Kind::Echo => Answer::delivered("The instrument may see whether the box is there."),
        Kind::Error => {
            Answer::delivered("Packets of a connection are too large for the way to the instrument.")
        }
        Kind::Neighbour(_) | Kind::Unasked | Kind::Other(_) => {
            Answer::silent("An instrument may use its services, DHCP and ping, and nothing else.")
        }
    }
}
