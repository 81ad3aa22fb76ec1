//! What is asked of the kernel, as messages. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourHeader, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{AddressMessageBuilder, LinkUnspec, LinkVeth, LinkVlan, RouteMessageBuilder};

use super::observe::OURS;
use super::seen::Link;
use crate::model::Mac;

/// Moves and renames in one request, and writes the former name where people find it, and who gives it back.
pub(super) fn bring(link: &Link, name: &str, home: i32) -> RouteNetlinkMessage {
    let mut message = LinkUnspec::new_with_index(link.index)
        .setns_by_fd(home)
        .name(name);
    if link.alias.is_none() {
        message = message.alias(link.name.as_str());
    }
    RouteNetlinkMessage::SetLink(message.build())
}

pub(super) fn vlan(name: &str, below: u32, id: u16) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(LinkVlan::new(name, below, id).build())
}

/// The other end is made in its namespace, so that it never is anywhere else.
pub(super) fn pair(name: &str, inner: &str, there: i32) -> RouteNetlinkMessage {
    let peer = LinkUnspec::new_with_name(inner).setns_by_fd(there).build();
    let pair = LinkVeth::new(name, inner).set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    RouteNetlinkMessage::NewLink(pair.build())
}

pub(super) fn delete(link: &Link) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(LinkUnspec::new_with_index(link.index).build())
}

pub(super) fn address(index: u32, address: IpNet) -> AddressMessage {
    let length = address.prefix_len();
    let mut message = match address.addr() {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address, length)
            .build(),
        IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(address, length)
            .build(),
    };
    // On a pair of addresses (RFC 3021) one is the other end's and not a broadcast.
    let broadcast = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Broadcast(_));
    if length >= 31 {
        message.attributes.retain(|attribute| !broadcast(attribute));
    }
    let ours = AddressAttribute::Protocol(AddressProtocol::Other(OURS));
    message.attributes.push(ours);
    message
}

/// To remove one it must not be named by who it is from: that is a condition for the kernel.
pub(super) fn route(index: u32, gateway: IpAddr, any_origin: bool) -> RouteMessage {
    let mut message = match gateway {
        IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(gateway)
            .build(),
        IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(index)
            .gateway(gateway)
            .build(),
    };
    if any_origin {
        message.header.protocol = RouteProtocol::Unspec;
    }
    message
}

pub(super) fn neighbour(index: u32, address: IpAddr, mac: Option<Mac>) -> NeighbourMessage {
    let (family, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    let mut message = NeighbourMessage::default();
    message.header = NeighbourHeader {
        family,
        ifindex: index,
        state: NeighbourState::Permanent,
        kind: RouteType::Unspec,
        ..NeighbourHeader::default()
    };
    message
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    message
        .attributes
        .extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec())));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_of_addresses_is_no_broadcast() {
        let broadcast = |text: &str| {
            let message = address(1, text.parse().unwrap());
            let mut attributes = message.attributes.into_iter();
            attributes.any(|attribute| matches!(attribute, AddressAttribute::Broadcast(_)))
        };
        assert!(broadcast("192.168.1.1/24"));
        assert!(!broadcast("10.200.0.0/31"));
    }
}
