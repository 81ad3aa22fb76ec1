//! `[uplink]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use netfw::model::{Addressing, Domain, Ipv6, Mtu, Nic, VlanId};

use super::address::{HOST_ADDRESS, host_address, ipv4, is_neighbour, is_one_host, nic as nic_of};
use crate::site::Uplink;
use crate::site::mistake::Fault;
use crate::site::read::{At, Reader, Section};

const KNOWN: [&str; 9] = [
    "nic", "address", "gateway", "dns", "search", "vlan", "mtu", "ipv6", "gateway6",
];

/// The uplink, and its card's place in the text.
pub(super) fn uplink(reader: &mut Reader<'_>, table: Section<'_>) -> Option<(Uplink, At<Nic>)> {
    reader.refuse_unknown(table, "uplink", &KNOWN);
    let nic = reader.required(table, "uplink", "nic", "\"pci:0000:00:10.0\"");
    let nic = nic.and_then(|text| nic_of(reader, &text));
    let address = reader.required(table, "uplink", "address", "\"dhcp\"");
    let gateway = reader.optional(table, "uplink", "gateway", "\"10.9.0.1\"");
    let gateway = gateway.and_then(|text| ipv4(reader, &text));
    let addressing = address.and_then(|text| addressing(reader, &text, gateway.as_ref()));
    let (vlan, mtu) = (vlan(reader, table), mtu(reader, table));
    let ipv6 = ipv6(reader, table);
    let (dns, search) = (dns(reader, table), search(reader, table));
    let nic = nic?;
    let uplink = Uplink {
        nic: nic.value.clone(),
        vlan,
        mtu,
        addressing: addressing?,
        ipv6: ipv6?,
        dns,
        search,
    };
    Some((uplink, nic))
}

fn addressing(
    reader: &mut Reader<'_>,
    text: &At<String>,
    gateway: Option<&At<Ipv4Addr>>,
) -> Option<Addressing> {
    if text.value == "dhcp" {
        if let Some(gateway) = gateway {
            let (found, expected) = (gateway.value, "no gateway where address is \"dhcp\"");
            let fix = "remove gateway, or write the box's own address, such as \"10.9.0.2/24\"";
            reader.note(
                Fault::Conflict,
                gateway.span.start,
                &gateway.field,
                found,
                expected,
                fix,
            );
        }
        return Some(Addressing::Dhcp);
    }
    let expected = format!("\"dhcp\", or {HOST_ADDRESS}");
    let address = host_address(
        reader,
        text,
        &expected,
        "write \"dhcp\" or the box's address, such as \"10.9.0.2/24\"",
    )?;
    if let Some(gateway) = gateway
        && !is_neighbour(gateway.value, address.value)
    {
        let expected = format!("another host of {}", address.value.trunc());
        let fix = "write the router's address in the uplink's own network";
        let at = gateway.span.start;
        reader.note(Fault::Conflict, at, &gateway.field, gateway.value, expected, fix);
    }
    Some(Addressing::Static {
        address: address.value,
        gateway: gateway.map(|gateway| gateway.value),
    })
}

fn vlan(reader: &mut Reader<'_>, table: Section<'_>) -> Option<VlanId> {
    let fix =
        "write the number the hospital's switch has, such as 120; leave it out where the switch does not tag";
    let expected = "a VLAN's number from 1 to 4094";
    let number = reader.integer(table, "uplink", "vlan", expected, fix)?;
    let vlan = u16::try_from(number.value)
        .ok()
        .and_then(|number| VlanId::try_from(number).ok());
    if vlan.is_none() {
        reader.out_of_range(&number, expected, fix);
    }
    vlan
}

fn mtu(reader: &mut Reader<'_>, table: Section<'_>) -> Option<Mtu> {
    let fix = "write the largest packet the hospital's network carries, such as 1400; leave it out for the usual 1500";
    let expected = "a number of bytes from 1280 to 9216";
    let number = reader.integer(table, "uplink", "mtu", expected, fix)?;
    let mtu = u32::try_from(number.value)
        .ok()
        .and_then(|bytes| Mtu::try_from(bytes).ok());
    if mtu.is_none() {
        reader.out_of_range(&number, expected, fix);
    }
    mtu
}

/// Off when it is not written. The router belongs to a written address only.
fn ipv6(reader: &mut Reader<'_>, table: Section<'_>) -> Option<Ipv6> {
    let fix = "write \"off\", \"slaac\", or the box's own address, such as \"2001:db8::2/64\"";
    let gateway = reader.optional(table, "uplink", "gateway6", "\"fe80::1\"");
    let gateway = gateway.and_then(|text| {
        reader.parse::<Ipv6Addr>(
            &text,
            "an IPv6 address",
            "write the router's address, such as \"fe80::1\"",
        )
    });
    let text = reader.optional(table, "uplink", "ipv6", "\"slaac\"");
    let ipv6 = match text.as_ref().map(|text| text.value.as_str()) {
        // Left out is the default; a wrong type has been noted and fails the whole file.
        None | Some("off") => Some(Ipv6::Off),
        Some("slaac") => Some(Ipv6::Slaac),
        Some(_) => {
            let expected = "\"off\", \"slaac\", or an IPv6 address with the length of its network's prefix";
            let address = text.and_then(|text| reader.parse::<Ipv6Net>(&text, expected, fix))?;
            return Some(Ipv6::Static {
                address: address.value,
                gateway: gateway.map(|gateway| gateway.value),
            });
        }
    };
    if let Some(gateway) = gateway {
        let expected = "no gateway6 where ipv6 is not an address";
        let fix = "remove gateway6, or write the box's own address as ipv6, such as \"2001:db8::2/64\"";
        let at = gateway.span.start;
        reader.note(Fault::Conflict, at, &gateway.field, gateway.value, expected, fix);
    }
    ipv6
}

fn dns(reader: &mut Reader<'_>, table: Section<'_>) -> Vec<IpAddr> {
    let (expected, fix) = (
        "an address of one host",
        "write the address of a name server, such as \"10.9.0.1\"",
    );
    let servers = reader.list(table, "uplink", "dns", "[\"10.9.0.1\"]");
    let server = |text: &At<String>| {
        let server = reader.parse::<IpAddr>(text, expected, fix)?.value;
        if matches!(server, IpAddr::V4(address) if !is_one_host(address)) {
            reader.invalid(text, expected, fix);
        }
        Some(server)
    };
    servers.iter().filter_map(server).collect()
}

fn search(reader: &mut Reader<'_>, table: Section<'_>) -> Vec<Domain> {
    let (expected, fix) = (
        "a domain name",
        "write the hospital's own domain, such as \"hospital.example\"",
    );
    let domains = reader.list(table, "uplink", "search", "[\"hospital.example\"]");
    let domain = |text: &At<String>| Some(reader.parse::<Domain>(text, expected, fix)?.value);
    domains.iter().filter_map(domain).collect()
}
