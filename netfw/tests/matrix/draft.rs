//! A draft of the policy, until netfw has its own.

use std::net::{IpAddr, Ipv4Addr};

use netfw::model::{Addressing, Host, Network, Port, PortName, Protocol};
use netfw::policy::{Answer, Kind, Moment, Packet, State, Verdict, Zone};

pub(crate) fn answer(network: &Network, moment: &Moment, own: Ipv4Addr, packet: &Packet) -> Answer {
    let (verdict, reason) = decide(network, moment, own, packet);
    Answer {
        verdict,
        reason: reason.to_owned(),
    }
}

fn decide(network: &Network, moment: &Moment, own: Ipv4Addr, packet: &Packet) -> (Verdict, &'static str) {
    use Verdict::{Delivered, Refused, Silent};
    let (IpAddr::V4(from), IpAddr::V4(to)) = (packet.from, packet.to) else {
        return (Silent, "no IPv6");
    };
    let port_of = |name: &PortName| network.ports.iter().find(|port| port.name == *name).unwrap();
    match &packet.zone {
        Zone::Trunk => (Silent, "trunk"),
        Zone::Tunnel => (Silent, "tunnel"),
        Zone::Instrument(name) => instrument(port_of(name), packet, from, to),
        Zone::BoxAt(name) => {
            let port = port_of(name);
            if to.is_loopback() {
                return (Delivered, "loopback");
            }
            match packet.kind {
                Kind::Transport { state: State::Answers, .. } => (Delivered, "replies"),
                Kind::Transport { protocol: Protocol::Udp, source: 67, destination: 68, .. }
                    if port.dhcp && from == port.address.addr() =>
                {
                    (Delivered, "dhcp")
                }
                _ => (Silent, "nothing to the instrument"),
            }
        }
        Zone::Hospital => {
            let dhcp = network.uplink.addressing == Addressing::Dhcp;
            if from.is_loopback() || from == own || from.is_broadcast() || from.is_multicast() || from.is_unspecified() {
                return (Silent, "spoofed");
            }
            if let Kind::Transport { protocol: Protocol::Udp, source: 67, destination: 68, .. } = packet.kind
                && dhcp
                && (to == own || to.is_broadcast())
            {
                return (Delivered, "dhcp");
            }
            if to != own {
                return (Silent, "not for the box");
            }
            match packet.kind {
                Kind::Error | Kind::Transport { state: State::Answers, .. } => (Delivered, "replies"),
                _ => (Refused, "nobody may"),
            }
        }
        Zone::Box => {
            if to.is_loopback() || to == own {
                return (Delivered, "loopback");
            }
            let Kind::Transport { protocol, source, destination, .. } = packet.kind else {
                return (Refused, "no endpoint");
            };
            let endpoint = network.endpoints.iter().any(|endpoint| {
                endpoint.host == Host::Ip(packet.to) && (endpoint.protocol, endpoint.port) == (protocol, destination)
            });
            if endpoint || moment.endpoints.contains(&(packet.to, protocol, destination)) {
                return (Delivered, "endpoint");
            }
            if destination == 53 && (network.uplink.dns.contains(&packet.to) || moment.dns.contains(&packet.to)) {
                return (Delivered, "dns");
            }
            let dhcp = network.uplink.addressing == Addressing::Dhcp;
            if dhcp && (protocol, source, destination) == (Protocol::Udp, 68, 67) {
                return (Delivered, "dhcp");
            }
            (Refused, "no endpoint")
        }
    }
}

fn instrument(port: &Port, packet: &Packet, from: Ipv4Addr, to: Ipv4Addr) -> (Verdict, &'static str) {
    use Verdict::{Delivered, Silent};
    if port.mac.is_some() && packet.station != port.mac {
        return (Silent, "another station");
    }
    let gateway = port.address.addr();
    if let Kind::Transport { protocol: Protocol::Udp, source: 68, destination: 67, .. } = packet.kind
        && port.dhcp
        && (from.is_unspecified() || from == port.instrument)
        && (to.is_broadcast() || to == gateway)
    {
        return (Delivered, "dhcp");
    }
    if from != port.instrument || to != gateway {
        return (Silent, "not from the instrument to the gateway");
    }
    match packet.kind {
        Kind::Echo => (Delivered, "echo"),
        Kind::Transport { protocol, destination, state: State::Opens, .. }
            if port.services.iter().any(|service| (service.protocol, service.port) == (protocol, destination)) =>
        {
            (Delivered, "service")
        }
        _ => (Silent, "no service"),
    }
}
