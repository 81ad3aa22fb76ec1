use std::collections::HashSet;

use crate::sample;

use super::*;

/// The sample network with everything of port1 open that may be.
fn lab() -> (Network, Moment) {
    let network = sample::network();
    let port = &network.ports[0];
    let open = port.remote.iter().map(|opening| (port.name.clone(), *opening));
    let moment = Moment {
        open: open.collect(),
        ..Moment::default()
    };
    (network, moment)
}

fn tcp(source: u16, destination: u16, state: State) -> Kind {
    Kind::Transport {
        protocol: Protocol::Tcp,
        source,
        destination,
        state,
    }
}

fn udp(source: u16, destination: u16) -> Kind {
    Kind::Transport {
        protocol: Protocol::Udp,
        source,
        destination,
        state: State::Opens,
    }
}

fn packet(zone: Zone, from: &str, to: &str, kind: Kind) -> Packet {
    Packet {
        zone,
        station: None,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        kind,
    }
}

fn port1() -> Zone {
    Zone::Instrument("port1".parse().unwrap())
}

fn check(network: &Network, moment: &Moment, packet: &Packet, verdict: Verdict) {
    let answer = network.verdict(moment, packet);
    assert_eq!(answer.verdict, verdict, "{packet:?}: {}", answer.reason);
    assert!(answer.reason.ends_with('.'), "{}", answer.reason);
}

#[test]
fn an_instrument_may_use_its_port_and_nothing_else() {
    let (network, moment) = lab();
    let opens = tcp(40000, 8443, State::Opens);
    for (from, to, kind, verdict) in [
        ("192.168.1.50", "192.168.1.1", opens, Verdict::Delivered),
        ("192.168.1.50", "192.168.1.1", Kind::Echo, Verdict::Delivered),
        ("192.168.1.50", "192.168.1.1", Kind::Error, Verdict::Delivered),
        ("0.0.0.0", "255.255.255.255", udp(68, 67), Verdict::Delivered),
        (
            "192.168.1.50",
            "192.168.1.1",
            tcp(40000, 22, State::Opens),
            Verdict::Silent,
        ),
        (
            "192.168.1.50",
            "192.168.1.1",
            tcp(40000, 8443, State::Stray),
            Verdict::Silent,
        ),
        ("192.168.1.50", "192.168.1.1", udp(40000, 8443), Verdict::Silent),
        ("192.168.1.50", "192.168.1.1", Kind::Other(47), Verdict::Silent),
        ("192.168.1.51", "192.168.1.1", opens, Verdict::Silent),
        ("192.168.1.50", "10.9.0.10", opens, Verdict::Silent),
        ("192.168.1.50", "10.200.0.1", opens, Verdict::Silent),
        ("0.0.0.0", "255.255.255.255", udp(68, 69), Verdict::Silent),
        (
            "fe80::1",
            "ff02::1",
            Kind::Neighbour(Neighbour::Discovery),
            Verdict::Silent,
        ),
    ] {
        check(&network, &moment, &packet(port1(), from, to, kind), verdict);
    }
    let mut other = packet(port1(), "192.168.1.50", "192.168.1.1", opens);
    other.station = Some("52:54:00:12:34:99".parse().unwrap());
    check(&network, &moment, &other, Verdict::Silent);
}

#[test]
fn a_session_reaches_what_is_open_while_it_is_open() {
    let (network, open) = lab();
    let closed = Moment::default();
    let asks = packet(
        Zone::Tunnel,
        "10.77.0.9",
        "10.200.0.1",
        tcp(40000, 5900, State::Opens),
    );
    let answers = packet(
        port1(),
        "192.168.1.50",
        "192.168.1.1",
        tcp(5900, 40000, State::Answers),
    );
    let error = packet(Zone::Tunnel, "10.77.0.9", "10.200.0.1", Kind::Error);
    for packet in [&asks, &answers, &error] {
        check(&network, &open, packet, Verdict::Delivered);
        check(&network, &closed, packet, Verdict::Silent);
    }
    for (to, kind) in [
        ("10.200.0.1", tcp(40000, 5901, State::Opens)),
        ("10.200.0.1", tcp(40000, 8443, State::Opens)),
        ("10.200.0.1", udp(40000, 5900)),
        ("10.200.0.1", Kind::Echo),
        // The second port allows no session.
        ("10.200.0.3", tcp(40000, 5900, State::Opens)),
        ("10.200.0.0", tcp(40000, 5900, State::Opens)),
        ("10.9.0.2", tcp(40000, 8443, State::Opens)),
        ("192.168.1.50", tcp(40000, 5900, State::Opens)),
    ] {
        let packet = packet(Zone::Tunnel, "10.77.0.9", to, kind);
        check(&network, &open, &packet, Verdict::Silent);
    }
}

#[test]
fn the_hospital_is_told_no_and_its_answers_are_heard() {
    let (mut network, moment) = lab();
    for (from, to, kind, verdict) in [
        (
            "10.9.0.20",
            "10.9.0.2",
            tcp(40000, 443, State::Opens),
            Verdict::Refused,
        ),
        ("10.9.0.20", "10.9.0.2", Kind::Echo, Verdict::Refused),
        (
            "10.9.0.10",
            "10.9.0.2",
            tcp(8443, 40000, State::Answers),
            Verdict::Delivered,
        ),
        ("10.9.0.1", "10.9.0.2", Kind::Error, Verdict::Delivered),
        (
            "10.9.0.20",
            "10.9.0.2",
            tcp(8443, 40000, State::Stray),
            Verdict::Silent,
        ),
        ("10.9.0.20", "10.9.0.2", Kind::Unasked, Verdict::Silent),
        ("10.9.0.20", "10.9.0.2", Kind::Other(47), Verdict::Refused),
        ("10.9.0.20", "10.9.0.255", udp(137, 137), Verdict::Silent),
        (
            "10.9.0.20",
            "192.168.1.50",
            tcp(40000, 80, State::Opens),
            Verdict::Silent,
        ),
        ("10.9.0.20", "224.0.0.251", udp(5353, 5353), Verdict::Silent),
        ("127.0.0.1", "10.9.0.2", udp(40000, 53), Verdict::Silent),
        ("10.9.0.2", "10.9.0.2", udp(40000, 53), Verdict::Silent),
        ("10.9.0.255", "10.9.0.2", udp(40000, 53), Verdict::Silent),
        ("0.0.0.0", "10.9.0.2", udp(40000, 53), Verdict::Silent),
        ("10.9.0.20", "10.9.0.2", udp(67, 68), Verdict::Refused),
        ("2001:db8::9", "2001:db8::2", Kind::Echo, Verdict::Silent),
    ] {
        check(
            &network,
            &moment,
            &packet(Zone::Hospital, from, to, kind),
            verdict,
        );
    }
    network.uplink.addressing = Addressing::Dhcp;
    let moment = Moment {
        own: vec!["10.9.0.2/24".parse().unwrap()],
        ..moment
    };
    for (to, verdict) in [
        ("255.255.255.255", Verdict::Delivered),
        ("10.9.0.255", Verdict::Delivered),
        ("10.9.0.2", Verdict::Delivered),
        ("10.9.0.21", Verdict::Silent),
    ] {
        let given = packet(Zone::Hospital, "10.9.0.1", to, udp(67, 68));
        check(&network, &moment, &given, verdict);
    }
}

#[test]
fn ipv6_neighbours_are_heard_where_it_is_on() {
    let (mut network, _) = lab();
    let moment = Moment {
        own: vec!["2001:db8::2/64".parse().unwrap(), "fe80::2/64".parse().unwrap()],
        ..Moment::default()
    };
    let advertisement = |from| {
        let kind = Kind::Neighbour(Neighbour::RouterAdvertisement);
        packet(Zone::Hospital, from, "ff02::1", kind)
    };
    let discovery = |from, to| packet(Zone::Hospital, from, to, Kind::Neighbour(Neighbour::Discovery));
    let opens = packet(
        Zone::Hospital,
        "2001:db8::9",
        "2001:db8::2",
        tcp(40000, 443, State::Opens),
    );
    let given = Ipv6::Static {
        address: "2001:db8::2/64".parse().unwrap(),
        gateway: None,
    };
    for (ipv6, routers, neighbours, strangers) in [
        (Ipv6::Off, Verdict::Silent, Verdict::Silent, Verdict::Silent),
        (
            Ipv6::Slaac,
            Verdict::Delivered,
            Verdict::Delivered,
            Verdict::Refused,
        ),
        (given, Verdict::Silent, Verdict::Delivered, Verdict::Refused),
    ] {
        network.uplink.ipv6 = ipv6;
        check(&network, &moment, &advertisement("fe80::1"), routers);
        check(&network, &moment, &advertisement("2001:db8::1"), Verdict::Silent);
        for (from, to) in [
            ("2001:db8::9", "fe80::2"),
            ("2001:db8::9", "ff02::1:ff00:2"),
            // Somebody makes sure that nobody else has the address (RFC 4862 §5.4.2).
            ("::", "ff02::1:ff00:2"),
        ] {
            check(&network, &moment, &discovery(from, to), neighbours);
        }
        for to in ["ff02::2", "ff02::1:ff00:3"] {
            check(&network, &moment, &discovery("2001:db8::9", to), Verdict::Silent);
        }
        check(&network, &moment, &opens, strangers);
    }
}

#[test]
fn the_box_reaches_its_endpoints() {
    let (network, mut moment) = lab();
    let resolved: IpAddr = "10.9.0.99".parse().unwrap();
    let to_resolved = packet(Zone::Box, "10.9.0.2", "10.9.0.99", tcp(40000, 443, State::Opens));
    check(&network, &moment, &to_resolved, Verdict::Refused);
    moment.endpoints.push((resolved, Protocol::Tcp, 443));
    check(&network, &moment, &to_resolved, Verdict::Delivered);
    for (to, kind, verdict) in [
        ("10.9.0.10", tcp(40000, 8443, State::Opens), Verdict::Delivered),
        ("10.9.0.1", udp(40000, 53), Verdict::Delivered),
        ("127.0.0.1", tcp(40000, 3128, State::Opens), Verdict::Delivered),
        ("10.9.0.10", tcp(40000, 22, State::Opens), Verdict::Refused),
        ("10.9.0.10", udp(40000, 8443), Verdict::Refused),
        ("10.9.0.1", udp(40000, 123), Verdict::Refused),
        ("10.9.0.1", udp(68, 67), Verdict::Refused),
        ("10.200.0.1", tcp(40000, 5900, State::Opens), Verdict::Refused),
        ("10.200.0.1", Kind::Error, Verdict::Delivered),
    ] {
        check(
            &network,
            &moment,
            &packet(Zone::Box, "10.9.0.2", to, kind),
            verdict,
        );
    }
}

#[test]
fn in_a_ports_namespace_the_box_only_answers() {
    let (network, moment) = lab();
    let zone = || Zone::BoxAt("port1".parse().unwrap());
    for (to, kind, verdict) in [
        (
            "192.168.1.50",
            tcp(8443, 40000, State::Answers),
            Verdict::Delivered,
        ),
        ("255.255.255.255", udp(67, 68), Verdict::Delivered),
        ("192.168.1.50", tcp(40000, 80, State::Opens), Verdict::Silent),
        ("10.200.0.0", tcp(40000, 80, State::Opens), Verdict::Silent),
    ] {
        check(
            &network,
            &moment,
            &packet(zone(), "192.168.1.1", to, kind),
            verdict,
        );
    }
}

#[test]
fn the_promises_are_sentences_that_name_everything_allowed() {
    let (network, _) = lab();
    let promises: Vec<_> = network.promises().collect();
    let distinct: HashSet<_> = promises.iter().collect();
    assert_eq!(distinct.len(), promises.len());
    assert!(promises.iter().all(|sentence| sentence.ends_with('.')));
    let text = promises.join("\n");
    for said in [
        "The instrument at port1 (192.168.1.50) may use ingest at 192.168.1.1, tcp/8443: 64 connections at once",
        "may reach tcp/5900, udp/7000 of the instrument at port1, as 10.200.0.1.",
        "The box may reach centre at 10.9.0.10, tcp/8443.",
        "The box may ask name servers: 10.9.0.1.",
    ] {
        assert!(text.contains(said), "{said}\nnot in\n{text}");
    }
}
