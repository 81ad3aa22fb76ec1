//! The table of the root namespace: nobody may open a connection to the box; the box may open them to the configured
//! endpoints and name servers only. Everybody who tries is told so.
//!
//! No rule accepts a packet of the box's own connections because the connection exists: each is tested against the
//! sets, so an endpoint that leaves a set is cut off at once.
//!
//! Where IPv6 is on, a link needs some talk of its own (neighbours, routers, multicast listeners); it passes only as
//! what it is. Errors that path MTU discovery needs are replies (`related`), in IPv6 as in IPv4.

use std::net::IpAddr;

use super::part::{Field, TO_SERVICE, TO_SERVICE6};
use super::session::TO_PORTS;
use super::set::{V4, V4_SERVICE, V6, V6_SERVICE};
use super::{Chain, DNS, DNS6, ENDPOINTS, ENDPOINTS6, Element, Hook, Key, Part, Rule, Set, TABLE, Table};
use crate::model::{Addressing, Host, Ipv6, Network};
use crate::plan::UPLINK;

/// Resets a second; a reset is no larger than what it answers.
const RESET_RATE: (u32, u32) = (2000, 4000);
/// ICMP refusals a second.
const REFUSAL_RATE: (u32, u32) = (100, 200);
/// Who has this address, and: I have it (RFC 4861 §4.3, §4.4).
const NEIGHBOURS: &[&str] = &["nd-neighbor-solicit", "nd-neighbor-advert"];

pub(crate) fn root_table(network: &Network) -> Table {
    let hook = |hook, rules| Chain { hook, rules };
    Table {
        name: TABLE,
        sets: sets(network),
        chains: vec![
            hook(Hook::Input, input(network)),
            hook(Hook::Forward, forward(network)),
            hook(Hook::Output, output(network)),
            hook(Hook::Stray, vec![Rule::told("root", Hook::Stray)]),
        ],
    }
}

fn sets(network: &Network) -> Vec<Set> {
    let (endpoints, endpoints6) = apart(endpoints(network));
    let (servers, servers6) = apart(name_servers(network));
    let set = |name, kind, elements| Set { name, kind, elements };
    let mut sets = vec![set(ENDPOINTS, V4_SERVICE, endpoints), set(DNS, V4, servers)];
    if network.uplink.ipv6 != Ipv6::Off {
        sets.extend([set(ENDPOINTS6, V6_SERVICE, endpoints6), set(DNS6, V6, servers6)]);
    }
    sets
}

fn apart(elements: Vec<Element>) -> (Vec<Element>, Vec<Element>) {
    elements
        .into_iter()
        .partition(|element| element.key.address().is_some_and(|address| address.is_ipv4()))
}

/// The endpoints given as addresses; those given as names come and go with what they resolve to.
fn endpoints(network: &Network) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    for endpoint in &network.endpoints {
        let Host::Ip(address) = endpoint.host else {
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
    elements
}

/// The configured name servers; those of a lease come with it.
fn name_servers(network: &Network) -> Vec<Element> {
    let mut servers = network.uplink.dns.clone();
    servers.sort_unstable();
    servers.dedup();
    let element = |address: IpAddr| Element {
        key: Key::Address(address),
        timeout: None,
        comment: "uplink.dns".to_owned(),
    };
    servers.into_iter().map(element).collect()
}

fn input(network: &Network) -> Vec<Rule> {
    let uplink = || Part::In(UPLINK.to_owned());
    let mut rules = vec![
        // iifname "lo" counter accept
        Rule::new("loopback", vec![Part::In("lo".into()), Part::Accept]),
        // ct state invalid counter goto stray
        // Before the refusals: what is part of nothing is not worth an answer.
        Rule::new(
            "invalid",
            vec![Part::State("invalid"), Part::Discard(Hook::Stray)],
        ),
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
    rules.extend(neighbours_in(network.uplink.ipv6));
    let within = |(rate, burst)| Part::Within(rate, burst);
    rules.extend([
        // counter limit rate 2/second burst 10 packets log prefix "netfw root input: not allowed " group 1
        Rule::told("root", Hook::Input),
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

fn neighbours_in(ipv6: Ipv6) -> Vec<Rule> {
    if ipv6 == Ipv6::Off {
        return Vec::new();
    }
    let uplink = || Part::In(UPLINK.to_owned());
    let mut rules = vec![
        // iifname "uplink" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 counter accept
        Rule::new(
            "uplink.ipv6: neighbours",
            vec![uplink(), Part::Icmpv6(NEIGHBOURS), Part::Untouched, Part::Accept],
        ),
        // iifname "uplink" icmpv6 type mld-listener-query ip6 saddr fe80::/10 counter accept
        // A switch that is not answered forgets which neighbour solicitations are ours (RFC 4541).
        Rule::new(
            "uplink.ipv6: listeners",
            vec![
                uplink(),
                Part::Icmpv6(&["mld-listener-query"]),
                Part::FromLinkLocal,
                Part::Accept,
            ],
        ),
    ];
    if ipv6 == Ipv6::Slaac {
        rules.push(
            // iifname "uplink" icmpv6 type nd-router-advert ip6 saddr fe80::/10 ip6 hoplimit 255 counter accept
            Rule::new(
                "uplink.ipv6: routers",
                vec![
                    uplink(),
                    Part::Icmpv6(&["nd-router-advert"]),
                    Part::FromLinkLocal,
                    Part::Untouched,
                    Part::Accept,
                ],
            ),
        );
    }
    rules
}

fn forward(network: &Network) -> Vec<Rule> {
    if !network.has_sessions() {
        // Forwarding stays switched off: no packet comes here.
        return Vec::new();
    }
    vec![
        // meta mark 0x6e667701 counter accept
        Rule::new("sessions", vec![Part::Marked, Part::Accept]),
        // counter limit rate 2/second burst 10 packets log prefix "netfw root forward: not allowed " group 1
        Rule::told("root", Hook::Forward),
    ]
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
        Rule::new(
            "endpoints",
            vec![uplink(), Part::Member(TO_SERVICE, ENDPOINTS), Part::Accept],
        ),
        // oifname "uplink" ip daddr @dns meta l4proto { tcp, udp } th dport 53 counter accept
        Rule::new(
            "uplink.dns",
            vec![
                uplink(),
                Part::Member(&[Field::Destination], DNS),
                Part::Dns,
                Part::Accept,
            ],
        ),
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
    rules.extend(ipv6_out(network.uplink.ipv6));
    if network.has_sessions() {
        rules.push(
            // oifname "s-*" icmp type destination-unreachable ct state related counter accept
            // Our own word to an instrument whose packets do not fit into the tunnel.
            Rule::new(
                "sessions: path MTU",
                vec![
                    Part::Out(TO_PORTS.to_owned()),
                    Part::Unreachable,
                    Part::State("related"),
                    Part::Accept,
                ],
            ),
        );
    }
    let (rate, burst) = REFUSAL_RATE;
    rules.extend([
        // counter limit rate 2/second burst 10 packets log prefix "netfw root output: not allowed " group 1
        Rule::told("root", Hook::Output),
        // limit rate 100/second burst 200 packets counter reject with icmpx admin-prohibited
        // So that a program of ours that tries is told at once.
        Rule::new(
            "not an endpoint",
            vec![Part::Within(rate, burst), Part::Prohibited],
        ),
    ]);
    rules
}

fn ipv6_out(ipv6: Ipv6) -> Vec<Rule> {
    if ipv6 == Ipv6::Off {
        return Vec::new();
    }
    let uplink = || Part::Out(UPLINK.to_owned());
    let mut rules = vec![
        // oifname "uplink" ip6 daddr . meta l4proto . th dport @endpoints6 counter accept
        Rule::new(
            "endpoints: IPv6",
            vec![uplink(), Part::Member(TO_SERVICE6, ENDPOINTS6), Part::Accept],
        ),
        // oifname "uplink" ip6 daddr @dns6 meta l4proto { tcp, udp } th dport 53 counter accept
        Rule::new(
            "uplink.dns: IPv6",
            vec![
                uplink(),
                Part::Member(&[Field::Destination6], DNS6),
                Part::Dns,
                Part::Accept,
            ],
        ),
        // oifname "uplink" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter accept
        Rule::new(
            "uplink.ipv6: neighbours",
            vec![uplink(), Part::Icmpv6(NEIGHBOURS), Part::Accept],
        ),
        // oifname "uplink" icmpv6 type mld2-listener-report counter accept
        Rule::new(
            "uplink.ipv6: listeners",
            vec![uplink(), Part::Icmpv6(&["mld2-listener-report"]), Part::Accept],
        ),
    ];
    if ipv6 == Ipv6::Slaac {
        rules.push(
            // oifname "uplink" icmpv6 type nd-router-solicit counter accept
            Rule::new(
                "uplink.ipv6: routers",
                vec![uplink(), Part::Icmpv6(&["nd-router-solicit"]), Part::Accept],
            ),
        );
    }
    rules
}
