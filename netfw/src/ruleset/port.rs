//! The table of an instrument's port: the instrument may reach the box's services at the gateway address, and
//! nothing else; the box only answers.
//!
//! What arrives is filtered before connection tracking, so that packets from elsewhere than the one instrument, and
//! more than its share from the instrument itself, cost no memory. IPv6 matches no rule and falls to the policies;
//! so does what a program of the box says to itself in here: none has to.
//!
//! Through the namespace goes only what the table of sessions has marked. Without that table nothing is marked.

use std::net::Ipv4Addr;

use super::{Chain, Hook, Part, Rule, TABLE, Table};
use crate::model::{Network, Port};
use crate::plan::SESSION;

/// Echo requests a second, after the burst.
const ECHO_RATE: (u32, u32) = (10, 20);

pub(crate) fn port_table(port: &Port, network: &Network) -> Table {
    let hook = |hook, rules| Chain { hook, rules };
    Table {
        name: TABLE,
        sets: Vec::new(),
        chains: vec![
            hook(Hook::Arrive, arrive(port, network)),
            hook(Hook::Input, input(port)),
            hook(Hook::Forward, forward(port)),
            hook(Hook::Output, output(port)),
            hook(Hook::Limited, vec![told(port, Hook::Limited)]),
            hook(Hook::Stray, vec![told(port, Hook::Stray)]),
        ],
    }
}

fn arrive(port: &Port, network: &Network) -> Vec<Rule> {
    let link = || Part::In(port.name.to_string());
    let gateway = port.address.addr();
    let station = port.mac.map(Part::FromStation);
    let rate = port.limits.packets_per_second;
    let mut rules = vec![
        // iifname "port1" limit rate over 5000/second burst 5000 packets counter goto limited
        Rule::new(
            path(port, "limits.packets-per-second"),
            vec![link(), Part::Beyond(rate, rate), Part::Discard(Hook::Limited)],
        ),
    ];

    // iifname "port1" ether saddr 52:54:00:12:34:56 ip saddr 192.168.1.50 ip daddr 192.168.1.1 counter accept
    // Replies of a session come to the gateway address as well: it is masqueraded.
    let mut instrument = vec![link()];
    instrument.extend(station.clone());
    instrument.extend([
        Part::From(vec![port.instrument]),
        Part::To(vec![gateway]),
        Part::Accept,
    ]);
    rules.push(Rule::new(path(port, "instrument"), instrument));

    if port.dhcp {
        // iifname "port1" ether saddr 52:54:00:12:34:56 ip saddr { 0.0.0.0, 192.168.1.50 }
        //   ip daddr { 255.255.255.255, 192.168.1.1 } udp sport 68 udp dport 67 counter accept
        let mut dhcp = vec![link()];
        dhcp.extend(station);
        dhcp.extend([
            Part::From(vec![Ipv4Addr::UNSPECIFIED, port.instrument]),
            Part::To(vec![Ipv4Addr::BROADCAST, gateway]),
            Part::Udp(68, 67),
            Part::Accept,
        ]);
        rules.push(Rule::new(path(port, "dhcp"), dhcp));
    }

    if let Some((outer, inner)) = session_pair(port, network) {
        rules.push(
            // iifname "session" ip saddr 10.200.0.0 ip daddr 10.200.0.1 counter accept
            Rule::new(
                "sessions",
                vec![
                    Part::In(SESSION.to_owned()),
                    Part::From(vec![outer]),
                    Part::To(vec![inner]),
                    Part::Accept,
                ],
            ),
        );
    }
    rules.push(told(port, Hook::Arrive));
    rules
}

fn input(port: &Port) -> Vec<Rule> {
    let link = || Part::In(port.name.to_string());
    let mut rules = vec![
        // ct state invalid counter goto stray
        // Here, because the services accept by port: what fits no connection would reach the kernel's own.
        Rule::new(
            "invalid",
            vec![Part::State("invalid"), Part::Discard(Hook::Stray)],
        ),
        // iifname "port1" icmp type destination-unreachable ct state related counter accept
        Rule::new(
            format!("{}: path MTU", path(port, "instrument")),
            vec![link(), Part::Unreachable, Part::State("related"), Part::Accept],
        ),
    ];
    if port.dhcp {
        rules.push(
            // iifname "port1" udp sport 68 udp dport 67 counter accept
            Rule::new(path(port, "dhcp"), vec![link(), Part::Udp(68, 67), Part::Accept]),
        );
    }
    let (rate, burst) = ECHO_RATE;
    rules.push(
        // iifname "port1" icmp type echo-request limit rate 10/second burst 20 packets counter accept
        Rule::new(
            path(port, "address"),
            vec![link(), Part::Echo, Part::Within(rate, burst), Part::Accept],
        ),
    );
    rules.extend(services(port));
    rules.push(told(port, Hook::Input));
    rules
}

fn services(port: &Port) -> Vec<Rule> {
    let limits = port.limits;
    let rate = limits.connections_per_second;
    let mut rules = Vec::new();
    for service in &port.services {
        let path = path(port, &format!("services.{}", service.name));
        let to = || {
            vec![
                Part::In(port.name.to_string()),
                Part::Port(service.protocol, service.port),
            ]
        };
        let opening = || [to(), vec![Part::State("new")]].concat();
        rules.extend([
            // iifname "port1" tcp dport 8443 ct state new limit rate over 50/second burst 100 packets counter goto limited
            Rule::new(
                format!("{path}: rate"),
                [
                    opening(),
                    vec![
                        Part::Beyond(rate, rate.saturating_mul(2)),
                        Part::Discard(Hook::Limited),
                    ],
                ]
                .concat(),
            ),
            // iifname "port1" tcp dport 8443 ct state new ct count over 64 counter goto limited
            Rule::new(
                format!("{path}: connections"),
                [
                    opening(),
                    vec![
                        Part::MoreConnections(limits.connections),
                        Part::Discard(Hook::Limited),
                    ],
                ]
                .concat(),
            ),
            // iifname "port1" tcp dport 8443 counter accept
            Rule::new(path, [to(), vec![Part::Accept]].concat()),
        ]);
    }
    rules
}

fn forward(port: &Port) -> Vec<Rule> {
    if port.remote.is_empty() {
        // Forwarding stays switched off: no packet comes here.
        return Vec::new();
    }
    vec![
        // meta mark 0x6e667701 counter accept
        Rule::new("sessions", vec![Part::Marked, Part::Accept]),
        told(port, Hook::Forward),
    ]
}

fn output(port: &Port) -> Vec<Rule> {
    let mut rules = vec![
        // ct direction reply ct state established,related counter accept
        Rule::new("replies", vec![Part::Reply, Part::Accept]),
    ];
    if port.dhcp {
        // A broadcast answer is a connection of its own to the kernel, not a reply.
        rules.push(
            // oifname "port1" ip saddr 192.168.1.1 udp sport 67 udp dport 68 counter accept
            Rule::new(
                path(port, "dhcp"),
                vec![
                    Part::Out(port.name.to_string()),
                    Part::From(vec![port.address.addr()]),
                    Part::Udp(67, 68),
                    Part::Accept,
                ],
            ),
        );
    }
    rules.push(told(port, Hook::Output));
    rules
}

/// counter limit rate 2/second burst 10 packets log prefix "netfw port1 input: not allowed " group 1
fn told(port: &Port, hook: Hook) -> Rule {
    Rule::told(port.name.as_str(), hook)
}

fn session_pair(port: &Port, network: &Network) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if port.remote.is_empty() {
        return None;
    }
    let nth = network.ports.iter().position(|other| other.name == port.name)?;
    let (outer, inner) = network.session_pair(nth)?;
    Some((outer.addr(), inner.addr()))
}

fn path(port: &Port, field: &str) -> String {
    format!("ports.{}.{field}", port.name)
}
