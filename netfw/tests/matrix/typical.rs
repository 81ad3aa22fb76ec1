//! Two sites chosen by hand that have between them every rule netfw makes: an uplink with a fixed address and one with
//! DHCP and IPv6; ports that are pinned, fixed and with DHCP; sessions. Limits are low, so that few packets reach them.

use netfw::model::{
    Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
};

use crate::site::{Site, card, station, text};

/// What a port may use of the box here.
const LIMITS: Limits = Limits {
    connections: 45,
    connections_per_second: 20,
    packets_per_second: 600,
};

/// Both sites.
pub(crate) fn sites() -> [Site; 2] {
    [fixed(), leased()]
}

fn fixed() -> Site {
    let uplink = Uplink {
        addressing: Addressing::Static {
            address: "10.9.0.2/24".parse().unwrap(),
            gateway: Some([10, 9, 0, 1].into()),
        },
        ..uplink(vec![[10, 9, 0, 3].into()])
    };
    let first = Port {
        dhcp: true,
        mac: Some(text(station(1, 50)).parse().unwrap()),
        remote: remote(),
        ..port(1)
    };
    let network = Network::new(
        uplink,
        vec![first, port(2)],
        vec![endpoint("centre", Host::Ip([10, 9, 0, 10].into()))],
        Some("10.200.0.0/24".parse().unwrap()),
    );
    Site {
        seed: 0,
        network: network.unwrap(),
        address: "10.9.0.2/24".parse().unwrap(),
        resolved: Vec::new(),
        sessions: vec![0],
    }
}

fn leased() -> Site {
    let uplink = Uplink {
        addressing: Addressing::Dhcp,
        ipv6: Ipv6::Slaac,
        ..uplink(vec![[10, 9, 0, 3].into(), Site::lan6(3).into()])
    };
    let first = Port {
        dhcp: true,
        remote: remote(),
        ..port(1)
    };
    let centres = vec![
        endpoint("centre", Host::Name("centre.example".to_owned())),
        endpoint("centre6", Host::Ip(Site::lan6(10).into())),
    ];
    let network = Network::new(
        uplink,
        vec![first],
        centres,
        Some("10.200.0.0/24".parse().unwrap()),
    );
    Site {
        seed: 1,
        network: network.unwrap(),
        address: "10.9.0.2/24".parse().unwrap(),
        resolved: vec![(0, [10, 9, 0, 10].into())],
        sessions: vec![0],
    }
}

fn uplink(dns: Vec<std::net::IpAddr>) -> Uplink {
    Uplink {
        nic: format!("mac:{}", text(card(0))).parse().unwrap(),
        vlan: None,
        mtu: None,
        addressing: Addressing::Dhcp,
        ipv6: Ipv6::Off,
        dns,
        search: Vec::new(),
    }
}

fn endpoint(name: &str, host: Host) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        host,
        protocol: Protocol::Tcp,
        port: 8443,
    }
}

fn port(number: usize) -> Port {
    let service = |name, protocol, port| Service { name, protocol, port };
    Port {
        name: format!("port{number}").parse().unwrap(),
        nic: format!("mac:{}", text(card(number))).parse().unwrap(),
        address: "192.168.1.1/24".parse().unwrap(),
        instrument: [192, 168, 1, 50].into(),
        dhcp: false,
        mac: None,
        services: vec![
            service("ingest", Protocol::Tcp, 8443),
            service("log", Protocol::Udp, 514),
        ],
        remote: Vec::new(),
        limits: LIMITS,
    }
}

fn remote() -> Vec<Opening> {
    let opening = |protocol, port| Opening { protocol, port };
    vec![opening(Protocol::Tcp, 5900), opening(Protocol::Udp, 161)]
}
