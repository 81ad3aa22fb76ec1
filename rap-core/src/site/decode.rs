//! From the TOML document to a [`Site`]: field by field, then what fields say of each other.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netfw::model::{Addressing, Host, Nic, PortName};
use toml::de::DeTable;

use super::mistake::{Fault, Mistake};
use super::read::{At, Reader, Section};
use super::{Centre, Ingest, Port, Site, Uplink};

const NIC: &str = "pci: and a PCI function, or mac: and an Ethernet address of one station";
const NIC_FIX: &str = "write where the card sits, such as \"pci:0000:00:11.0\", or its address, such as \"mac:52:54:00:12:34:56\"";
const HOST_ADDRESS: &str = "an IPv4 address of one host with a prefix length from 8 to 30";

/// Decodes `text`.
pub(super) fn decode(text: &str) -> Result<Site, Vec<Mistake>> {
    let mut reader = Reader::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let (found, fix) = (
            "something that is not TOML",
            "see https://toml.io for how TOML is written",
        );
        reader.note(Fault::Syntax, at, "", found, error.message(), fix);
    }
    if !reader.is_clean() {
        // What the parser guessed beyond a syntax error would only give mistakes nobody made.
        return Err(reader.into_mistakes());
    }
    let root = Section {
        table: document.get_ref(),
        start: 0,
    };
    let site = site(&mut reader, root);
    match site {
        Some(site) if reader.is_clean() => Ok(site),
        _ => Err(reader.into_mistakes()),
    }
}

fn site<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Option<Site> {
    version(reader, root);
    reader.refuse_unknown(
        root,
        "",
        &["version", "name", "uplink", "centre", "port", "trigger"],
    );
    let name = reader.required(root, "", "name", "\"rap-ward-3\"");
    let name = name.and_then(|name| host_name(reader, name));
    let uplink = reader
        .table(root, "uplink")
        .and_then(|table| uplink(reader, table));
    let centre = reader
        .table(root, "centre")
        .and_then(|table| centre(reader, table));
    let ports = ports(reader, root);
    // Also without an uplink: what ports say of each other is told in the same run.
    relations(reader, uplink.as_ref(), &ports);
    let triggers = super::triggers::decode(reader, root);
    let (uplink, _) = uplink?;
    Some(Site {
        name: name?,
        uplink,
        centre: centre?,
        ports: ports.into_iter().map(|port| port.port).collect(),
        triggers,
    })
}

fn version(reader: &mut Reader<'_>, root: Section<'_>) {
    let Some(value) = root.table.get("version") else {
        let fix = "add version = 1 as the first line";
        return reader.note(Fault::Missing, 0, "version", "nothing", "version = 1", fix);
    };
    let Some(number) = value.get_ref().as_integer() else {
        return reader.wrong_type(value, "version", "the number 1", "write version = 1");
    };
    if number.to_string() != "1" {
        let fix = "write version = 1, or use the rap-image that belongs to this file";
        reader.note(Fault::Version, value.span().start, "version", number, "1", fix);
    }
}

/// RFC 1123 §2.1: letters, digits and hyphens, at most 63, neither first nor last a hyphen; we take lower case only.
fn host_name(reader: &mut Reader<'_>, name: At<String>) -> Option<String> {
    let clean = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let text = &name.value;
    let fits = (1..=63).contains(&text.len()) && text.chars().all(clean);
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        return Some(name.value);
    }
    let expected = "1 to 63 of a-z, 0-9 and -, neither first nor last a -";
    reader.invalid(&name, expected, "write a host name such as \"rap-ward-3\"");
    None
}

fn uplink(reader: &mut Reader<'_>, table: Section<'_>) -> Option<(Uplink, At<Nic>)> {
    reader.refuse_unknown(table, "uplink", &["nic", "address", "gateway", "dns"]);
    let nic = reader.required(table, "uplink", "nic", "\"pci:0000:00:10.0\"");
    let nic = nic.and_then(|text| reader.parse::<Nic>(&text, NIC, NIC_FIX));
    let address = reader.required(table, "uplink", "address", "\"dhcp\"");
    let gateway = reader.optional(table, "uplink", "gateway", "\"10.9.0.1\"");
    let gateway = gateway.and_then(|text| ipv4(reader, &text));
    let dns = reader.list(table, "uplink", "dns", "[\"10.9.0.1\"]");
    let dns = dns
        .iter()
        .filter_map(|text| ipv4(reader, text))
        .map(|at| at.value)
        .collect();
    let addressing = address.and_then(|text| addressing(reader, &text, gateway.as_ref()));
    let nic = nic?;
    let uplink = Uplink {
        nic: nic.value.clone(),
        addressing: addressing?,
        dns,
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

fn centre(reader: &mut Reader<'_>, table: Section<'_>) -> Option<Centre> {
    reader.refuse_unknown(table, "centre", &["url"]);
    let url = reader.required(table, "centre", "url", "\"https://centre.example\"")?;
    let centre = parse_url(&url.value);
    if centre.is_none() {
        let fix =
            "write \"https://\" and the name or address of the service centre, with :PORT if it is not 443";
        reader.invalid(&url, "https://HOST or https://HOST:PORT without a path", fix);
    }
    centre
}

/// RFC 3986 §3.2, cut down to what a service centre's base may be: https, a host, a port, no more.
fn parse_url(url: &str) -> Option<Centre> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port != 0)?),
        _ => (authority, 443),
    };
    let host = if let Some(inner) = host.strip_prefix('[') {
        Host::Ip(
            inner
                .strip_suffix(']')?
                .parse::<std::net::Ipv6Addr>()
                .ok()?
                .into(),
        )
    } else if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        Host::Ip(host.parse::<Ipv4Addr>().ok()?.into())
    } else {
        let label = |l: &str| {
            let clean = l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            (1..=63).contains(&l.len()) && clean && !l.starts_with('-') && !l.ends_with('-')
        };
        if host.len() > 253 || !host.split('.').all(label) {
            return None;
        }
        Host::Name(host.to_ascii_lowercase())
    };
    Some(Centre { host, port })
}

/// A port and where the fields stand that others may contradict.
struct PlacedPort {
    port: Port,
    name: At<PortName>,
    nic: At<Nic>,
    address: At<Ipv4Net>,
}

fn ports<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Vec<PlacedPort> {
    let Some(value) = root.table.get("port") else {
        let fix = "add a table [[port]] for each instrument";
        reader.note(
            Fault::Missing,
            0,
            "port",
            "nothing",
            "at least one table [[port]]",
            fix,
        );
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array().filter(|array| !array.is_empty()) else {
        let fix = "write one [[port]] (two brackets) for each instrument";
        reader.wrong_type(value, "port", "a list of at least one table [[port]]", fix);
        return Vec::new();
    };
    let mut ports = Vec::new();
    for (i, item) in array.iter().enumerate() {
        let path = format!("port[{}]", i + 1);
        let port = reader
            .section_of(item, &path)
            .and_then(|table| port(reader, table, &path));
        ports.extend(port);
    }
    ports
}

fn port(reader: &mut Reader<'_>, table: Section<'_>, path: &str) -> Option<PlacedPort> {
    let known = ["name", "nic", "address", "instrument", "dhcp", "mac", "ingest"];
    reader.refuse_unknown(table, path, &known);
    let name = reader
        .required(table, path, "name", "\"port1\"")
        .and_then(|text| {
            let rule = "1 to 11 of a-z, 0-9 and -, starting with a letter";
            reader.parse::<PortName>(&text, rule, "write a short name such as \"port1\"")
        });
    let nic = reader.required(table, path, "nic", "\"pci:0000:00:11.0\"");
    let nic = nic.and_then(|text| reader.parse::<Nic>(&text, NIC, NIC_FIX));
    let address = reader.required(table, path, "address", "\"192.168.1.1/24\"");
    let fix = "write the box's own address on this port, such as \"192.168.1.1/24\"";
    let address = address.and_then(|text| host_address(reader, &text, HOST_ADDRESS, fix));
    let instrument = reader.required(table, path, "instrument", "\"192.168.1.50\"");
    let instrument = instrument.and_then(|text| ipv4(reader, &text));
    let dhcp = reader.boolean(table, path, "dhcp", true);
    let mac = reader
        .optional(table, path, "mac", "\"52:54:00:12:34:56\"")
        .map(|text| {
            let rule = "six hexadecimal bytes of one station";
            reader.parse(
                &text,
                rule,
                "write the instrument's address, such as \"52:54:00:12:34:56\"",
            )
        });
    let ingest = ingest(reader, table, path);
    let (name, nic, address, instrument) = (name?, nic?, address?, instrument?);
    if !is_neighbour(instrument.value, address.value) {
        let expected = format!("another host of {}", address.value.trunc());
        let fix = "give the instrument an address in its port's network that is not the box's own";
        reader.note(
            Fault::Conflict,
            instrument.span.start,
            &instrument.field,
            instrument.value,
            expected,
            fix,
        );
    }
    let port = Port {
        name: name.value.clone(),
        nic: nic.value.clone(),
        address: address.value,
        instrument: instrument.value,
        dhcp,
        mac: match mac {
            Some(mac) => Some(mac?.value),
            None => None,
        },
        ingest: ingest?,
    };
    Some(PlacedPort {
        port,
        name,
        nic,
        address,
    })
}

fn ingest(reader: &mut Reader<'_>, table: Section<'_>, path: &str) -> Option<Ingest> {
    let Some(text) = reader.optional(table, path, "ingest", "\"tls\"") else {
        // Left out is the default; a wrong type has been noted and fails the whole file.
        return Some(Ingest::Tls);
    };
    match text.value.as_str() {
        "tls" => Some(Ingest::Tls),
        "http" => Some(Ingest::Http),
        _ => {
            let fix = "write \"tls\", or \"http\" where the agent cannot do TLS";
            reader.invalid(&text, "\"tls\" or \"http\"", fix);
            None
        }
    }
}

fn ipv4(reader: &mut Reader<'_>, text: &At<String>) -> Option<At<Ipv4Addr>> {
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

fn host_address(reader: &mut Reader<'_>, text: &At<String>, rule: &str, fix: &str) -> Option<At<Ipv4Net>> {
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
fn is_one_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Whether `host` is another usable host of the network that `own` is in.
fn is_neighbour(host: Ipv4Addr, own: Ipv4Net) -> bool {
    own.contains(&host) && host != own.addr() && host != own.network() && host != own.broadcast()
}

/// What ports say of each other and of the uplink.
fn relations(reader: &mut Reader<'_>, uplink: Option<&(Uplink, At<Nic>)>, ports: &[PlacedPort]) {
    let mut nics: Vec<_> = uplink.iter().map(|(_, nic)| nic.clone()).collect();
    for (i, port) in ports.iter().enumerate() {
        if let Some(first) = ports[..i]
            .iter()
            .find(|other| other.name.value == port.name.value)
        {
            let (found, at) = (format!("\"{}\"", port.name.value), port.name.span.start);
            let expected = format!("a name of its own: {} has this one", first.name.field);
            reader.note(
                Fault::Duplicate,
                at,
                &port.name.field,
                found,
                expected,
                "rename one of the two",
            );
        }
        if let Some(first) = nics.iter().find(|other| other.value == port.nic.value) {
            let (found, at) = (format!("\"{}\"", port.nic.value), port.nic.span.start);
            let expected = format!("a card of its own: {} has this one", first.field);
            let fix = "write the card this port is wired to";
            reader.note(Fault::Duplicate, at, &port.nic.field, found, expected, fix);
        }
        nics.push(port.nic.clone());
        if let Some((uplink, _)) = uplink
            && let Addressing::Static { address, .. } = &uplink.addressing
        {
            overlap(reader, &port.address, *address);
        }
    }
}

fn overlap(reader: &mut Reader<'_>, port: &At<Ipv4Net>, uplink: Ipv4Net) {
    if !port.value.contains(&uplink.network()) && !uplink.contains(&port.value.network()) {
        return;
    }
    let found = format!("\"{}\"", port.value);
    let expected = format!("a network apart from the uplink's {}", uplink.trunc());
    let fix = "instruments and hospital cannot share a network: give the port another prefix";
    reader.note(
        Fault::Conflict,
        port.span.start,
        &port.field,
        found,
        expected,
        fix,
    );
}
