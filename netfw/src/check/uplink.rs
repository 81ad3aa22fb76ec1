//! The uplink's own rules.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::{List, address};
use crate::model::{Addressing, Ipv6, Uplink};

pub(super) fn check(uplink: &Uplink, list: &mut List) {
    if let Addressing::Static { address, gateway } = uplink.addressing {
        check_static(address, gateway, list);
    }
    if let Ipv6::Static { address, gateway } = uplink.ipv6 {
        check_static_v6(address, gateway, list);
    }
    for server in &uplink.dns {
        address::check_remote(*server, uplink.ipv6, "uplink.dns".to_owned(), list);
    }
}

fn check_static(own: Ipv4Net, gateway: Option<Ipv4Addr>, list: &mut List) {
    if !address::check_own(own, "uplink.address".to_owned(), list) {
        return;
    }
    if let Some(gateway) = gateway
        && (!address::is_host_in(gateway, own) || gateway == own.addr())
    {
        let expected = format!("another host's address in {}", own.trunc());
        list.add("uplink.gateway", gateway, expected);
    }
}

fn check_static_v6(own: Ipv6Net, gateway: Option<Ipv6Addr>, list: &mut List) {
    if let Some(kind) = address::special(own.addr()) {
        let expected = format!("a global IPv6 address; this is {kind}");
        list.add("uplink.ipv6.address", own, expected);
        return;
    }
    if !address::is_host_in_v6(own.addr(), own) {
        let expected = "a host's address, not the one all routers of the network share";
        list.add("uplink.ipv6.address", own, expected);
    }
    if let Some(gateway) = gateway {
        let near = gateway.is_unicast_link_local() || address::is_host_in_v6(gateway, own);
        if !near || gateway == own.addr() {
            let expected = format!("another host's address in {}, or a link-local one", own.trunc());
            list.add("uplink.ipv6.gateway", gateway, expected);
        }
    }
}
