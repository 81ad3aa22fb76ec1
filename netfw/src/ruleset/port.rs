//! The table of an instrument's port: the instrument may reach the box's services at the gateway address, and
//! nothing else; the box only answers.
//!
//! What arrives is filtered before connection tracking, so that packets from elsewhere than the one instrument cost
//! no memory. IPv6 matches no rule and falls to the policies.

use std::net::Ipv4Addr;

use super::{Chain, Hook, Part, Rule, TABLE, Table};
use crate::model::{Network, Port};

/// New connections a second to one service, after the burst; more are dropped.
const CONNECTION_RATE: (u32, u32) = (50, 100);
/// Connections at once to one service; more are dropped.
const CONNECTIONS: u32 = 64;
/// Echo requests a second, after the burst.
const ECHO_RATE: (u32, u32) = (10, 20);

pub(crate) fn port_table(port: &Port, network: &Network) -> Table {
    let _ = network;
    let hook = |hook, rules| Chain { hook, rules };
    Table {
        name: TABLE,
        sets: Vec::new(),
        chains: vec![
            hook(Hook::Arrive, arrive(port)),
            hook(Hook::Input, input(port)),
            hook(Hook::Forward, Vec::new()),
            hook(Hook::Output, output(port)),
        ],
    }
}

fn arrive(port: &Port) -> Vec<Rule> {
    let link = port.name.to_string();
    let gateway = port.address.addr();
    let station = port.mac.map(Part::FromStation);
    let mut rules = vec![
        // iifname "lo" counter accept
        Rule::new("loopback", vec![Part::In("lo".into()), Part::Accept]),
    ];

    // iifname "port1" ether saddr 52:54:00:12:34:56 ip saddr 192.168.1.50 ip daddr 192.168.1.1
    //   fib saddr . iif oif exists counter accept
    let mut instrument = vec![Part::In(link.clone())];
    instrument.extend(station.clone());
    instrument.extend([
        Part::From(vec![port.instrument]),
        Part::To(vec![gateway]),
        Part::ReversePath,
        Part::Accept,
    ]);
    rules.push(Rule::new(path(port, "instrument"), instrument));

    if port.dhcp {
        // iifname "port1" ether saddr 52:54:00:12:34:56 ip saddr { 0.0.0.0, 192.168.1.50 }
        //   ip daddr { 255.255.255.255, 192.168.1.1 } udp sport 68 udp dport 67 counter accept
        let mut dhcp = vec![Part::In(link)];
        dhcp.extend(station);
        dhcp.extend([
            Part::From(vec![Ipv4Addr::UNSPECIFIED, port.instrument]),
            Part::To(vec![Ipv4Addr::BROADCAST, gateway]),
            Part::Udp(68, 67),
            Part::Accept,
        ]);
        rules.push(Rule::new(path(port, "dhcp"), dhcp));
    }
    rules
}

fn input(port: &Port) -> Vec<Rule> {
    let mut rules = vec![
        // iifname "lo" counter accept
        Rule::new("loopback", vec![Part::In("lo".into()), Part::Accept]),
        // ct direction reply ct state established,related counter accept
        Rule::new("replies", vec![Part::Reply, Part::Accept]),
    ];
    if port.dhcp {
        rules.push(
            // udp sport 68 udp dport 67 counter accept
            Rule::new(path(port, "dhcp"), vec![Part::Udp(68, 67), Part::Accept]),
        );
    }
    let (rate, burst) = ECHO_RATE;
    rules.push(
        // icmp type echo-request limit rate 10/second burst 20 packets counter accept
        Rule::new(
            path(port, "address"),
            vec![Part::Echo, Part::Within(rate, burst), Part::Accept],
        ),
    );
    let (rate, burst) = CONNECTION_RATE;
    for service in &port.services {
        let path = path(port, &format!("services.{}", service.name));
        let to = Part::Port(service.protocol, service.port);
        let opening = || vec![to.clone(), Part::State(&["new"])];
        rules.extend([
            // tcp dport 8443 ct state new limit rate over 50/second burst 100 packets counter drop
            Rule::new(
                format!("{path}: rate"),
                [opening(), vec![Part::Beyond(rate, burst), Part::Drop]].concat(),
            ),
            // tcp dport 8443 ct state new ct count over 64 counter drop
            Rule::new(
                format!("{path}: connections"),
                [opening(), vec![Part::MoreConnections(CONNECTIONS), Part::Drop]].concat(),
            ),
            // tcp dport 8443 ct state new,established counter accept
            Rule::new(
                path,
                vec![to.clone(), Part::State(&["new", "established"]), Part::Accept],
            ),
        ]);
    }
    rules
}

fn output(port: &Port) -> Vec<Rule> {
    let mut rules = vec![
        // oifname "lo" counter accept
        Rule::new("loopback", vec![Part::Out("lo".into()), Part::Accept]),
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
    rules
}

fn path(port: &Port, field: &str) -> String {
    format!("ports.{}.{field}", port.name)
}
