//! Everything the kernel has in a machine's namespaces, as text, without what changes by itself: the programs of
//! iproute2 and nftables are asked, not netfw.

use std::fs;
use std::path::Path;
use std::process::Command;

use netfw::netns;
use serde_json::Value;

use super::Lab;

/// What differs from one moment or one making to the next.
const FLEETING: [&str; 17] = [
    "handle",
    "qdisc",
    "packets",
    "bytes",
    "ifindex",
    "operstate",
    "link_index",
    "link_netnsid",
    "link_netns",
    "expires",
    "valid_life_time",
    "preferred_life_time",
    "metainfo",
    "tentative",
    "stats64",
    "linkmode",
    "carrier",
];
/// Flags that follow the other end of a cable.
const FLAGS: [&str; 6] = [
    "LOWER_UP",
    "NO-CARRIER",
    "M-DOWN",
    "linkdown",
    "dead",
    "tentative",
];
/// Settings that netfw has a word in.
const SETTINGS: [&str; 6] = [
    "net/ipv4/conf",
    "net/ipv6/conf",
    "net/ipv4/ip_forward",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/icmp_echo_ignore_broadcasts",
    "net/ipv4/icmp_errors_use_inbound_ifaddr",
];

/// The root namespace and those of ports, whatever is there.
pub(crate) fn dump(lab: &Lab) -> String {
    let mut places: Vec<_> = fs::read_dir(netns::DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_prefix(&lab.prefix).map(str::to_owned))
        .filter(|name| name == "root" || name.starts_with("port"))
        .collect();
    places.sort_unstable();
    let texts = places
        .iter()
        .map(|place| format!("== {place}\n{}", of_place(lab, place)));
    texts.collect()
}

fn of_place(lab: &Lab, place: &str) -> String {
    let commands = [
        "ip -d -j address",
        "ip -j route show table all",
        "ip -6 -j route show table all",
        "ip -j neighbour show nud permanent",
        "nft -j list ruleset",
    ];
    let text = lab.ns(place).run(|| {
        let answers = commands.map(|command| format!("-- {command}\n{}", answer(command)));
        let settings = SETTINGS.map(|path| settings(&Path::new("/proc/sys").join(path)));
        answers.concat() + &settings.concat()
    });
    text.unwrap().replace(&lab.prefix, "")
}

/// One line an object, sorted where the kernel's order means nothing.
fn answer(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let mut value: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    strip(&mut value);
    let objects = match value {
        Value::Array(objects) => objects,
        Value::Object(mut object) => match object.remove("nftables") {
            Some(Value::Array(objects)) => objects,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let mut objects: Vec<_> = objects;
    // Tables come in the order they were last loaded, and within each everything in its own.
    objects.sort_by_key(table);
    let mut lines: Vec<_> = objects.iter().map(|object| format!("{object}\n")).collect();
    if command.starts_with("ip") {
        lines.sort_unstable();
    }
    lines.concat()
}

/// The table an object of nft's listing is or belongs to.
fn table(object: &Value) -> Option<String> {
    let (kind, object) = object.as_object()?.iter().next()?;
    let name = if kind == "table" {
        &object["name"]
    } else {
        &object["table"]
    };
    name.as_str().map(str::to_owned)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, _| !FLEETING.contains(&key.as_str()));
            object.values_mut().for_each(strip);
        }
        Value::Array(array) => {
            array.retain(|item| !comes_with_carrier(item));
            array.retain(|item| !item.as_str().is_some_and(|flag| FLAGS.contains(&flag)));
            array.iter_mut().for_each(strip);
        }
        _ => {}
    }
}

/// What the kernel makes by itself for IPv6 when a cable's other end comes.
fn comes_with_carrier(item: &Value) -> bool {
    ["local", "dst"].iter().any(|key| {
        let text = item[key].as_str().unwrap_or("");
        text.starts_with("fe80:") || text.starts_with("ff00:")
    })
}

fn settings(path: &Path) -> String {
    if path.is_dir() {
        let mut below: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        below.sort_unstable();
        return below.iter().map(|path| settings(path)).collect();
    }
    match fs::read_to_string(path) {
        // Each boot's and each link's own.
        Ok(value) if !path.ends_with("stable_secret") => format!("{}={}\n", path.display(), value.trim()),
        _ => String::new(),
    }
}

/// The first lines in which two dumps differ.
pub(crate) fn differences(before: &str, after: &str) -> String {
    let only = |these: &str, those: &str, sign: &str| {
        let lines = these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line));
        lines
            .take(8)
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    only(before, after, "-") + &only(after, before, "+")
}
