//! The network the unit tests share: a static uplink, two instruments with the same fixed address, one pinned and
//! reachable for remote sessions.

use std::net::IpAddr;

use crate::model::{
    Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
};

pub(crate) fn network() -> Network {
    Network {
        uplink: Uplink {
            nic: "pci:0000:00:10.0".parse().unwrap(),
            addressing: Addressing::Static {
                address: "10.9.0.2/24".parse().unwrap(),
                gateway: Some([10, 9, 0, 1].into()),
            },
            vlan: None,
            mtu: None,
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
        remote: match pinned {
            true => vec![
                Opening {
                    protocol: Protocol::Tcp,
                    port: 5900,
                },
                Opening {
                    protocol: Protocol::Udp,
                    port: 7000,
                },
            ],
            false => Vec::new(),
        },
        limits: Limits::default(),
    }
}
