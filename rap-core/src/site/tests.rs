//! One fault a test: the kind and the words.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The example with `from` replaced by `to`, parsed.
pub(super) fn mistakes(from: &str, to: &str) -> Mistakes {
    assert!(EXAMPLE.contains(from), "the example has no {from}");
    let text = EXAMPLE.replacen(from, to, 1);
    Site::parse(&text, Path::new("site.toml")).unwrap_err()
}

/// Expects exactly one mistake, of `fault`, whose text is `expected`.
pub(super) fn check(from: &str, to: &str, fault: Fault, expected: &str) {
    let found = mistakes(from, to);
    let kinds: Vec<Fault> = found.list.iter().map(|mistake| mistake.fault).collect();
    assert_eq!(kinds, [fault], "{found}");
    assert_eq!(found.to_string(), format!("{expected}\nsite.toml: 1 mistake"));
}

#[test]
fn the_example_is_valid() {
    let site = Site::parse(EXAMPLE, Path::new("example.toml")).unwrap();
    assert_eq!(site.name, "rap-ward-3");
    assert_eq!(site.centre.port, 8443);
    assert_eq!(site.centre.host, Host::Ip([10, 9, 0, 10].into()));
    assert_eq!(site.uplink.dns, [IpAddr::from([10, 9, 0, 1])]);
    assert_eq!(site.sessions.unwrap().prefix, "100.64.7.0/24".parse().unwrap());
    let [first, second] = &site.ports[..] else {
        panic!("two ports")
    };
    assert_eq!(first.name.as_str(), "port1");
    assert_eq!((first.ingest, second.ingest), (Ingest::Tls, Ingest::Http));
    assert!(first.mac.is_some() && second.mac.is_none() && second.dhcp);
    assert_eq!(first.address, second.address);
}

#[test]
fn no_toml() {
    let found = mistakes("name = \"rap-ward-3\"", "name = rap ward");
    assert!(found.list.iter().all(|mistake| mistake.fault == Fault::Syntax));
    assert!(found.to_string().starts_with("site.toml:3:"), "{found}");
}

#[test]
fn another_version() {
    check(
        "version = 1",
        "version = 2",
        Fault::Version,
        "site.toml:2:11: version: found 2, expected 1\n    fix: write version = 1, or use the rap-image that \
         belongs to this file",
    );
}

#[test]
fn a_missing_field() {
    check(
        "instrument = \"192.168.1.50\"     #",
        "#",
        Fault::Missing,
        "site.toml:23:1: port[1].instrument: found nothing, expected a value\n    fix: add instrument = \
         \"192.168.1.50\"",
    );
}

#[test]
fn an_unknown_field() {
    check(
        "gateway =",
        "gatway =",
        Fault::Unknown,
        "site.toml:9:1: uplink.gatway: found a field that nobody reads, expected one of nic, address, gateway, \
         dns, search, vlan, mtu, ipv6, gateway6\n    fix: did you mean gateway? otherwise remove it",
    );
}

#[test]
fn a_wrong_type() {
    check(
        "dhcp = true",
        "dhcp = \"yes\"",
        Fault::Type,
        "site.toml:28:8: port[1].dhcp: found a text, expected true or false\n    fix: write dhcp = true or dhcp = \
         false",
    );
}

#[test]
fn a_wrong_name() {
    check(
        "\"rap-ward-3\"",
        "\"Ward 3\"",
        Fault::Invalid,
        "site.toml:3:8: name: found \"Ward 3\", expected 1 to 63 of a-z, 0-9 and -, neither first nor last a -\n    \
         fix: write a host name such as \"rap-ward-3\"",
    );
}

#[test]
fn a_card_by_its_linux_name() {
    check(
        "\"pci:0000:00:11.0\"",
        "\"eth1\"",
        Fault::Invalid,
        "site.toml:25:7: port[1].nic: found \"eth1\", expected pci: and a PCI function, or mac: and an Ethernet \
         address of one station\n    fix: write where the card sits, such as \"pci:0000:00:11.0\", or its address, \
         such as \"mac:52:54:00:12:34:56\"",
    );
}

#[test]
fn an_address_without_prefix() {
    check(
        "\"192.168.1.1/24\"      #",
        "\"192.168.1.1\"      #",
        Fault::Invalid,
        "site.toml:26:11: port[1].address: found \"192.168.1.1\", expected an IPv4 address of one host with a prefix \
         length from 8 to 30\n    fix: write the box's own address on this port, such as \"192.168.1.1/24\"",
    );
}

#[test]
fn a_plain_http_centre() {
    check(
        "https://10.9.0.10:8443",
        "http://10.9.0.10:8443",
        Fault::Invalid,
        "site.toml:19:7: centre.url: found \"http://10.9.0.10:8443\", expected https://HOST or https://HOST:PORT \
         without a path\n    fix: write \"https://\" and the name or address of the service centre, with :PORT if it \
         is not 443",
    );
}

#[test]
fn a_name_used_twice() {
    check(
        "name = \"port2\"",
        "name = \"port1\"",
        Fault::Duplicate,
        "site.toml:40:8: port[2].name: found \"port1\", expected a name of its own: port[1].name has this one\n    \
         fix: rename one of the two",
    );
}

#[test]
fn a_card_used_twice() {
    check(
        "pci:0000:00:12.0",
        "pci:0000:00:10.0",
        Fault::Duplicate,
        "site.toml:41:7: port[2].nic: found \"pci:0000:00:10.0\", expected a card of its own: uplink.nic has this \
         one\n    fix: write the card this port is wired to",
    );
}

#[test]
fn an_instrument_outside_its_network() {
    check(
        "\"192.168.1.50\"     #",
        "\"192.168.2.50\"     #",
        Fault::Conflict,
        "site.toml:27:14: port[1].instrument: found 192.168.2.50, expected another host of 192.168.1.0/24\n    fix: \
         give the instrument an address in its port's network that is not the box's own",
    );
}

#[test]
fn an_instrument_with_the_boxs_address() {
    let found = mistakes("\"192.168.1.50\"     #", "\"192.168.1.1\"     #");
    assert_eq!(found.list[0].fault, Fault::Conflict);
}

#[test]
fn a_port_in_the_hospitals_network() {
    let found = mistakes("\"10.9.0.2/24\"", "\"192.168.0.2/16\"");
    let fields: Vec<_> = found
        .list
        .iter()
        .map(|mistake| (mistake.fault, mistake.field.as_str()))
        .collect();
    let expected = [
        (Fault::Conflict, "uplink.gateway"),
        (Fault::Conflict, "port[1].address"),
        (Fault::Conflict, "port[2].address"),
    ];
    assert_eq!(fields, expected, "{found}");
}

#[test]
fn a_gateway_with_dhcp() {
    let found = mistakes("\"10.9.0.2/24\"", "\"dhcp\"");
    assert_eq!(found.list.len(), 1);
    assert_eq!(found.list[0].field, "uplink.gateway");
}

#[test]
fn an_empty_file_misses_everything() {
    let found = Site::parse("", Path::new("site.toml")).unwrap_err();
    let fields: Vec<_> = found.list.iter().map(|mistake| mistake.field.as_str()).collect();
    assert_eq!(fields, ["version", "name", "uplink", "centre", "port"]);
}

#[test]
fn ten_mistakes_are_told_at_once() {
    let mut text = EXAMPLE.replace("pci:", "PCI:").replace("dhcp = true", "dhcp = 1");
    text = text
        .replace("version = 1", "version = \"1\"")
        .replace("\"tls\"", "\"TLS\"");
    text = text.replace("\"http\"", "80").replace("name = ", "nam = ");
    let found = Site::parse(&text, Path::new("site.toml")).unwrap_err();
    assert_eq!(found.list.len(), 21, "{found}");
    assert!(
        found.list.windows(2).all(|pair| pair[0].line <= pair[1].line),
        "{found}"
    );
}

#[test]
fn ports_are_compared_although_the_uplink_is_wrong() {
    let text = EXAMPLE.replace("\"port2\"", "\"port1\"").replace("00:10.0", "10");
    let found = Site::parse(&text, Path::new("site.toml")).unwrap_err();
    let fields: Vec<_> = found.list.iter().map(|mistake| mistake.field.as_str()).collect();
    assert_eq!(fields, ["uplink.nic", "port[2].name"], "{found}");
}

#[test]
fn urls() {
    let host = |url: &str| {
        let text = EXAMPLE.replace("https://10.9.0.10:8443", url);
        let text = text.replace("ipv6 = \"off\"", "ipv6 = \"slaac\"");
        Site::parse(&text, Path::new("s")).map(|site| site.centre)
    };
    assert_eq!(
        host("https://Centre.Example/").unwrap().host,
        Host::Name("centre.example".into())
    );
    assert_eq!(host("https://centre.example").unwrap().port, 443);
    assert_eq!(
        host("https://[fd00::1]:8443").unwrap().host,
        Host::Ip("fd00::1".parse().unwrap())
    );
    for wrong in [
        "https://",
        "https://a/b",
        "https://a:0",
        "https://a:x",
        "https://u@a",
        "https://1.2.3",
        "ftp://a",
    ] {
        assert!(host(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_unreadable_file_is_said_with_its_path() {
    let found = Site::load(Path::new("/nonexistent/site.toml")).unwrap_err();
    assert_eq!(found.list[0].fault, Fault::Unreadable);
    assert!(
        found
            .to_string()
            .starts_with("/nonexistent/site.toml: found No such file")
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = Site::parse(&text, Path::new("site.toml")).map_err(|mistakes| mistakes.to_string());
    }

    #[test]
    fn a_damaged_example_never_panics(at in 0_usize..EXAMPLE.len(), new in any::<char>(), cut in 0_usize..9) {
        let at = EXAMPLE.floor_char_boundary(at);
        let end = EXAMPLE.ceil_char_boundary((at + cut).min(EXAMPLE.len()));
        let mut text = EXAMPLE.to_owned();
        text.replace_range(at..end, &new.to_string());
        if let Err(mistakes) = Site::parse(&text, Path::new("site.toml")) {
            prop_assert!(!mistakes.list.is_empty());
            prop_assert!(mistakes.list.iter().all(|mistake| mistake.line >= 1 && mistake.column >= 1));
        }
    }
}
