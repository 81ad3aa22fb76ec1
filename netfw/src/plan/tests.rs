//! What must hold of the plan of any valid network.

use proptest::prelude::*;

use crate::model::{Addressing, Endpoint, Host, Ipv6, Limits, Network, Port, Protocol, Service, Uplink};
use crate::ruleset::{Hook, Part};

use super::*;

fn any_port(number: usize) -> impl Strategy<Value = Port> {
    let prefix = 8_u8..=30;
    (any::<u32>(), prefix, any::<(bool, bool)>(), 1..=u16::MAX).prop_filter_map(
        "host addresses",
        move |(bits, prefix, (dhcp, pinned), service)| {
            let network = Ipv4Net::new(bits.into(), prefix).ok()?;
            let mut hosts = network.hosts();
            let (gateway, instrument) = (hosts.next()?, hosts.next()?);
            Some(Port {
                name: format!("port{number}").parse().ok()?,
                nic: format!("mac:02:00:00:00:00:{number:02x}").parse().ok()?,
                address: Ipv4Net::new(gateway, prefix).ok()?,
                instrument,
                dhcp,
                mac: pinned.then(|| "52:54:00:12:34:56".parse()).transpose().ok()?,
                services: vec![Service {
                    name: "ingest",
                    protocol: Protocol::Tcp,
                    port: service,
                }],
                remote: Vec::new(),
                limits: Limits::default(),
            })
        },
    )
}

fn any_network() -> impl Strategy<Value = Network> {
    let ports = (1_usize..6).prop_flat_map(|count| (0..count).map(any_port).collect::<Vec<_>>());
    ports.prop_filter_map("valid", |ports| {
        let uplink = Uplink {
            nic: "pci:0000:00:10.0".parse().ok()?,
            vlan: None,
            mtu: None,
            addressing: Addressing::Dhcp,
            ipv6: Ipv6::Off,
            dns: Vec::new(),
            search: Vec::new(),
        };
        let centre = Endpoint {
            name: "centre".to_owned(),
            host: Host::Name("centre.example".to_owned()),
            protocol: Protocol::Tcp,
            port: 443,
        };
        Network::new(uplink, ports, vec![centre], None).ok()
    })
}

proptest! {
    #[test]
    fn every_namespace_forwards_nothing_and_speaks_no_ipv6(network in any_network()) {
        let plan = NetPlan::new(&network);
        prop_assert_eq!(plan.ports.len(), network.ports.len());
        for namespace in plan.ports.iter().chain([&plan.root]) {
            let set = |path: &str, value| {
                let wanted = |s: &&Sysctl| s.path == path && s.value == value;
                namespace.sysctls.iter().chain(&namespace.link.sysctls).any(|s| wanted(&s))
            };
            prop_assert!(set("net/ipv4/ip_forward", "0"));
            for link in ["all", "default", namespace.link.name.as_str()] {
                let path = format!("net/ipv6/conf/{link}/disable_ipv6");
                prop_assert!(set(&path, "1"), "{}", path);
            }
            let forward = namespace.table.chains.iter().find(|chain| chain.hook == Hook::Forward);
            prop_assert!(forward.is_some_and(|chain| chain.rules.is_empty()));
            let input = namespace.table.chains.iter().any(|chain| chain.hook == Hook::Input);
            let output = namespace.table.chains.iter().any(|chain| chain.hook == Hook::Output);
            prop_assert!(input && output);
        }
    }

    #[test]
    fn a_port_lets_in_only_its_instrument_for_its_gateway(network in any_network()) {
        let plan = NetPlan::new(&network);
        for (port, planned) in network.ports.iter().zip(&plan.ports) {
            let arrive = planned.table.chains.iter().find(|chain| chain.hook == Hook::Arrive);
            for rule in arrive.into_iter().flat_map(|chain| &chain.rules) {
                if matches!(rule.parts.last(), Some(Part::Drop | Part::Log(_))) {
                    continue;
                }
                prop_assert!(rule.parts.contains(&Part::In(port.name.to_string())));
                prop_assert!(port.mac.is_none_or(|mac| rule.parts.contains(&Part::FromStation(mac))));
                let dhcp = port.dhcp && rule.parts.contains(&Part::Udp(68, 67));
                let own = rule.parts.contains(&Part::From(vec![port.instrument]))
                    && rule.parts.contains(&Part::To(vec![port.address.addr()]));
                prop_assert!(dhcp || own, "{}", rule.text());
            }
        }
    }

    #[test]
    fn the_same_description_gives_the_same_plan(network in any_network()) {
        let json = |plan: NetPlan| plan.ports.iter().map(|p| p.table.json().to_string()).collect::<Vec<_>>();
        prop_assert_eq!(json(NetPlan::new(&network)), json(NetPlan::new(&network.clone())));
    }
}
