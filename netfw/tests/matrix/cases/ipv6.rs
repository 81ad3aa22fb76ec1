//! IPv6, where it is on and where it is not.

use std::net::Ipv6Addr;

use super::{Cases, everything};
use crate::case::{From, ROOT, UPLINK};
use crate::packet::{Body, Packet, SYN};
use crate::site::{self, Site, link_local};
use crate::wire::Station;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A port never speaks IPv6.
pub(super) fn from_instrument(cases: &mut Cases, site: &Site, nth: usize) {
    let wire = nth + 1;
    let station = site.instrument(nth)[0].station;
    let sender = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);
    let others = [
        link_local(site::card(wire)),
        ALL_NODES,
        ALL_ROUTERS,
        Site::lan6(2),
        Site::lan6(10),
        Ipv6Addr::LOCALHOST,
        site.network.ports[nth].address.addr().to_ipv6_mapped(),
    ];
    for destination in others {
        let from = frame(wire, "instrument", station, destination);
        for source in [sender, Site::lan6(0x50), Ipv6Addr::LOCALHOST] {
            talk(cases, &from, source, destination);
        }
    }
    for destination in [ALL_NODES, link_local(site::card(wire))] {
        let from = frame(wire, "instrument", station, destination);
        neighbours(cases, &from, sender, destination, link_local(site::card(wire)));
    }
}

pub(super) fn from_hospital(cases: &mut Cases, site: &Site) {
    let stranger = site.hospital().pop().unwrap();
    let sender = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 20);
    for destination in [
        link_local(site::card(UPLINK)),
        site.own6(),
        ALL_NODES,
        ALL_ROUTERS,
        Ipv6Addr::LOCALHOST,
    ] {
        let from = frame(UPLINK, stranger.name, stranger.station, destination);
        for source in [sender, Site::lan6(20), Ipv6Addr::LOCALHOST] {
            talk(cases, &from, source, destination);
        }
        // Only what comes from the link itself is believed (RFC 4861 §6.1.2).
        for source in [sender, Site::lan6(20)] {
            neighbours(cases, &from, source, destination, site.own6());
        }
    }
}

/// What the box itself says.
pub(super) fn from_root(cases: &mut Cases, site: &Site) {
    let own = site.own6();
    let local = link_local(site::card(UPLINK));
    for destination in [Site::lan6(1), Site::lan6(3), Site::lan6(10), Site::lan6(20)] {
        let from = From::Inside {
            inside: ROOT,
            via: destination.into(),
        };
        cases.try_all("the box, IPv6", &from, own, destination, &everything());
    }
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    for destination in [router, Site::lan6(1)] {
        let from = From::Inside {
            inside: ROOT,
            via: Site::lan6(1).into(),
        };
        neighbours(cases, &from, local, destination, Site::lan6(1));
    }
}

fn talk(cases: &mut Cases, from: &From, source: Ipv6Addr, destination: Ipv6Addr) {
    let own = cases.own_port();
    for body in [
        Body::Tcp {
            from: own,
            to: 8443,
            flags: SYN,
        },
        Body::Tcp {
            from: own,
            to: 22,
            flags: SYN,
        },
        Body::Udp { from: own, to: 514 },
        Body::Udp { from: own, to: 67 },
        Body::Udp { from: 547, to: 546 },
        Body::Echo,
    ] {
        cases.push("IPv6", from, Packet::new(source, destination, body));
    }
}

/// Neighbour and router discovery (RFC 4861 §4), listener discovery (RFC 3810 §5).
fn neighbours(cases: &mut Cases, from: &From, source: Ipv6Addr, destination: Ipv6Addr, target: Ipv6Addr) {
    let mut redirect = source.octets().to_vec();
    redirect.extend(Site::lan6(10).octets());
    let mut advertisement = vec![0; 8];
    advertisement.extend(site::prefix(Ipv6Addr::new(0xfd66, 6, 6, 6, 0, 0, 0, 0)));
    let messages = [
        (133, [0; 4], Vec::new()),
        (134, [64, 0, 0x07, 0x08], advertisement),
        (135, [0; 4], target.octets().to_vec()),
        (136, [0x20, 0, 0, 0], target.octets().to_vec()),
        (137, [0; 4], redirect),
        (130, [0, 1, 0, 0], Ipv6Addr::UNSPECIFIED.octets().to_vec()),
        (143, [0, 0, 0, 0], Vec::new()),
    ];
    for (kind, rest, payload) in messages {
        let body = Body::Icmp {
            kind,
            code: 0,
            rest,
            payload,
        };
        cases.push("neighbours", from, Packet::new(source, destination, body));
    }
}

fn frame(wire: usize, name: &'static str, station: Station, destination: Ipv6Addr) -> From {
    let [.., a, b, c, d] = destination.octets();
    From::Wire {
        wire,
        name,
        station,
        to: if destination.is_multicast() {
            [0x33, 0x33, a, b, c, d]
        } else {
            site::card(wire)
        },
        astray: false,
    }
}
