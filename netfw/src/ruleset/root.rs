//! The table of the root namespace: nobody may open a connection to the box; the box may open them to the configured
//! endpoints and name servers only. Everybody who tries is told so.
//!
//! No rule accepts a packet of the box's own connections because the connection exists: each is tested against the
//! sets, so an endpoint that leaves a set is cut off at once.

use std::net::IpAddr;

use super::set::{V4, V4_SERVICE};
use super::{Chain, DNS, ENDPOINTS, Element, Hook, Key, Part, Rule, Set, TABLE, Table};
use crate::model::{Addressing, Host, Network};
use crate::plan::UPLINK;

/// Resets a second; a reset is no larger than what it answers.
const RESET_RATE: (u32, u32) = (2000, 4000);
/// ICMP refusals a second.
const REFUSAL_RATE: (u32, u32) = (100, 200);

pub(crate) fn root_table(network: &Network) -> Table {
    let hook = |hook, rules| Chain { hook, rules };
    Table {
        name: TABLE,
        sets: vec![endpoints(network), name_servers(network)],
        chains: vec![
            hook(Hook::Input, input(network)),
            hook(Hook::Forward, Vec::new()),
            hook(Hook::Output, output(network)),
        ],
    }
}

/// The endpoints given as addresses; those given as names come and go with what they resolve to.
fn endpoints(network: &Network) -> Set {
    let mut elements: Vec<Element> = Vec::new();
    for endpoint in &network.endpoints {
        let Host::Ip(address @ IpAddr::V4(_)) = endpoint.host else {
            continue;
        };
        let key = Key::Service(address, endpoint.protocol, endpoint.port);
        if !elements.iter().any(|element| element.key == key) {
            elements.push(Element {
                key,
                timeout: None,
                comment: format!("endpoints.{}", endpoint.name),
            });
        }
    }
    Set {
        name: ENDPOINTS,
        kind: V4_SERVICE,
        elements,
    }
}

/// The configured name servers; those of a lease come with it.
fn name_servers(network: &Network) -> Set {
    let mut servers = network.uplink.dns.clone();
    servers.retain(IpAddr::is_ipv4);
    servers.sort_unstable();
    servers.dedup();
    let element = |address| Element {
        key: Key::Address(address),
        timeout: None,
        comment: "uplink.dns".to_owned(),
    };
    Set {
        name: DNS,
        kind: V4,
        elements: servers.into_iter().map(element).collect(),
    }
}

fn input(network: &Network) -> Vec<Rule> {
    let uplink = || Part::In(UPLINK.to_owned());
    let mut rules = vec![
        // iifname "lo" counter accept
        Rule::new("loopback", vec![Part::In("lo".into()), Part::Accept]),
        // ct direction reply ct state established,related counter accept
        Rule::new("replies", vec![Part::Reply, Part::Accept]),
    ];
    if network.uplink.addressing == Addressing::Dhcp {
        // A broadcast answer is a connection of its own to the kernel, not a reply.
        rules.push(
            // iifname "uplink" udp sport 67 udp dport 68 counter accept
            Rule::new(
                "uplink.addressing",
                vec![uplink(), Part::Udp(67, 68), Part::Accept],
            ),
        );
    }
    let within = |(rate, burst)| Part::Within(rate, burst);
    rules.extend([
        // iifname "uplink" meta l4proto tcp limit rate 2000/second burst 4000 packets counter reject with tcp reset
        Rule::new(
            "uplink: refused, TCP",
            vec![uplink(), Part::AnyTcp, within(RESET_RATE), Part::Reset],
        ),
        // iifname "uplink" limit rate 100/second burst 200 packets counter reject with icmpx admin-prohibited
        Rule::new(
            "uplink: refused",
            vec![uplink(), within(REFUSAL_RATE), Part::Prohibited],
        ),
    ]);
    rules
}

fn output(network: &Network) -> Vec<Rule> {
    let uplink = || Part::Out(UPLINK.to_owned());
    let mut rules = vec![
        // oifname "lo" counter accept
        Rule::new("loopback", vec![Part::Out("lo".into()), Part::Accept]),
        // ct direction reply ct state established,related counter accept
        // The box offers nothing here: these are the resets and refusals above.
        Rule::new("replies", vec![Part::Reply, Part::Accept]),
        // oifname "uplink" ip daddr . meta l4proto . th dport @endpoints counter accept
        Rule::new("endpoints", vec![uplink(), Part::ToSet(ENDPOINTS), Part::Accept]),
        // oifname "uplink" ip daddr @dns meta l4proto { tcp, udp } th dport 53 counter accept
        Rule::new("uplink.dns", vec![uplink(), Part::DnsIn(DNS), Part::Accept]),
    ];
    if network.uplink.addressing == Addressing::Dhcp {
        rules.push(
            // oifname "uplink" udp sport 68 udp dport 67 counter accept
            Rule::new(
                "uplink.addressing",
                vec![uplink(), Part::Udp(68, 67), Part::Accept],
            ),
        );
    }
    let (rate, burst) = REFUSAL_RATE;
    rules.push(
        // limit rate 100/second burst 200 packets counter reject with icmpx admin-prohibited
        // So that a program of ours that tries is told at once.
        Rule::new(
            "not an endpoint",
            vec![Part::Within(rate, burst), Part::Prohibited],
        ),
    );
    rules
}
