//! The networks the unit tests share: one to know by heart, and any valid one.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use proptest::prelude::*;

use crate::model::{
    Addressing, Endpoint, Host, Ipv6, Limits, Mtu, Network, Opening, Port, Protocol, Service, Uplink, VlanId,
};

/// A static uplink, two instruments with the same fixed address, one pinned and reachable for remote sessions.
pub(crate) fn network() -> Network {
    Network {
        uplink: Uplink {
            nic: "pci:0000:00:10.0".parse().unwrap(),
            vlan: None,
            mtu: None,
            addressing: Addressing::Static {
                address: "10.9.0.2/24".parse().unwrap(),
                gateway: Some([10, 9, 0, 1].into()),
            },
            ipv6: Ipv6::Off,
            dns: vec![IpAddr::from([10, 9, 0, 1])],
            search: Vec::new(),
        },
        ports: vec![port("port1", true), port("port2", false)],
        endpoints: vec![Endpoint {
            name: "centre".to_owned(),
            host: Host::Ip([10, 9, 0, 10].into()),
            protocol: Protocol::Tcp,
            port: 8443,
        }],
        sessions: Some("10.200.0.0/24".parse().unwrap()),
    }
}

fn port(name: &str, pinned: bool) -> Port {
    let last = &name[4..];
    let opening = |protocol, port| Opening { protocol, port };
    let remote = [opening(Protocol::Tcp, 5900), opening(Protocol::Udp, 7000)];
    Port {
        name: name.parse().unwrap(),
        nic: format!("pci:0000:00:1{last}.0").parse().unwrap(),
        address: "192.168.1.1/24".parse().unwrap(),
        instrument: [192, 168, 1, 50].into(),
        dhcp: pinned,
        mac: pinned.then(|| "52:54:00:12:34:56".parse().unwrap()),
        services: vec![Service {
            name: "ingest",
            protocol: Protocol::Tcp,
            port: 8443,
        }],
        remote: if pinned { remote.to_vec() } else { Vec::new() },
        limits: Limits::default(),
    }
}

/// Any network that is valid: ports in 192.168/16, the uplink and what is beyond in 10/8, sessions in 100.64/10.
pub(crate) fn any_network() -> impl Strategy<Value = Network> {
    let ports = (0_usize..6).prop_flat_map(|count| (1..=count).map(any_port).collect::<Vec<_>>());
    let endpoints = prop::collection::vec(any_endpoint(), 0..4);
    let sessions = (any::<u32>(), 16_u8..=28);
    (any_uplink(), ports, endpoints, sessions).prop_map(|(uplink, ports, mut endpoints, (bits, length))| {
        for (nth, endpoint) in endpoints.iter_mut().enumerate() {
            endpoint.name = format!("endpoint-{nth}");
            if uplink.ipv6 == Ipv6::Off && matches!(endpoint.host, Host::Ip(IpAddr::V6(_))) {
                endpoint.host = Host::Name("centre.example".to_owned());
            }
        }
        let sessions = Ipv4Net::new(within([100, 64, 0, 0], bits >> 10), length).unwrap();
        Network::new(uplink, ports, endpoints, Some(sessions.trunc())).unwrap()
    })
}

fn within(base: [u8; 4], bits: u32) -> Ipv4Addr {
    (u32::from(Ipv4Addr::from(base)) | bits).into()
}

/// The box's address in a network of 10/8, and its router's.
fn any_addressing() -> impl Strategy<Value = Addressing> {
    let given = (any::<u32>(), 8_u8..=30, any::<bool>()).prop_map(|(bits, length, routed)| {
        let network = Ipv4Net::new(within([10, 0, 0, 0], bits >> 8), length).unwrap();
        let mut hosts = network.hosts();
        Addressing::Static {
            address: Ipv4Net::new(hosts.next().unwrap(), length).unwrap(),
            gateway: hosts.next().filter(|_| routed),
        }
    });
    prop_oneof![Just(Addressing::Dhcp), given]
}

fn any_uplink() -> impl Strategy<Value = Uplink> {
    let vlan = prop::option::of((1_u16..=4094).prop_map(|number| VlanId::try_from(number).unwrap()));
    let mtu = prop::option::of((1280_u32..=9216).prop_map(|bytes| Mtu::try_from(bytes).unwrap()));
    let given = Ipv6::Static {
        address: "2001:db8::2/64".parse().unwrap(),
        gateway: Some("fe80::1".parse().unwrap()),
    };
    let ipv6 = prop_oneof![Just(Ipv6::Off), Just(Ipv6::Slaac), Just(given)];
    let dns = prop::collection::vec(
        any::<u32>().prop_map(|bits| within([10, 0, 0, 0], bits >> 8)),
        0..3,
    );
    (vlan, mtu, any_addressing(), ipv6, dns).prop_map(|(vlan, mtu, addressing, ipv6, dns)| Uplink {
        nic: "pci:0000:00:10.0".parse().unwrap(),
        vlan,
        mtu,
        addressing,
        ipv6,
        dns: dns.into_iter().map(IpAddr::V4).collect(),
        search: vec!["lab.example".parse().unwrap()],
    })
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let host = prop_oneof![
        any::<u32>().prop_map(|bits| Host::Ip(within([10, 0, 0, 0], bits >> 8).into())),
        Just(Host::Ip("2001:db8::10".parse().unwrap())),
        Just(Host::Name("centre.example".to_owned())),
    ];
    (host, any_opening()).prop_map(|(host, opening)| Endpoint {
        name: String::new(),
        host,
        protocol: opening.protocol,
        port: opening.port,
    })
}

fn any_opening() -> impl Strategy<Value = Opening> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (protocol, 1..=u16::MAX).prop_map(|(protocol, port)| Opening { protocol, port })
}

fn any_port(number: usize) -> impl Strategy<Value = Port> {
    let network = (any::<u32>(), 16_u8..=30);
    let limits = (1_u32..=1_000_000, 1_u32..=1_000_000, 1_u32..=1_000_000);
    let remote = prop::collection::btree_set(any_opening(), 0..4);
    let services = prop::collection::btree_set(any_opening(), 0..3);
    let rest = (any::<(bool, bool)>(), limits, remote, services);
    (network, rest).prop_map(
        move |((bits, length), ((dhcp, pinned), limits, remote, services))| {
            let network = Ipv4Net::new(within([192, 168, 0, 0], bits >> 16), length).unwrap();
            let mut hosts = network.hosts();
            let names = ["ingest", "page", "time"];
            let service = |(opening, name): (Opening, &'static str)| Service {
                name,
                protocol: opening.protocol,
                port: opening.port,
            };
            Port {
                name: format!("port{number}").parse().unwrap(),
                nic: format!("mac:02:00:00:00:00:{number:02x}").parse().unwrap(),
                address: Ipv4Net::new(hosts.next().unwrap(), length).unwrap(),
                instrument: hosts.next().unwrap(),
                dhcp,
                mac: pinned.then(|| "52:54:00:12:34:56".parse().unwrap()),
                services: services.into_iter().zip(names).map(service).collect(),
                remote: remote.into_iter().collect(),
                limits: Limits {
                    connections: limits.0,
                    connections_per_second: limits.1,
                    packets_per_second: limits.2,
                },
            }
        },
    )
}
