//! What an instrument can send, and what somebody can who was plugged in instead.

use std::net::Ipv4Addr;

use super::{Cases, FEW, Probe, STRAY, UNASKED, addressed, everything, to_card, too_large, unasked};
use crate::case::From;
use crate::packet::{ACK, Body, FIN, Packet, RST, SYN};
use crate::site::{ENGINEER, INTERNET, Site, station};

pub(super) fn add(cases: &mut Cases, site: &Site, nth: usize) {
    let port = &site.network.ports[nth];
    let wire = nth + 1;
    let (own, gateway) = (port.instrument, port.address.addr());
    let from = to_card(wire, "instrument", site.instrument(nth)[0].station);

    cases.try_all("an instrument to its gateway", &from, own, gateway, &everything());
    for destination in elsewhere(site, nth) {
        let from = addressed(&from, destination, port.address.broadcast());
        cases.try_all("an instrument to somewhere else", &from, own, destination, &FEW);
    }
    let services = services(site, nth);
    for source in spoofed(site, nth) {
        cases.try_all("a spoofed source", &from, source, gateway, &services);
    }
    // A second machine on the cable, with the instrument's address; a group is never a sender.
    for stranger in [station(wire, 99), [3, 0, 0, 0, 0, 1], crate::site::card(wire)] {
        let from = to_card(wire, "another station", stranger);
        cases.try_all("another station", &from, own, gateway, &services);
    }
    let astray = From::Wire {
        wire,
        name: "instrument",
        station: site.instrument(nth)[0].station,
        to: station(wire, 77),
        astray: false,
    };
    cases.try_all("a frame for somebody else", &astray, own, gateway, &services);
    cases.in_pieces(&from, own, gateway, &services);
    out_of_state(cases, &from, own, gateway, &services);
    dhcp(cases, site, nth, &from);
    unasked_icmp(cases, &from, own, gateway);
    nothing_to_answer(cases, site, nth, &from);
}

/// Where an instrument has no business.
fn elsewhere(site: &Site, nth: usize) -> Vec<Ipv4Addr> {
    let port = &site.network.ports[nth];
    let mut list = vec![
        site.address.addr(),
        site.lan(10),
        site.lan(20),
        INTERNET,
        ENGINEER,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(127, 1, 2, 3),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        port.address.broadcast(),
        port.address.network(),
    ];
    for (other, port) in site.network.ports.iter().enumerate() {
        list.extend([port.address.addr(), port.instrument]);
        let pair = site.network.session_pair(other);
        list.extend(
            pair.into_iter()
                .flat_map(|(outer, inner)| [outer.addr(), inner.addr()]),
        );
    }
    list.retain(|address| ![port.address.addr(), port.instrument].contains(address));
    list.sort_unstable();
    list.dedup();
    list
}

/// Whom an instrument can claim to be.
fn spoofed(site: &Site, nth: usize) -> Vec<Ipv4Addr> {
    let port = &site.network.ports[nth];
    let neighbour = port
        .address
        .hosts()
        .find(|host| ![port.address.addr(), port.instrument].contains(host));
    let mut list = elsewhere(site, nth);
    list.push(port.address.addr());
    list.push(Ipv4Addr::UNSPECIFIED);
    list.extend(neighbour);
    list
}

/// The port's services, one that is none, and a ping.
fn services(site: &Site, nth: usize) -> Vec<Probe> {
    let services = site.network.ports[nth]
        .services
        .iter()
        .map(|service| match service.protocol {
            netfw::model::Protocol::Tcp => Probe::Tcp(service.port, SYN),
            netfw::model::Protocol::Udp => Probe::Udp(service.port),
        });
    services.chain([Probe::Tcp(22, SYN), Probe::Echo]).collect()
}

fn out_of_state(cases: &mut Cases, from: &From, own: Ipv4Addr, gateway: Ipv4Addr, services: &[Probe]) {
    for probe in services {
        let Probe::Tcp(to, _) = *probe else { continue };
        let strays: Vec<_> = STRAY.iter().map(|flags| Probe::Tcp(to, *flags)).collect();
        cases.try_all("out of nothing", from, own, gateway, &strays);
        for flags in [ACK, FIN | ACK, RST] {
            let segment = |ours, flags| {
                Packet::new(
                    own,
                    gateway,
                    Body::Tcp {
                        from: ours,
                        to,
                        flags,
                    },
                )
            };
            let ours = cases.own_port();
            cases.push_after(
                "within a connection",
                (from, segment(ours, SYN)),
                from,
                segment(ours, flags),
            );
        }
        let first = Packet::new(
            own,
            gateway,
            Body::Tcp {
                from: cases.own_port(),
                to,
                flags: SYN,
            },
        );
        let error = too_large(&first.reversed(), own);
        cases.push_after("an error about a connection", (from, first), from, error);
    }
}

fn dhcp(cases: &mut Cases, site: &Site, nth: usize, from: &From) {
    let port = &site.network.ports[nth];
    let gateway = port.address.addr();
    let neighbour = spoofed(site, nth).pop().unwrap();
    let sources = [Ipv4Addr::UNSPECIFIED, port.instrument, neighbour, gateway];
    let destinations = [
        Ipv4Addr::BROADCAST,
        gateway,
        port.address.broadcast(),
        site.address.addr(),
    ];
    for source in sources {
        for destination in destinations {
            for (own, to) in [(68, 67), (67, 68), (67, 67), (1024, 67), (68, 69)] {
                let packet = Packet::new(source, destination, Body::Udp { from: own, to });
                let from = addressed(from, destination, port.address.broadcast());
                cases.push("DHCP", &from, packet);
            }
        }
    }
    let other = to_card(nth + 1, "another station", station(nth + 1, 99));
    let other = addressed(&other, Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST);
    let body = Body::Udp { from: 68, to: 67 };
    cases.push(
        "DHCP of another station",
        &other,
        Packet::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, body),
    );
}

fn unasked_icmp(cases: &mut Cases, from: &From, own: Ipv4Addr, gateway: Ipv4Addr) {
    for (kind, code) in UNASKED {
        let packet = unasked(kind, code, own, gateway, cases.own_port());
        cases.push("ICMP nobody asked for", from, packet);
    }
    cases.push(
        "ICMP nobody asked for",
        from,
        Packet::new(own, gateway, Body::EchoReply),
    );
}

/// The box opens nothing towards an instrument, so nothing answers it.
fn nothing_to_answer(cases: &mut Cases, site: &Site, nth: usize, from: &From) {
    let port = &site.network.ports[nth];
    let (own, gateway) = (port.instrument, port.address.addr());
    let ours = cases.own_port();
    let inside = From::Inside {
        inside: nth + 1,
        via: own.into(),
    };
    for body in [
        Body::Tcp {
            from: ours,
            to: 80,
            flags: SYN,
        },
        Body::Udp { from: ours, to: 161 },
    ] {
        let question = Packet::new(gateway, own, body);
        let answer = question.reversed();
        cases.push_after(
            "an answer to what the rules held back",
            (&inside, question),
            from,
            answer,
        );
    }
}
