use proptest::prelude::*;

use crate::model::Addressing;
use crate::sample;

use super::*;

/// Rebuilds the sample after `change`; the faults' paths.
fn paths(change: impl FnOnce(&mut Network)) -> Vec<String> {
    faults(change).0.into_iter().map(|fault| fault.path).collect()
}

fn faults(change: impl FnOnce(&mut Network)) -> Faults {
    build(change).unwrap_err()
}

fn build(change: impl FnOnce(&mut Network)) -> Result<Network, Faults> {
    let mut network = sample::network();
    change(&mut network);
    Network::new(network.uplink, network.ports, network.endpoints, network.sessions)
}

#[test]
fn the_sample_is_valid_and_two_instruments_may_share_an_address() {
    let network = build(|_| ()).unwrap();
    assert_eq!(network.ports[0].instrument, network.ports[1].instrument);
}

#[test]
fn every_fault_is_reported_in_one_run() {
    let found = paths(|network| {
        network.ports[0].nic = network.uplink.nic.clone();
        network.ports[0].instrument = network.ports[0].address.addr();
        network.ports[1].name = network.ports[0].name.clone();
        network.ports[1].address = "10.9.0.77/16".parse().unwrap();
        network.endpoints[0].host = Host::Ip("2001:db8::1".parse().unwrap());
        network.endpoints[0].port = 0;
    });
    assert_eq!(
        found,
        [
            "ports.port1.nic",
            "ports.port1",
            "ports.port1.instrument",
            "ports.port1.instrument",
            "ports.port1.address",
            "endpoints.centre.port",
            "endpoints.centre.host",
        ]
    );
}

#[test]
fn network_and_broadcast_are_nobodys_address() {
    for wrong in ["192.168.1.0", "192.168.1.255", "192.168.2.50", "192.168.1.1"] {
        let found = paths(|network| network.ports[0].instrument = wrong.parse().unwrap());
        assert_eq!(found, ["ports.port1.instrument"], "{wrong}");
    }
}

#[test]
fn the_message_says_what_to_write_instead() {
    let found = faults(|network| network.ports[0].instrument = "192.168.2.50".parse().unwrap());
    assert_eq!(
        found.to_string(),
        "ports.port1.instrument: found 192.168.2.50, expected a host's address in 192.168.1.0/24 that is not 192.168.1.1"
    );
}

#[test]
fn each_fault_has_its_place_and_its_words() {
    type Change = fn(&mut Network);
    let cases: [(Change, &str, &str); 22] = [
        (
            |n| n.ports[0].address = "127.0.0.1/8".parse().unwrap(),
            "ports.port1.address",
            "127.0.0.0/8 (loopback, RFC 1122",
        ),
        (
            |n| n.ports[0].address = "192.168.1.0/24".parse().unwrap(),
            "ports.port1.address",
            "a host's address",
        ),
        (
            |n| n.ports[0].address = "0.0.0.0/0".parse().unwrap(),
            "ports.port1.address",
            "outside 0.0.0.0/8",
        ),
        (
            |n| n.ports[0].services[0].port = 0,
            "ports.port1.services.ingest",
            "1 to 65535",
        ),
        (
            |n| n.ports[0].services[0].name = "two words",
            "ports.port1.services.two words",
            "letters, digits, - and .",
        ),
        (
            |n| n.ports[0].remote[0].port = 0,
            "ports.port1.remote",
            "1 to 65535",
        ),
        (
            |n| n.ports[0].remote[0] = n.ports[0].remote[1],
            "ports.port1.remote",
            "each once",
        ),
        (|n| n.sessions = None, "ports.port1.remote", "a session prefix"),
        (
            |n| n.ports[1].limits.connections = 0,
            "ports.port2.limits.connections",
            "from 1 to 1000000",
        ),
        (
            |n| n.ports[1].limits.packets_per_second = u32::MAX,
            "ports.port2.limits.packets-per-second",
            "from 1 to 1000000",
        ),
        (
            |n| n.sessions = Some("10.200.0.0/31".parse().unwrap()),
            "sessions",
            "from /16 to /30",
        ),
        (
            |n| n.sessions = Some("10.200.0.1/24".parse().unwrap()),
            "sessions",
            "written by its first address",
        ),
        (
            |n| n.sessions = Some("10.200.0.0/30".parse().unwrap()),
            "sessions",
            "room for 3 pairs",
        ),
        (
            |n| n.sessions = Some("10.9.0.128/25".parse().unwrap()),
            "sessions",
            "overlap 10.9.0.0/24 of the uplink",
        ),
        (
            |n| n.sessions = Some("192.168.0.0/16".parse().unwrap()),
            "sessions",
            "overlap 192.168.1.0/24 of port port1",
        ),
        (
            |n| n.endpoints[0].host = Host::Ip("10.200.0.9".parse().unwrap()),
            "sessions",
            "overlap 10.200.0.9/32 of endpoint centre",
        ),
        (
            |n| n.endpoints[0].host = Host::Ip("224.0.0.1".parse().unwrap()),
            "endpoints.centre.host",
            "multicast",
        ),
        (
            |n| n.endpoints[0].host = Host::Name("no such name".to_owned()),
            "endpoints.centre.host",
            "a domain name",
        ),
        (
            |n| n.endpoints[0].name = "a\"b".to_owned(),
            "endpoints.a\"b.name",
            "letters, digits, - and .",
        ),
        (
            |n| n.endpoints.push(n.endpoints[0].clone()),
            "endpoints.centre",
            "each name once",
        ),
        (
            |n| n.uplink.dns = vec!["2001:db8::53".parse().unwrap()],
            "uplink.dns",
            "IPv6 is switched off",
        ),
        (
            |n| n.uplink.dns = vec!["127.0.0.53".parse().unwrap()],
            "uplink.dns",
            "loopback",
        ),
    ];
    for (change, path, words) in cases {
        // The prefix of three ports does not fit into two pairs.
        let found = faults(|network| {
            change(network);
            if path == "sessions" && words.starts_with("room") {
                let mut third = network.ports[1].clone();
                third.name = "port3".parse().unwrap();
                third.nic = "pci:0000:00:13.0".parse().unwrap();
                network.ports.push(third);
            }
        });
        let fault = found.0.iter().find(|fault| fault.path == path);
        let fault = fault.unwrap_or_else(|| panic!("{path} is not in {found}"));
        assert!(fault.expected.contains(words), "{fault}");
    }
}

#[test]
fn the_uplinks_addresses_are_hosts_of_its_network() {
    let given = |address: &str, gateway: Option<&str>| Addressing::Static {
        address: address.parse().unwrap(),
        gateway: gateway.map(|text| text.parse().unwrap()),
    };
    for (addressing, path) in [
        (given("10.9.0.0/24", None), "uplink.address"),
        (given("169.254.1.2/16", None), "uplink.address"),
        (given("10.9.0.2/24", Some("10.9.1.1")), "uplink.gateway"),
        (given("10.9.0.2/24", Some("10.9.0.2")), "uplink.gateway"),
        (given("10.9.0.2/24", Some("10.9.0.255")), "uplink.gateway"),
    ] {
        assert_eq!(paths(|network| network.uplink.addressing = addressing), [path]);
    }
    build(|network| network.uplink.addressing = given("10.9.0.2/31", Some("10.9.0.3"))).unwrap();

    let given = |address: &str, gateway: Option<&str>| Ipv6::Static {
        address: address.parse().unwrap(),
        gateway: gateway.map(|text| text.parse().unwrap()),
    };
    for (ipv6, path) in [
        (given("::1/128", None), "uplink.ipv6.address"),
        (given("fe80::2/64", None), "uplink.ipv6.address"),
        (given("ff02::1/64", None), "uplink.ipv6.address"),
        (given("::ffff:10.9.0.2/96", None), "uplink.ipv6.address"),
        (given("2001:db8::/64", None), "uplink.ipv6.address"),
        (
            given("2001:db8::2/64", Some("2001:db8:1::1")),
            "uplink.ipv6.gateway",
        ),
        (
            given("2001:db8::2/64", Some("2001:db8::2")),
            "uplink.ipv6.gateway",
        ),
    ] {
        assert_eq!(paths(|network| network.uplink.ipv6 = ipv6), [path]);
    }
    for gateway in [None, Some("fe80::1"), Some("2001:db8::1")] {
        build(|network| network.uplink.ipv6 = given("2001:db8::2/64", gateway)).unwrap();
    }
}

#[test]
fn a_lease_must_not_be_an_instruments_or_the_sessions_network() {
    let network = sample::network();
    for free in ["10.9.0.7/24", "192.168.2.7/24", "172.16.0.2/12"] {
        network.check_lease(free.parse().unwrap()).unwrap();
    }
    let colliding = |lease: &str| {
        let faults = network.check_lease(lease.parse().unwrap()).unwrap_err();
        faults
            .0
            .into_iter()
            .map(|fault| fault.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        colliding("10.200.0.77/16"),
        [
            "uplink.lease: found 10.200.0.77/16, expected a network that does not overlap the session prefix 10.200.0.0/24"
        ]
    );
    let both = colliding("192.168.1.7/28");
    assert_eq!(both.len(), 2);
    assert!(
        both[0].contains("192.168.1.0/24 of port port1; change the one or the other"),
        "{both:?}"
    );
}

proptest! {
    /// Whatever is written into a description: an answer, and each fault with its place, what is there and the way out.
    #[test]
    fn no_description_is_too_odd_for_an_answer(
        addresses in prop::collection::vec((any::<u32>(), 0_u8..=32), 4),
        six in (any::<u128>(), 0_u8..=128, any::<u128>()),
        names in prop::collection::vec(".{0,40}", 2),
        numbers in prop::collection::vec(any::<u16>(), 3),
    ) {
        let net = |nth: usize| Ipv4Net::new(addresses[nth].0.into(), addresses[nth].1).unwrap();
        let result = build(|network| {
            network.ports[0].address = net(0);
            network.ports[1].instrument = net(1).addr();
            network.sessions = Some(net(2));
            network.uplink.addressing = Addressing::Static { address: net(3), gateway: Some(net(1).addr()) };
            network.uplink.ipv6 = Ipv6::Static {
                address: ipnet::Ipv6Net::new(six.0.into(), six.1).unwrap(),
                gateway: Some(six.2.into()),
            };
            network.endpoints[0].name.clone_from(&names[0]);
            network.endpoints[0].host = Host::Name(names[1].clone());
            network.endpoints[0].port = numbers[0];
            network.ports[0].remote[0].port = numbers[1];
            network.ports[0].services[0].port = numbers[2];
        });
        for Fault { path, found, expected } in result.err().map(|faults| faults.0).unwrap_or_default() {
            prop_assert!(!path.is_empty() && !found.is_empty() && !expected.is_empty(), "{path}: {found}: {expected}");
        }
    }
}
