//! What a program of the box can send, whatever it is told to.

use std::net::{IpAddr, Ipv4Addr};

use super::{Cases, FEW, Probe, STRAY, everything};
use crate::case::{From, ROOT};
use crate::packet::{Body, Packet, SYN};
use crate::site::{ENGINEER, INTERNET, Site};

pub(super) fn from_root(cases: &mut Cases, site: &Site) {
    let own = site.address.addr();
    let inside = |via: Ipv4Addr| From::Inside {
        inside: ROOT,
        via: via.into(),
    };
    for destination in [site.lan(1), site.lan(3), site.lan(10), site.lan(20), INTERNET] {
        cases.try_all(
            "the box to the hospital",
            &inside(destination),
            own,
            destination,
            &everything(),
        );
        let strays: Vec<_> = STRAY.iter().map(|flags| Probe::Tcp(443, *flags)).collect();
        cases.try_all(
            "the box, out of nothing",
            &inside(destination),
            own,
            destination,
            &strays,
        );
    }
    let mut elsewhere = vec![
        ENGINEER,
        site.address.broadcast(),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
    ];
    for port in &site.network.ports {
        elsewhere.extend([port.address.addr(), port.instrument]);
    }
    elsewhere.sort_unstable();
    elsewhere.dedup();
    for destination in elsewhere {
        // To its own network or, as to everything else, to the router.
        cases.try_all(
            "the box to somewhere else",
            &inside(site.lan(1)),
            own,
            destination,
            &FEW,
        );
    }
    for (from, to) in [(68, 67), (67, 68), (68, 68), (1024, 67)] {
        for destination in [Ipv4Addr::BROADCAST, site.lan(1)] {
            let packet = Packet::new(own, destination, Body::Udp { from, to });
            cases.push("DHCP of the box", &inside(site.lan(1)), packet);
        }
    }
    loopback(cases, ROOT);
}

pub(super) fn from_port(cases: &mut Cases, site: &Site, nth: usize) {
    let port = &site.network.ports[nth];
    let gateway = port.address.addr();
    let from = From::Inside {
        inside: nth + 1,
        via: port.instrument.into(),
    };
    cases.try_all(
        "the box to an instrument",
        &from,
        gateway,
        port.instrument,
        &everything(),
    );
    let strays: Vec<_> = STRAY.iter().map(|flags| Probe::Tcp(443, *flags)).collect();
    cases.try_all(
        "the box to an instrument, out of nothing",
        &from,
        gateway,
        port.instrument,
        &strays,
    );
    for destination in [
        site.lan(10),
        INTERNET,
        Ipv4Addr::BROADCAST,
        port.address.broadcast(),
    ] {
        cases.try_all("the box, out of a port", &from, gateway, destination, &FEW);
    }
    // The kernel writes an address where there is none (raw(7)).
    for source in [gateway, port.instrument] {
        for destination in [port.instrument, Ipv4Addr::BROADCAST] {
            for (own, to) in [(67, 68), (68, 67), (67, 69), (1024, 68)] {
                let packet = Packet::new(source, destination, Body::Udp { from: own, to });
                cases.push("DHCP of the box", &from, packet);
            }
        }
    }
    loopback(cases, nth + 1);
}

/// A program to another of the same namespace.
fn loopback(cases: &mut Cases, inside: usize) {
    let here = Ipv4Addr::LOCALHOST;
    let from = From::Inside {
        inside,
        via: IpAddr::from(here),
    };
    let probes = [Probe::Tcp(8443, SYN), Probe::Udp(514), Probe::Echo];
    cases.try_all("loopback", &from, here, Ipv4Addr::new(127, 0, 0, 9), &probes);
}
