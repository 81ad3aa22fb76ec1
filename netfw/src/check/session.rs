//! The session prefix: it is this box's alone, and large enough.

use std::net::IpAddr;

use ipnet::Ipv4Net;

use super::{List, address};
use crate::model::{Addressing, Host, Network};

pub(super) fn check(network: &Network, list: &mut List) {
    let Some(prefix) = network.sessions else {
        return;
    };
    if !(16..=30).contains(&prefix.prefix_len()) || prefix.addr() != prefix.network() {
        let expected = "a network from /16 to /30, written by its first address";
        list.add("sessions", prefix, expected);
        return;
    }
    if let Some(range) = address::reserved(prefix) {
        list.add("sessions", prefix, format!("a network outside {range}"));
    }
    let pairs = 1_usize << (31 - prefix.prefix_len());
    if pairs < network.ports.len() {
        let expected = format!("room for {} pairs of addresses, one a port", network.ports.len());
        list.add("sessions", format!("{prefix} with room for {pairs}"), expected);
    }
    for (what, other) in others(network) {
        if address::overlap(prefix, other) {
            let expected = format!("a prefix that does not overlap {} of {what}", other.trunc());
            list.add("sessions", prefix, expected);
        }
    }
}

/// What else has addresses that the box tells apart by its routes.
fn others(network: &Network) -> Vec<(String, Ipv4Net)> {
    let mut others = Vec::new();
    if let Addressing::Static { address, .. } = network.uplink.addressing {
        others.push(("the uplink".to_owned(), address));
    }
    let ports = network.ports.iter();
    others.extend(ports.map(|port| (format!("port {}", port.name), port.address)));
    let servers = network
        .uplink
        .dns
        .iter()
        .map(|server| ("uplink.dns".to_owned(), *server));
    let endpoints = network
        .endpoints
        .iter()
        .filter_map(|endpoint| match endpoint.host {
            Host::Ip(address) => Some((format!("endpoint {}", endpoint.name), address)),
            Host::Name(_) => None,
        });
    others.extend(
        servers
            .chain(endpoints)
            .filter_map(|(what, address)| match address {
                IpAddr::V4(v4) => Some((what, v4.into())),
                IpAddr::V6(_) => None,
            }),
    );
    others
}
