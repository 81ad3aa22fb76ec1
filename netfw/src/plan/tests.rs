//! What must hold of the plan of any valid network.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::ruleset::{Element, Hook, Part};
use crate::sample::{self, any_network};

use super::*;

fn namespaces(plan: &NetPlan) -> impl Iterator<Item = &NamespacePlan> {
    plan.ports.iter().chain([&plan.root])
}

fn has(settings: &[Sysctl], path: &str, value: &str) -> bool {
    settings.iter().any(|s| s.path == path && s.value == value)
}

proptest! {
    #[test]
    fn every_namespace_forwards_only_what_a_session_marked(network in any_network()) {
        let plan = NetPlan::new(&network);
        prop_assert_eq!(plan.ports.len(), network.ports.len());
        for namespace in namespaces(&plan) {
            prop_assert!(has(&namespace.sysctls, "net/ipv4/ip_forward", "0"));
            let forwarding = |s: &Sysctl| s.path.ends_with("/forwarding") && s.value != "0";
            prop_assert!(!namespace.link.sysctls.iter().any(forwarding));
            for chain in namespace.table.chains.iter().filter(|chain| chain.hook == Hook::Forward) {
                for rule in chain.rules.iter().filter(|rule| rule.parts.contains(&Part::Accept)) {
                    prop_assert_eq!(&rule.parts[..], &[Part::Marked, Part::Accept]);
                }
            }
            for hook in [Hook::Input, Hook::Forward, Hook::Output] {
                prop_assert!(namespace.table.chains.iter().any(|chain| chain.hook == hook));
            }
        }
    }

    #[test]
    fn only_the_uplink_speaks_ipv6_and_only_when_told(network in any_network()) {
        let plan = NetPlan::new(&network);
        for namespace in namespaces(&plan) {
            let link = &namespace.link;
            let off = link.name != UPLINK || network.uplink.ipv6 == Ipv6::Off;
            let path = format!("net/ipv6/conf/{}/disable_ipv6", link.name);
            let wanted = if off { "1" } else { "0" };
            prop_assert!(has(&link.sysctls, &path, wanted));
            for other in ["all", "default"] {
                let path = format!("net/ipv6/conf/{other}/disable_ipv6");
                prop_assert!(has(&namespace.sysctls, &path, "1"), "{}", path);
            }
            let text = namespace.table.text();
            prop_assert!(!off || !text.contains("icmpv6") && !text.contains("ip6"), "{}", text);
        }
        let trunk = plan.root.link.trunk;
        prop_assert_eq!(trunk.as_ref().map(|trunk| trunk.vlan), network.uplink.vlan);
        prop_assert!(trunk.is_none_or(|trunk| has(&trunk.sysctls, "net/ipv6/conf/trunk/disable_ipv6", "1")));
    }

    #[test]
    fn a_port_lets_in_only_its_instrument_for_its_gateway(network in any_network()) {
        let plan = NetPlan::new(&network);
        for (port, planned) in network.ports.iter().zip(&plan.ports) {
            let arrive = planned.table.chains.iter().find(|chain| chain.hook == Hook::Arrive);
            for rule in arrive.into_iter().flat_map(|chain| &chain.rules) {
                let session = rule.parts.contains(&Part::In(SESSION.to_owned()));
                if session || matches!(rule.parts.last(), Some(Part::Discard(_) | Part::Log(_))) {
                    prop_assert!(!session || !port.remote.is_empty());
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
    fn what_a_session_needs_is_each_ports_own(network in any_network()) {
        let sessions = NetPlan::new(&network).sessions;
        let reachable: Vec<_> = network.ports.iter().filter(|port| !port.remote.is_empty()).collect();
        prop_assert_eq!(sessions.is_some(), !reachable.is_empty());
        let ports = sessions.map(|sessions| sessions.ports).unwrap_or_default();
        prop_assert_eq!(ports.len(), reachable.len());
        let mut used = HashSet::new();
        for (session, port) in ports.iter().zip(reachable) {
            prop_assert_eq!(&session.allowed, &port.remote);
            let (outer, inner) = (session.outer.address, session.inner.address);
            prop_assert_eq!(outer.trunc(), inner.trunc());
            prop_assert_eq!((outer.addr().octets()[3] % 2, outer.prefix_len()), (0, 31));
            prop_assert_eq!(Some(inner.addr()), network.service_address(&port.name));
            prop_assert!(used.insert(outer.addr()) && used.insert(inner.addr()));
            prop_assert!(used.iter().all(|address| network.sessions.unwrap().contains(address)));
            // include/uapi/linux/if.h: IFNAMSIZ with the terminator is 16.
            prop_assert!(session.outer.name.len() < 16, "{}", session.outer.name);
        }
    }

    #[test]
    fn the_same_description_gives_the_same_plan(network in any_network()) {
        let json = |plan: NetPlan| plan.ports.iter().map(|p| p.table.json().to_string()).collect::<Vec<_>>();
        prop_assert_eq!(json(NetPlan::new(&network)), json(NetPlan::new(&network.clone())));
    }
}

#[test]
fn forwarding_is_switched_for_the_way_of_a_session_alone() {
    let plan = NetPlan::new(&sample::network());
    let sessions = plan.sessions.unwrap();
    let [port] = &sessions.ports[..] else {
        panic!("{:?}", sessions.ports)
    };
    let forwarding = |settings: &[Sysctl]| {
        let found = settings.iter().find(|s| s.path.ends_with("/forwarding")).unwrap();
        format!("{}={}", found.path, found.value)
    };
    let found = [
        &sessions.tunnel,
        &port.outer.sysctls,
        &port.inner.sysctls,
        &port.link_open,
        &port.link_closed,
    ];
    assert_eq!(
        found.map(|settings| forwarding(settings)),
        [
            "net/ipv4/conf/tunnel/forwarding=1",
            "net/ipv4/conf/s-port1/forwarding=1",
            "net/ipv4/conf/session/forwarding=1",
            "net/ipv4/conf/port1/forwarding=1",
            "net/ipv4/conf/port1/forwarding=0",
        ]
    );
}

#[test]
fn an_opening_is_an_element_on_either_side_that_goes_by_itself() {
    let plan = NetPlan::new(&sample::network());
    let session = &plan.sessions.unwrap().ports[0];
    let time = std::time::Duration::from_secs(600);
    let words = |sets: Vec<(&str, Vec<Element>)>| {
        let elements = |(set, elements): (&str, Vec<Element>)| {
            elements
                .iter()
                .map(|element| format!("{set}: {}", element.text()))
                .collect::<Vec<_>>()
        };
        sets.into_iter().flat_map(elements).collect::<Vec<_>>()
    };
    let tail = "timeout 600s comment \"ports.port1.remote\"";
    assert_eq!(
        words(session.root_elements(&session.allowed, time)),
        [
            format!("open: 10.200.0.1 . tcp . 5900 {tail}"),
            format!("open: 10.200.0.1 . udp . 7000 {tail}"),
            format!("instruments: 10.200.0.1 {tail}"),
        ]
    );
    assert_eq!(
        words(session.port_elements(&session.allowed[1..], time)),
        [
            format!("open: udp . 7000 {tail}"),
            format!("instruments: 10.200.0.1 {tail}"),
        ]
    );
}
