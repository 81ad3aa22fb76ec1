//! What somebody on the hospital's network, or beyond its router, can send.

use std::net::Ipv4Addr;

use netfw::model::{Host, Protocol};

use super::{Cases, FEW, Probe, STRAY, UNASKED, addressed, everything, to_card, too_large, unasked};
use crate::case::{From, ROOT, UPLINK};
use crate::packet::{ACK, Body, Packet, RST, SYN};
use crate::site::{ENGINEER, INTERNET, Site, TUNNEL_END, station};

pub(super) fn add(cases: &mut Cases, site: &Site) {
    let own = site.address.addr();
    for host in site.hospital() {
        let from = to_card(UPLINK, host.name, host.station);
        cases.try_all("the hospital to the box", &from, host.ipv4(), own, &everything());
    }
    let router = to_card(UPLINK, "somebody beyond the router", station(0, 1));
    cases.try_all("the internet to the box", &router, INTERNET, own, &everything());

    let stranger = to_card(UPLINK, "stranger", station(0, 20));
    for destination in elsewhere(site) {
        let from = addressed(&stranger, destination, site.address.broadcast());
        cases.try_all(
            "the hospital through the box",
            &from,
            site.lan(20),
            destination,
            &FEW,
        );
    }
    for source in spoofed(site) {
        cases.try_all("a spoofed source", &stranger, source, own, &FEW);
    }
    let other = From::Wire {
        wire: UPLINK,
        name: "stranger",
        station: station(0, 20),
        to: station(0, 77),
        astray: false,
    };
    cases.try_all("a frame for somebody else", &other, site.lan(20), own, &FEW);
    let astray = From::Wire {
        wire: UPLINK,
        name: "stranger",
        station: station(0, 20),
        to: crate::site::card(0),
        astray: true,
    };
    cases.try_all("another VLAN", &astray, site.lan(20), own, &everything());
    cases.in_pieces(
        &stranger,
        site.lan(20),
        own,
        &[Probe::Tcp(8443, SYN), Probe::Udp(514), Probe::Echo],
    );
    let strays: Vec<_> = STRAY.iter().map(|flags| Probe::Tcp(8443, *flags)).collect();
    cases.try_all("out of nothing", &stranger, site.lan(20), own, &strays);
    for (kind, code) in UNASKED {
        let packet = unasked(kind, code, site.lan(1), own, cases.own_port());
        cases.push("ICMP nobody asked for", &router, packet);
    }
    cases.push(
        "ICMP nobody asked for",
        &router,
        Packet::new(site.lan(1), own, Body::EchoReply),
    );
    dhcp(cases, site);
    answers(cases, site);
}

/// Addresses behind the box, and those that are nobody's.
fn elsewhere(site: &Site) -> Vec<Ipv4Addr> {
    let mut list = vec![
        INTERNET,
        ENGINEER,
        TUNNEL_END,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        site.address.broadcast(),
        site.lan(10),
    ];
    for (nth, port) in site.network.ports.iter().enumerate() {
        list.extend([port.address.addr(), port.instrument]);
        let pair = site.network.session_pair(nth);
        list.extend(
            pair.into_iter()
                .flat_map(|(outer, inner)| [outer.addr(), inner.addr()]),
        );
    }
    list.sort_unstable();
    list.dedup();
    list
}

fn spoofed(site: &Site) -> Vec<Ipv4Addr> {
    let mut list = vec![
        site.address.addr(),
        site.address.broadcast(),
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(240, 0, 0, 1),
        TUNNEL_END,
        ENGINEER,
    ];
    list.extend(
        site.network
            .ports
            .iter()
            .enumerate()
            .filter_map(|(nth, _)| site.network.session_pair(nth).map(|(_, inner)| inner.addr())),
    );
    list
}

fn dhcp(cases: &mut Cases, site: &Site) {
    let own = site.address.addr();
    for (name, number) in [("router", 1), ("stranger", 20)] {
        let from = to_card(UPLINK, name, station(0, number));
        for destination in [own, Ipv4Addr::BROADCAST, site.address.broadcast(), site.lan(21)] {
            for (source, to) in [(67, 68), (68, 67), (67, 67), (68, 68), (4011, 68), (67, 69)] {
                let from = addressed(&from, destination, site.address.broadcast());
                let packet = Packet::new(
                    site.lan(number.into()),
                    destination,
                    Body::Udp { from: source, to },
                );
                cases.push("DHCP", &from, packet);
            }
        }
    }
}

/// What comes back when the box has asked, from whom it asked and from others.
fn answers(cases: &mut Cases, site: &Site) {
    let own = site.address.addr();
    let endpoints = site
        .network
        .endpoints
        .iter()
        .enumerate()
        .filter_map(|(nth, endpoint)| {
            let resolved = site
                .resolved
                .iter()
                .find(|(at, _)| *at == nth)
                .map(|(_, address)| *address);
            match (&endpoint.host, resolved) {
                (Host::Ip(std::net::IpAddr::V4(address)), _) => {
                    Some((*address, endpoint.protocol, endpoint.port))
                }
                (_, Some(std::net::IpAddr::V4(address))) => Some((address, endpoint.protocol, endpoint.port)),
                _ => None,
            }
        });
    let forbidden = [
        (site.lan(10), Protocol::Tcp, 9),
        (site.lan(20), Protocol::Tcp, 443),
        (site.lan(20), Protocol::Udp, 53),
        (INTERNET, Protocol::Udp, 123),
    ];
    for (address, protocol, port) in endpoints.chain(forbidden).collect::<Vec<_>>() {
        let sender = if address == INTERNET {
            1
        } else {
            u8::try_from(u32::from(address) - u32::from(site.address.network())).unwrap()
        };
        let from = to_card(UPLINK, "who was asked", station(0, sender));
        let other = to_card(UPLINK, "who was not asked", station(0, 3));
        let router = to_card(UPLINK, "router", station(0, 1));
        let box_itself = From::Inside {
            inside: ROOT,
            via: address.into(),
        };
        let flags: &[u8] = match protocol {
            Protocol::Tcp => &[SYN | ACK, RST | ACK],
            Protocol::Udp => &[0],
        };
        for flags in flags {
            let question = question(own, cases.own_port(), address, protocol, port);
            let mut answer = question.reversed();
            if let Body::Tcp { flags: of_answer, .. } = &mut answer.body {
                *of_answer = *flags;
            }
            cases.push_after(
                "an answer",
                (&box_itself, question.clone()),
                &from,
                answer.clone(),
            );
            answer.source = site.lan(3).into();
            cases.push_after("an answer from another", (&box_itself, question), &other, answer);
        }
        for (kind, code) in [(3, 4), (3, 1), (11, 0)] {
            let question = question(own, cases.own_port(), address, protocol, port);
            let mut error = too_large(&question, site.lan(1));
            if let Body::Error {
                kind: of_error,
                code: in_error,
                rest,
                ..
            } = &mut error.body
                && code != 4
            {
                (*of_error, *in_error, *rest) = (kind, code, [0; 4]);
            }
            cases.push_after(
                "an error about a connection",
                (&box_itself, question),
                &router,
                error,
            );
        }
    }
}

fn question(own: Ipv4Addr, from: u16, address: Ipv4Addr, protocol: Protocol, to: u16) -> Packet {
    let body = match protocol {
        Protocol::Tcp => Body::Tcp { from, to, flags: SYN },
        Protocol::Udp => Body::Udp { from, to },
    };
    Packet::new(own, address, body)
}
