//! What the network says of itself as a whole ([`netfw::Faults`]), as mistakes at their places in the text.

use std::net::IpAddr;

use netfw::{Fault as NetFault, Faults};
use toml::Spanned;
use toml::de::DeValue;

use crate::site::mistake::Fault;
use crate::site::read::{Reader, Section};

/// Notes each fault at the field it is about, unless that field has a mistake already.
pub(super) fn note(reader: &mut Reader<'_>, root: Section<'_>, faults: &Faults) {
    for fault in faults.0.iter().filter(|fault| !is_on_this_machine(fault)) {
        let (field, keys) = field_of(root, &fault.path);
        // Where the prefix is there and wrong, nobody misses it.
        let follows = needs_sessions(&field, fault) && reader.has_mistake("sessions");
        if !follows && !reader.has_mistake(&field) {
            let at = place(root, &keys);
            reader.note(
                Fault::Conflict,
                at,
                &field,
                &fault.found,
                &fault.expected,
                fix(&field, fault),
            );
        }
    }
}

/// A destination on loopback: of no use on a box, whose netd refuses it, but how the services are tried on a desk.
fn is_on_this_machine(fault: &NetFault) -> bool {
    let address = fault.found.parse::<IpAddr>();
    fault.path.starts_with("endpoints.") && address.is_ok_and(|address| address.is_loopback())
}

/// One step into the document.
enum Key<'p> {
    Name(&'p str),
    Item(usize),
}

/// From a path of the network's to the field that says it, and the way to it.
fn field_of<'p>(root: Section<'_>, path: &'p str) -> (String, Vec<Key<'p>>) {
    let (part, rest) = path.split_once('.').unwrap_or((path, ""));
    match part {
        "uplink" => {
            let name = match rest {
                "ipv6.address" => "ipv6",
                "ipv6.gateway" => "gateway6",
                other => other,
            };
            (
                format!("uplink.{name}"),
                vec![Key::Name("uplink"), Key::Name(name)],
            )
        }
        "sessions" => (
            "sessions.prefix".to_owned(),
            vec![Key::Name("sessions"), Key::Name("prefix")],
        ),
        "ports" => {
            let (name, rest) = rest.split_once('.').unwrap_or((rest, "name"));
            in_list(
                root,
                "port",
                name,
                if rest.starts_with("services") {
                    "ingest"
                } else {
                    rest
                },
            )
        }
        // The service centre, or a proxy on the way to it.
        _ => match rest
            .split_once('.')
            .and_then(|(name, _)| name.strip_prefix("proxy-"))
        {
            Some(proxy) => in_list(root, "proxy", proxy, "url"),
            None => (
                "centre.url".to_owned(),
                vec![Key::Name("centre"), Key::Name("url")],
            ),
        },
    }
}

/// The field `rest` of the item called `name` of a list of tables.
fn in_list<'p>(root: Section<'_>, list: &'p str, name: &str, rest: &'p str) -> (String, Vec<Key<'p>>) {
    let items = root.table.get(list).and_then(|items| items.get_ref().as_array());
    let is_it = |item: &Spanned<DeValue<'_>>| {
        let table = item.get_ref().as_table();
        let found = table
            .and_then(|table| table.get("name"))
            .and_then(|found| found.get_ref().as_str());
        found == Some(name)
    };
    // The last of that name: a second one is what is complained of.
    let nth = items.and_then(|items| items.iter().rposition(is_it)).unwrap_or(0);
    let mut keys = vec![Key::Name(list), Key::Item(nth)];
    keys.extend(rest.split('.').map(Key::Name));
    (format!("{list}[{}].{rest}", nth + 1), keys)
}

/// Where the field stands; where it is not written, the table it would be in.
fn place(root: Section<'_>, keys: &[Key<'_>]) -> usize {
    let mut at = 0;
    let mut value: Option<&DeValue<'_>> = None;
    for key in keys {
        let next = match (key, value) {
            (Key::Name(name), None) => root.table.get(*name),
            (Key::Name(name), Some(value)) => value.as_table().and_then(|table| table.get(*name)),
            (Key::Item(nth), Some(value)) => value.as_array().and_then(|items| items.get(*nth)),
            (Key::Item(_), None) => None,
        };
        let Some(next) = next else { break };
        at = next.span().start;
        value = Some(next.get_ref());
    }
    at
}

fn needs_sessions(field: &str, fault: &NetFault) -> bool {
    field.ends_with(".remote") && fault.expected.contains("session prefix")
}

fn fix(field: &str, fault: &NetFault) -> String {
    if field == "sessions.prefix" {
        return "choose a network that nothing else uses, such as \"100.64.7.0/24\"".to_owned();
    }
    if needs_sessions(field, fault) {
        return "add a table [sessions] with a prefix, or remove remote".to_owned();
    }
    if fault.expected.contains("IPv6 is switched off") {
        return "write an IPv4 address or a name, or switch IPv6 on with ipv6 in [uplink]".to_owned();
    }
    format!("correct {field}")
}
