//! No packet of one instrument reaches another, the hospital or the internet, whatever it is.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, CENTRE, GATEWAY, Host, ROUTER, WORKSTATION};
use rap_tests::system::System;

use crate::ear::{DOOR, Ear};
use crate::{TWO_NETWORKS, booted_with, move_second_instrument};

const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn two_instruments_with_the_same_address_both_deliver() {
    let Some(mut system) = booted_with(|_| {}) else {
        return;
    };
    for number in 1..=2 {
        assert_eq!(system.agents.post(&system.lab, number, 3).unwrap(), 3);
    }
    assert_eq!(system.expect_delivered().unwrap(), 6);
    let mut sources: Vec<_> = system
        .centre
        .book()
        .unwrap()
        .events()
        .unwrap()
        .into_iter()
        .map(|e| e.source)
        .collect();
    sources.sort();
    sources.dedup();
    let ports = ["port1", "port2"].map(|port| sources.iter().any(|source| source.contains(port)));
    assert_eq!(
        ports,
        [true, true],
        "each port is a source of its own: {sources:?}"
    );
}

#[test]
fn no_packet_of_an_instrument_leaves_its_port() {
    let Some(mut system) = booted_with(|setup| setup.site = TWO_NETWORKS.to_owned()) else {
        return;
    };
    move_second_instrument(&system);
    let second = Ipv4Addr::new(192, 168, 2, 50);
    let ears = [
        Ear::on(system.lab.instrument(2)),
        Ear::on(&system.lab.workstation),
        Ear::on(&system.lab.centre),
        Ear::on(&system.lab.hospital),
    ];
    ears_can_hear(&system);

    let instrument = system.lab.instrument(1);
    let heard_before: Vec<_> = ears.iter().map(Ear::heard).collect();
    for target in [
        second,
        WORKSTATION,
        *CENTRE.ip(),
        ROUTER,
        BOX,
        Ipv4Addr::new(192, 168, 2, 1),
        Ipv4Addr::new(8, 8, 8, 8),
    ] {
        assert!(!instrument.pings(&target.to_string()).unwrap(), "ping {target}");
        for port in [DOOR, CENTRE.port(), 53, 80, 443] {
            let to = SocketAddrV4::new(target, port);
            assert_eq!(
                instrument.try_tcp(to, PATIENCE / 4).unwrap(),
                Verdict::Silent,
                "TCP {to}"
            );
        }
        let to = SocketAddrV4::new(target, DOOR);
        assert_eq!(
            instrument.try_udp(to, b"hello", PATIENCE / 4).unwrap(),
            Verdict::Silent,
            "UDP {to}"
        );
        // As somebody else: the other instrument, the gateways, a hospital's computer, the box, the centre.
        for source in [
            second,
            GATEWAY,
            Ipv4Addr::new(192, 168, 2, 1),
            WORKSTATION,
            BOX,
            *CENTRE.ip(),
            Ipv4Addr::LOCALHOST,
        ] {
            instrument
                .send_forged(SocketAddrV4::new(source, DOOR), to, b"forged")
                .unwrap();
        }
    }
    // Every node, every router, and the address the box would have made from its card's own (RFC 4291 appendix A).
    for address in ["ff02::1", "ff02::2", "fe80::5054:ff:fe00:11"] {
        assert!(!pings_v6(instrument, address), "IPv6 {address}");
    }
    // A flow that is allowed runs to its end behind them, so everything before it has been decided.
    system.agents.post(&system.lab, 1, 1).unwrap();
    system.expect_delivered().unwrap();
    let heard: Vec<_> = ears.iter().map(Ear::heard).collect();
    assert_eq!(heard, heard_before, "datagrams that should not have come");
}

/// Whether anybody but `host` itself answers a ping to the IPv6 `address` on its cable.
fn pings_v6(host: &Host, address: &str) -> bool {
    let mut ping = Command::new("ping");
    // -L: its own multicast does not come back to it.
    ping.args([
        "-6", "-L", "-n", "-q", "-c", "3", "-i", "0.2", "-w", "3", "-I", "eth0", address,
    ]);
    host.output(ping).unwrap().status.success()
}

/// The control: what is sent to an ear from beside it is heard, so silence means something.
fn ears_can_hear(system: &System) {
    let to = SocketAddrV4::new(WORKSTATION, DOOR);
    let answer = system.lab.centre.try_udp(to, b"hello", PATIENCE).unwrap();
    assert_eq!(answer, Verdict::Open, "the lab's own network carries a datagram");
}
