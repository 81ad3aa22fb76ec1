//! The fields of the network, and one fault a test.

use std::path::Path;

use netfw::model::{Addressing, Ipv6, Opening, Protocol};

use crate::site::tests::{check, mistakes};
use crate::site::{EXAMPLE, Fault, Site};

/// The example with each `from` replaced by its `to`; it must be valid.
fn site(changes: &[(&str, &str)]) -> Site {
    let mut text = EXAMPLE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "the example has no {from}");
        text = text.replacen(from, to, 1);
    }
    Site::parse(&text, Path::new("site.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Expects one mistake, of `fault` in `field`, with `expected` and `fix` in its words.
fn one(from: &str, to: &str, fault: Fault, field: &str, expected: &str, fix: &str) {
    let found = mistakes(from, to);
    assert_eq!(found.list.len(), 1, "{found}");
    let mistake = &found.list[0];
    assert_eq!((mistake.fault, mistake.field.as_str()), (fault, field), "{found}");
    assert!(mistake.expected.contains(expected), "{found}");
    assert!(mistake.fix.contains(fix), "{found}");
}

#[test]
fn every_field_of_the_network_is_read() {
    let site = site(&[
        ("# vlan = 120 ", "vlan = 120 "),
        ("mtu = 1500", "mtu = 1280"),
        ("ipv6 = \"off\"", "ipv6 = \"2001:db8::2/64\""),
        ("# gateway6", "gateway6"),
        ("dns = [", "dns = [\"2001:db8::1\", "),
        ("\"tcp/5900\"", "\"tcp/5900\", \"udp/161\""),
        ("connections-per-second = 50", "connections-per-second = 7"),
    ]);
    let network = site.network().unwrap();
    let uplink = &network.uplink;
    assert_eq!(uplink.vlan.unwrap().number(), 120);
    assert_eq!(uplink.mtu.unwrap().bytes(), 1280);
    let ipv6 = Ipv6::Static {
        address: "2001:db8::2/64".parse().unwrap(),
        gateway: Some("fe80::1".parse().unwrap()),
    };
    assert_eq!(uplink.ipv6, ipv6);
    assert_eq!((uplink.dns.len(), uplink.dns[0].is_ipv6()), (2, true));
    assert_eq!(uplink.search[0].as_str(), "hospital.example");
    assert_eq!(network.sessions, Some("100.64.7.0/24".parse().unwrap()));
    let port = &network.ports[0];
    let opening = |protocol, port| Opening { protocol, port };
    let remote = [opening(Protocol::Tcp, 5900), opening(Protocol::Udp, 161)];
    assert_eq!(port.remote, remote);
    assert_eq!(port.limits.connections_per_second, 7);
    assert_eq!(
        port.limits.packets_per_second,
        network.ports[1].limits.packets_per_second
    );
}

#[test]
fn what_is_left_out_is_off_or_the_default() {
    let text = "version = 1\nname = \"a\"\n[uplink]\nnic = \"pci:0000:00:10.0\"\naddress = \"dhcp\"\n\
                [centre]\nurl = \"https://centre.example\"\n[[port]]\nname = \"p\"\nnic = \"pci:0000:00:11.0\"\n\
                address = \"192.168.1.1/24\"\ninstrument = \"192.168.1.50\"\n";
    let site = Site::parse(text, Path::new("site.toml")).unwrap();
    let uplink = &site.uplink;
    assert_eq!((uplink.vlan, uplink.mtu, uplink.ipv6), (None, None, Ipv6::Off));
    assert_eq!((&uplink.addressing, uplink.search.len()), (&Addressing::Dhcp, 0));
    assert_eq!((&site.sessions, site.ports[0].remote.len()), (&None, 0));
    assert_eq!(site.ports[0].limits, Default::default());
    assert_eq!(site.centre.rate_limit, None);
}

#[test]
fn a_vlan_that_is_none() {
    let expected = "site.toml:12:8: uplink.vlan: found 4095, expected a VLAN's number from 1 to 4094\n    fix: write the \
                    number the hospital's switch has, such as 120; leave it out where the switch does not tag";
    check("# vlan = 120", "vlan = 4095 #", Fault::Invalid, expected);
    one(
        "# vlan = 120",
        "vlan = \"120\" #",
        Fault::Type,
        "uplink.vlan",
        "1 to 4094",
        "such as 120",
    );
    let huge = "vlan = 99999999999999999999 #";
    one(
        "# vlan = 120",
        huge,
        Fault::Invalid,
        "uplink.vlan",
        "1 to 4094",
        "such as 120",
    );
}

#[test]
fn an_mtu_out_of_range() {
    one(
        "mtu = 1500",
        "mtu = 576",
        Fault::Invalid,
        "uplink.mtu",
        "from 1280 to 9216",
        "such as 1400",
    );
}

#[test]
fn an_ipv6_that_is_none_of_its_kinds() {
    let words = "such as \"2001:db8::2/64\"";
    one(
        "\"off\"",
        "\"on\"",
        Fault::Invalid,
        "uplink.ipv6",
        "\"slaac\"",
        words,
    );
    one(
        "\"off\"",
        "\"2001:db8::2\"",
        Fault::Invalid,
        "uplink.ipv6",
        "prefix",
        words,
    );
    one(
        "\"off\"",
        "\"fe80::2/64\"",
        Fault::Conflict,
        "uplink.ipv6",
        "link-local",
        "correct uplink.ipv6",
    );
}

#[test]
fn an_ipv6_router_without_an_address_or_far_away() {
    let fix = "remove gateway6";
    one(
        "# gateway6",
        "gateway6",
        Fault::Conflict,
        "uplink.gateway6",
        "no gateway6",
        fix,
    );
    let far = "\"2001:db8::2/64\"\ngateway6 = \"2001:db8:1::1\" #";
    one(
        "\"off\"",
        far,
        Fault::Conflict,
        "uplink.gateway6",
        "2001:db8::/64",
        "correct uplink.gateway6",
    );
}

#[test]
fn a_name_server_or_centre_of_ipv6_where_that_is_off() {
    let fix = "switch IPv6 on";
    one(
        "dns = [\"10.9.0.1\"]",
        "dns = [\"2001:db8::1\"]",
        Fault::Conflict,
        "uplink.dns",
        "switched off",
        fix,
    );
    one(
        "//10.9.0.10:",
        "//[2001:db8::1]:",
        Fault::Conflict,
        "centre.url",
        "switched off",
        fix,
    );
}

#[test]
fn a_search_domain_that_is_no_name() {
    let (to, fix) = ("\"hospital example\"", "such as \"hospital.example\"");
    one(
        "\"hospital.example\"",
        to,
        Fault::Invalid,
        "uplink.search[1]",
        "a domain name",
        fix,
    );
}

#[test]
fn a_limit_that_limits_nothing_and_one_nobody_knows() {
    let field = "port[1].limits.connections";
    one(
        "connections = 64",
        "connections = 0",
        Fault::Conflict,
        field,
        "from 1 to 1000000",
        "correct",
    );
    one(
        "connections = 64",
        "connections = -1",
        Fault::Invalid,
        field,
        "from 1 to 1000000",
        "such as 64",
    );
    one(
        "connections = 64",
        "connections = 6.4",
        Fault::Type,
        field,
        "from 1 to 1000000",
        "such as 64",
    );
    let fix = "did you mean connections";
    one(
        "connections = 64",
        "conections = 64",
        Fault::Unknown,
        "port[1].limits.conections",
        "one of",
        fix,
    );
    let found = mistakes("[port.limits]\nconnections = 64", "#");
    assert!(
        found
            .list
            .iter()
            .all(|mistake| mistake.field.starts_with("port[1].")),
        "{found}"
    );
}

#[test]
fn a_remote_port_that_is_none_twice_or_without_sessions() {
    let (field, fix) = ("port[1].remote[1]", "such as \"tcp/5900\"");
    for wrong in ["5900", "tcp/0", "tcp/65536", "sctp/5900", "tcp:5900"] {
        one("tcp/5900", wrong, Fault::Invalid, field, "tcp/ or udp/", fix);
    }
    let twice = "\"tcp/5900\", \"tcp/5900\"";
    one(
        "\"tcp/5900\"",
        twice,
        Fault::Conflict,
        "port[1].remote",
        "each once",
        "correct",
    );
    let without = "[sessions]\nprefix = \"100.64.7.0/24\"\n";
    one(
        without,
        "",
        Fault::Conflict,
        "port[1].remote",
        "session prefix",
        "add a table [sessions]",
    );
}

#[test]
fn a_session_prefix_that_is_taken_too_small_or_none() {
    let (field, fix) = ("sessions.prefix", "such as \"100.64.7.0/24\"");
    one("100.64.7.0/24", "100.64.7.0", Fault::Invalid, field, "a", fix);
    one(
        "100.64.7.0/24",
        "100.64.7.1/24",
        Fault::Conflict,
        field,
        "first address",
        fix,
    );
    one(
        "100.64.7.0/24",
        "192.168.0.0/16",
        Fault::Conflict,
        field,
        "does not overlap",
        fix,
    );
    one(
        "100.64.7.0/24",
        "10.9.0.0/24",
        Fault::Conflict,
        field,
        "does not overlap",
        fix,
    );
    let line = "prefix = \"100.64.7.0/24\"\n";
    one(line, "", Fault::Missing, field, "a value", "add prefix");
}

#[test]
fn a_port_by_the_name_of_another_link() {
    let fix = "such as \"port1\"";
    one(
        "\"port2\"",
        "\"uplink\"",
        Fault::Invalid,
        "port[2].name",
        "a name that no link",
        fix,
    );
}

#[test]
fn what_only_the_network_knows_is_told_with_everything_else() {
    let text = EXAMPLE
        .replace("100.64.7.0/24", "192.168.1.0/24")
        .replace("dhcp = true", "dhcp = 1");
    let found = Site::parse(&text, Path::new("site.toml")).unwrap_err();
    let fields: Vec<_> = found.list.iter().map(|mistake| mistake.field.as_str()).collect();
    assert_eq!(fields, ["port[1].dhcp", "sessions.prefix"], "{found}");
}

#[test]
fn a_limit_on_the_rate_that_is_none_or_senseless() {
    let site = site(&[]);
    assert_eq!(site.centre.rate_limit.unwrap().to_string(), "2 Mbit/s");
    for text in ["96", "96 kb/s", "7 kbit/s", "2000 Mbit/s", "1.5 Mbit/s"] {
        one(
            "\"2 Mbit/s\"",
            &format!("\"{text}\""),
            Fault::Invalid,
            "centre.rate-limit",
            "from \"8 kbit/s\" to \"1000 Mbit/s\"",
            "such as \"96 kbit/s\"",
        );
    }
    let fix = "write rate-limit = \"96 kbit/s\"";
    one(
        "\"2 Mbit/s\"",
        "96",
        Fault::Type,
        "centre.rate-limit",
        "a text",
        fix,
    );
    one(
        "rate-limit",
        "rate_limit",
        Fault::Unknown,
        "centre.rate_limit",
        "url, rate-limit",
        "rate-limit",
    );
}
