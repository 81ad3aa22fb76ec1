//! `[[port]]`.

use ipnet::Ipv4Net;
use netfw::model::{Limits, Nic, Opening, PortName, Protocol};

use super::address::{HOST_ADDRESS, host_address, ipv4, is_neighbour, nic as nic_of};
use crate::site::mistake::Fault;
use crate::site::read::{At, Reader, Section, join};
use crate::site::{Ingest, Port};

const KNOWN: [&str; 9] = [
    "name",
    "nic",
    "address",
    "instrument",
    "dhcp",
    "mac",
    "ingest",
    "limits",
    "remote",
];

/// A port and where the fields stand that others may contradict.
pub(super) struct PlacedPort {
    pub(super) port: Port,
    pub(super) name: At<PortName>,
    pub(super) nic: At<Nic>,
    pub(super) address: At<Ipv4Net>,
}

/// Every port that can be made out.
pub(super) fn ports<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Vec<PlacedPort> {
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

fn port<'a>(reader: &mut Reader<'a>, table: Section<'a>, path: &str) -> Option<PlacedPort> {
    reader.refuse_unknown(table, path, &KNOWN);
    let name = reader
        .required(table, path, "name", "\"port1\"")
        .and_then(|text| name_of(reader, &text));
    let nic = reader.required(table, path, "nic", "\"pci:0000:00:11.0\"");
    let nic = nic.and_then(|text| nic_of(reader, &text));
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
    let (limits, remote) = (limits(reader, table, path), remote(reader, table, path));
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
        limits,
        remote,
    };
    Some(PlacedPort {
        port,
        name,
        nic,
        address,
    })
}

fn name_of(reader: &mut Reader<'_>, text: &At<String>) -> Option<At<PortName>> {
    match text.value.parse::<PortName>() {
        Ok(name) => Some(text.with(name)),
        Err(invalid) => {
            reader.invalid(text, invalid.expected, "write a short name such as \"port1\"");
            None
        }
    }
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

/// What is left out is the default; whether a number makes sense is for the network as a whole to say.
fn limits<'a>(reader: &mut Reader<'a>, table: Section<'a>, path: &str) -> Limits {
    let mut limits = Limits::default();
    let Some(value) = table.table.get("limits") else {
        return limits;
    };
    let path = join(path, "limits");
    let Some(section) = reader.section_of(value, &path) else {
        return limits;
    };
    let fields = [
        ("connections", &mut limits.connections),
        ("connections-per-second", &mut limits.connections_per_second),
        ("packets-per-second", &mut limits.packets_per_second),
    ];
    reader.refuse_unknown(section, &path, &fields.each_ref().map(|(key, _)| *key));
    for (key, limit) in fields {
        let (expected, fix) = (
            "a number from 1 to 1000000",
            format!("write a number such as {limit}"),
        );
        let Some(number) = reader.integer(section, &path, key, expected, &fix) else {
            continue;
        };
        match u32::try_from(number.value) {
            Ok(value) => *limit = value,
            Err(_) => reader.out_of_range(&number, expected, &fix),
        }
    }
    limits
}

fn remote(reader: &mut Reader<'_>, table: Section<'_>, path: &str) -> Vec<Opening> {
    let (expected, fix) = (
        "tcp/ or udp/ and a port number from 1 to 65535",
        "write what service engineers need on the instrument, such as \"tcp/5900\"",
    );
    let texts = reader.list(table, path, "remote", "[\"tcp/5900\"]");
    let opening = |text: &At<String>| {
        let opening = parse_opening(&text.value);
        if opening.is_none() {
            reader.invalid(text, expected, fix);
        }
        opening
    };
    texts.iter().filter_map(opening).collect()
}

fn parse_opening(text: &str) -> Option<Opening> {
    let (protocol, port) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Opening { protocol, port })
}
