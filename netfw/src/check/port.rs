//! One instrument port's rules.

use std::collections::HashSet;

use super::{List, address, is_plain};
use crate::model::{Addressing, Network, Port};

/// More than any link here carries, and nftables counts a limit's tokens in nanoseconds: beyond 10⁹ a second it would
/// not limit at all (`net/netfilter/nft_limit.c`).
const MOST: u32 = 1_000_000;

pub(super) fn check(port: &Port, whole: &Network, list: &mut List) {
    check_addresses(port, whole, list);
    check_services(port, list);
    check_remote(port, whole, list);
    check_limits(port, list);
}

fn path(port: &Port, field: &str) -> String {
    format!("ports.{}.{field}", port.name)
}

fn check_addresses(port: &Port, whole: &Network, list: &mut List) {
    let network = port.address;
    if !address::check_own(network, path(port, "address"), list) {
        return;
    }
    if !address::is_host_in(port.instrument, network) || port.instrument == network.addr() {
        let expected = format!(
            "a host's address in {} that is not {}",
            network.trunc(),
            network.addr()
        );
        list.add(path(port, "instrument"), port.instrument, expected);
    }
    if let Addressing::Static { address: uplink, .. } = &whole.uplink.addressing
        && address::overlap(*uplink, network)
    {
        let expected = format!("a prefix that does not overlap the uplink's {}", uplink.trunc());
        list.add(path(port, "address"), network, expected);
    }
}

fn check_services(port: &Port, list: &mut List) {
    let (mut names, mut used) = (HashSet::new(), HashSet::new());
    for service in &port.services {
        let path = path(port, &format!("services.{}", service.name));
        if !is_plain(service.name) || !names.insert(service.name) {
            let expected = "a name of its own of 1 to 32 letters, digits, - and .";
            list.add(path.clone(), format!("{:?}", service.name), expected);
        }
        if service.port == 0 || !used.insert((service.protocol, service.port)) {
            list.add(path, service.port, "a port number of its own from 1 to 65535");
        }
    }
}

fn check_remote(port: &Port, whole: &Network, list: &mut List) {
    let mut used = HashSet::new();
    for opening in &port.remote {
        if opening.port == 0 || !used.insert(opening) {
            let expected = "each once, with a port number from 1 to 65535";
            list.add(path(port, "remote"), opening, expected);
        }
    }
    if let (Some(first), None) = (port.remote.first(), whole.sessions) {
        let expected = "no remote ports, or a session prefix to give the instrument an address from";
        list.add(path(port, "remote"), first, expected);
    }
}

fn check_limits(port: &Port, list: &mut List) {
    let limits = port.limits;
    for (field, value) in [
        ("connections", limits.connections),
        ("connections-per-second", limits.connections_per_second),
        ("packets-per-second", limits.packets_per_second),
    ] {
        if !(1..=MOST).contains(&value) {
            let expected = format!("a number from 1 to {MOST}");
            list.add(path(port, &format!("limits.{field}")), value, expected);
        }
    }
}
