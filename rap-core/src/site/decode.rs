//! From the TOML document to a [`Site`]: field by field, then what fields say of each other.

mod address;
mod faults;
mod port;
mod uplink;

use ipnet::Ipv4Net;
use netfw::model::{Addressing, Nic};
use toml::de::DeTable;

use super::mistake::{Fault, Mistake};
use super::read::{At, Reader, Section};
use super::{BitRate, Centre, Site, Target, Uplink, audit, egress, files, sessions, updates};
use port::PlacedPort;

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
    if let Some(Err(faults)) = site.as_ref().map(Site::network) {
        faults::note(&mut reader, root, &faults);
    }
    match site {
        Some(site) if reader.is_clean() => Ok(site),
        _ => Err(reader.into_mistakes()),
    }
}

fn site<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Option<Site> {
    version(reader, root);
    let known = [
        "version", "name", "uplink", "centre", "sessions", "port", "proxy", "egress", "trigger", "files",
        "update", "audit",
    ];
    reader.refuse_unknown(root, "", &known);
    let name = reader.required(root, "", "name", "\"rap-ward-3\"");
    let name = name.and_then(|name| host_name(reader, name));
    let uplink = reader
        .table(root, "uplink")
        .and_then(|table| uplink::uplink(reader, table));
    let centre = reader
        .table(root, "centre")
        .and_then(|table| centre(reader, table));
    let sessions = sessions::decode(reader, root);
    let ports = port::ports(reader, root);
    let egress = egress::decode(reader, root);
    // Also without an uplink: what ports say of each other is told in the same run.
    relations(reader, uplink.as_ref(), &ports);
    let triggers = super::triggers::decode(reader, root);
    let files = files::decode(reader, root, ports.len());
    let updates = updates::decode(reader, root);
    let audit = audit::decode(reader, root);
    let (uplink, _) = uplink?;
    Some(Site {
        name: name?,
        uplink,
        centre: centre?,
        sessions,
        ports: ports.into_iter().map(|port| port.port).collect(),
        egress,
        triggers,
        files,
        updates,
        audit,
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

fn centre(reader: &mut Reader<'_>, table: Section<'_>) -> Option<Centre> {
    reader.refuse_unknown(table, "centre", &["url", "rate-limit"]);
    let rate_limit = reader.optional(table, "centre", "rate-limit", "\"96 kbit/s\"");
    let rate_limit = rate_limit.map(|text| rate(reader, &text));
    let url = reader.required(table, "centre", "url", "\"https://centre.example\"")?;
    let target = parse_url(&url.value);
    if target.is_none() {
        let fix =
            "write \"https://\" and the name or address of the service centre, with :PORT if it is not 443";
        reader.invalid(&url, "https://HOST or https://HOST:PORT without a path", fix);
    }
    let target = target?;
    Some(Centre {
        host: target.host,
        port: target.port,
        rate_limit: match rate_limit {
            Some(rate_limit) => Some(rate_limit?),
            None => None,
        },
    })
}

fn rate(reader: &mut Reader<'_>, text: &At<String>) -> Option<BitRate> {
    let expected = "a whole number from \"8 kbit/s\" to \"1000 Mbit/s\"";
    let fix = "write what reports may take of the line, such as \"96 kbit/s\"; leave it out where there is no limit";
    Some(reader.parse::<BitRate>(text, expected, fix)?.value)
}

/// RFC 3986 §3, cut down to what a service centre's base may be: https, a host, a port, no more.
fn parse_url(url: &str) -> Option<Target> {
    let rest = url.strip_prefix("https://")?;
    Target::parse(rest.strip_suffix('/').unwrap_or(rest), Some(443))
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

#[cfg(test)]
mod tests;
