//! What sites are drawn from.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netfw::model::{
    Addressing, Endpoint, Host as Name, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{INTERNET, Site, card, station, text};

pub(super) fn sites(seed: u64, vlans: bool) -> impl Strategy<Value = Site> {
    let lans = select(vec![
        "10.9.0.2/24",
        "172.20.16.2/20",
        "192.168.7.2/24",
        "10.64.0.2/10",
    ]);
    (
        lans,
        any::<bool>(),
        ipv6(),
        prop::option::of(2_u16..4094),
        0..=2_usize,
    )
        .prop_flat_map(move |(lan, dhcp, ipv6, vlan, dns)| {
            let address: Ipv4Net = lan.parse().unwrap();
            (
                Just((address, dhcp, ipv6, vlan, dns)),
                prop::collection::vec(port(), 1..=4),
                endpoints(address, ipv6),
                prop::option::weighted(0.8, select(vec!["100.64.7.0/24", "198.18.0.0/28"])),
                any::<u8>(),
            )
        })
        .prop_map(
            move |((address, dhcp, ipv6, vlan, dns), ports, endpoints, sessions, open)| {
                let lan = |number: u32| Ipv4Addr::from(u32::from(address.network()) + number);
                let uplink = Uplink {
                    nic: format!("mac:{}", text(card(0))).parse().unwrap(),
                    vlan: vlan.filter(|_| vlans).map(|number| number.try_into().unwrap()),
                    mtu: None,
                    addressing: if dhcp {
                        Addressing::Dhcp
                    } else {
                        Addressing::Static {
                            address,
                            gateway: Some(lan(1)),
                        }
                    },
                    ipv6,
                    dns: name_servers(lan(3), ipv6, dns),
                    search: Vec::new(),
                };
                let ports = ports.into_iter().enumerate().map(|(nth, mut port)| {
                    // Nothing can be opened where there are no addresses for it.
                    port.remote.retain(|_| sessions.is_some());
                    port.finish(nth + 1)
                });
                let ports = ports.collect();
                let network = Network::new(
                    uplink,
                    ports,
                    endpoints,
                    sessions.map(|prefix| prefix.parse().unwrap()),
                )
                .unwrap();
                let resolved = network.endpoints.iter().enumerate();
                let resolved = resolved.filter(|(_, endpoint)| matches!(endpoint.host, Name::Name(_)));
                let resolved = resolved.map(|(nth, _)| (nth, lan(10).into())).collect();
                let ports = network.ports.iter().enumerate();
                let sessions = ports.filter(|(nth, port)| {
                    network.sessions.is_some() && !port.remote.is_empty() && open & (1 << nth) != 0
                });
                let sessions = sessions.map(|(nth, _)| nth).collect();
                Site {
                    seed,
                    address,
                    resolved,
                    sessions,
                    network,
                }
            },
        )
}

fn name_servers(first: Ipv4Addr, ipv6: Ipv6, number: usize) -> Vec<IpAddr> {
    let second = if ipv6 == Ipv6::Off {
        INTERNET.into()
    } else {
        Site::lan6(3).into()
    };
    [IpAddr::from(first), second][..number].to_vec()
}

fn ipv6() -> impl Strategy<Value = Ipv6> {
    select(vec![
        Ipv6::Off,
        Ipv6::Off,
        Ipv6::Slaac,
        Ipv6::Static {
            address: "fd00:9::2/64".parse().unwrap(),
            gateway: Some(Site::lan6(1)),
        },
    ])
}

fn endpoints(lan: Ipv4Net, ipv6: Ipv6) -> impl Strategy<Value = Vec<Endpoint>> {
    let centre = Ipv4Addr::from(u32::from(lan.network()) + 10);
    let mut hosts = vec![
        Name::Ip(centre.into()),
        Name::Ip(INTERNET.into()),
        Name::Name("centre.example".to_owned()),
    ];
    if ipv6 != Ipv6::Off {
        hosts.push(Name::Ip(Site::lan6(10).into()));
    }
    let endpoint = (select(hosts), protocol(), select(vec![443_u16, 8443, 1194, 53]));
    prop::collection::vec(endpoint, 1..=4).prop_map(|endpoints| {
        let mut endpoints: Vec<_> = endpoints
            .into_iter()
            .enumerate()
            .map(|(nth, (host, protocol, port))| Endpoint {
                name: format!("endpoint{nth}"),
                host,
                protocol,
                port,
            })
            .collect();
        let mut seen = std::collections::HashSet::new();
        endpoints.retain(|endpoint| seen.insert((endpoint.host.clone(), endpoint.protocol, endpoint.port)));
        endpoints
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp])
}

/// A port before it has its number.
#[derive(Debug, Clone)]
struct Draft {
    address: &'static str,
    instrument: [u8; 4],
    dhcp: bool,
    pinned: bool,
    services: Vec<(&'static str, Protocol, u16)>,
    remote: Vec<(Protocol, u16)>,
    limits: Limits,
}

impl Draft {
    fn finish(self, number: usize) -> Port {
        Port {
            name: format!("port{number}").parse().unwrap(),
            nic: format!("mac:{}", text(card(number))).parse().unwrap(),
            address: self.address.parse().unwrap(),
            instrument: self.instrument.into(),
            dhcp: self.dhcp,
            mac: self.pinned.then(|| text(station(number, 50)).parse().unwrap()),
            services: self
                .services
                .into_iter()
                .map(|(name, protocol, port)| Service { name, protocol, port })
                .collect(),
            remote: self
                .remote
                .into_iter()
                .map(|(protocol, port)| Opening { protocol, port })
                .collect(),
            limits: self.limits,
        }
    }
}

fn port() -> impl Strategy<Value = Draft> {
    use Protocol::{Tcp, Udp};
    let places = select(vec![
        ("192.168.1.1/24", [192, 168, 1, 50]),
        ("192.168.1.1/24", [192, 168, 1, 50]),
        ("192.168.1.254/24", [192, 168, 1, 1]),
        ("192.168.99.1/29", [192, 168, 99, 6]),
        ("172.31.0.1/16", [172, 31, 200, 7]),
    ]);
    let services = vec![
        ("ingest", Tcp, 8443),
        ("page", Tcp, 443),
        ("ntp", Udp, 123),
        ("log", Udp, 514),
    ];
    let remote = vec![(Tcp, 22), (Tcp, 5900), (Udp, 161), (Udp, 8443)];
    let limits = (20_u32..100, 20_u32..100, 500_u32..5000);
    let limits = limits.prop_map(
        |(connections, connections_per_second, packets_per_second)| Limits {
            connections,
            connections_per_second,
            packets_per_second,
        },
    );
    (
        places,
        any::<bool>(),
        any::<bool>(),
        subsequence(services, 1..=4),
        subsequence(remote, 0..=4),
        limits,
    )
        .prop_map(
            |((address, instrument), dhcp, pinned, services, remote, limits)| Draft {
                address,
                instrument,
                dhcp,
                pinned,
                services,
                remote,
                limits,
            },
        )
}
