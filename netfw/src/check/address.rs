//! Which addresses can be whose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::List;
use crate::model::Ipv6;

/// Ranges that are nobody's address on a network cable, with what they are for.
const RESERVED: [(Ipv4Addr, u8, &str); 5] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network, RFC 791 §3.2"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback, RFC 1122 §3.2.1.3"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, RFC 3927"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast, RFC 5771"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved, RFC 1112 §4"),
];

/// Whether the two networks have an address in common.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The reserved range `network` has addresses of, in words.
pub(super) fn reserved(network: Ipv4Net) -> Option<String> {
    RESERVED.into_iter().find_map(|(start, length, purpose)| {
        let range = Ipv4Net::new(start, length).ok()?;
        overlap(range, network).then(|| format!("{range} ({purpose})"))
    })
}

/// Checks the box's own address on a link and the network around it; says whether more can be said about hosts in it.
pub(super) fn check_own(network: Ipv4Net, path: String, list: &mut List) -> bool {
    if let Some(range) = reserved(network) {
        list.add(path, network, format!("a network outside {range}"));
        return false;
    }
    if !is_host_in(network.addr(), network) {
        list.add(path, network, "a host's address, not the network's or broadcast");
    }
    true
}

/// Checks an address somewhere beyond the uplink.
pub(super) fn check_remote(address: IpAddr, ipv6: Ipv6, path: String, list: &mut List) {
    match address {
        IpAddr::V4(v4) => {
            if let Some(range) = reserved(v4.into()) {
                list.add(path, address, format!("an address outside {range}"));
            }
        }
        IpAddr::V6(_) if ipv6 == Ipv6::Off => {
            list.add(path, address, "an IPv4 address or a name: IPv6 is switched off");
        }
        IpAddr::V6(v6) => {
            if let Some(kind) = special(v6) {
                list.add(path, address, format!("a global IPv6 address; this is {kind}"));
            }
        }
    }
}

/// What an IPv6 address is that is no host's beyond the link (RFC 4291 §2.4).
pub(super) fn special(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_multicast() {
        Some("multicast")
    } else if address.is_unicast_link_local() {
        Some("link-local")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4 address in IPv6's clothes; write it as IPv4")
    } else {
        None
    }
}

/// Whether `address` can be a host's in `network`; /31 (RFC 3021) and /32 have neither network nor broadcast address.
pub(super) fn is_host_in(address: Ipv4Addr, network: Ipv4Net) -> bool {
    let special =
        network.prefix_len() < 31 && (address == network.network() || address == network.broadcast());
    network.contains(&address) && !special
}

/// The same for IPv6, whose first address of a network is its routers' (RFC 4291 §2.6.1); not on a /127 (RFC 6164).
pub(super) fn is_host_in_v6(address: Ipv6Addr, network: Ipv6Net) -> bool {
    network.contains(&address) && (network.prefix_len() >= 127 || address != network.network())
}
