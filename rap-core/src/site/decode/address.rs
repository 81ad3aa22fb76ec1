//! Addresses, and whose they can be.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netfw::model::Nic;

use crate::site::read::{At, Reader};

pub(super) const HOST_ADDRESS: &str = "an IPv4 address of one host with a prefix length from 8 to 30";
const NIC: &str = "pci: and a PCI function, or mac: and an Ethernet address of one station";
const NIC_FIX: &str = "write where the card sits, such as \"pci:0000:00:11.0\", or its address, such as \"mac:52:54:00:12:34:56\"";

/// A network card.
pub(super) fn nic(reader: &mut Reader<'_>, text: &At<String>) -> Option<At<Nic>> {
    reader.parse::<Nic>(text, NIC, NIC_FIX)
}

/// An address of one host.
pub(super) fn ipv4(reader: &mut Reader<'_>, text: &At<String>) -> Option<At<Ipv4Addr>> {
    let (rule, fix) = (
        "an IPv4 address of one host",
        "write four numbers, such as \"192.168.1.50\"",
    );
    let address = reader.parse::<Ipv4Addr>(text, rule, fix)?;
    if is_one_host(address.value) {
        return Some(address);
    }
    reader.invalid(text, rule, fix);
    None
}

/// An address of one host with the length of its network's prefix.
pub(super) fn host_address(
    reader: &mut Reader<'_>,
    text: &At<String>,
    rule: &str,
    fix: &str,
) -> Option<At<Ipv4Net>> {
    let net = reader.parse::<Ipv4Net>(text, rule, fix)?;
    let (address, length) = (net.value.addr(), net.value.prefix_len());
    let inside = address != net.value.network() && address != net.value.broadcast();
    if (8..=30).contains(&length) && inside && is_one_host(address) {
        return Some(net);
    }
    reader.invalid(text, rule, fix);
    None
}

/// Neither "this network" (RFC 1122 §3.2.1.3), loopback, multicast (RFC 5771) nor reserved (RFC 1112 §4).
pub(super) fn is_one_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Whether `host` is another usable host of the network that `own` is in.
pub(super) fn is_neighbour(host: Ipv4Addr, own: Ipv4Net) -> bool {
    own.contains(&host) && host != own.addr() && host != own.network() && host != own.broadcast()
}
