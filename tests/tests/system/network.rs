//! What is open, from every side, and what is not.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use rap_core::site::{INGEST_TLS_PORT, PAGE_PORT};
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, GATEWAY, Host, INSTRUMENT, Lease};
use rap_tests::system::System;

use crate::booted_with;

/// UDP services people look for: DNS, DHCP, TFTP, NTP, NetBIOS, SNMP, IKE, syslog, RIP, OpenVPN, SQL browser, SSDP,
/// IPsec NAT-T, mDNS, LLMNR, memcached.
const UDP: [u16; 20] = [
    53, 67, 69, 111, 123, 137, 138, 161, 162, 500, 514, 520, 623, 1194, 1434, 1900, 4500, 5353, 5355, 11211,
];

#[test]
fn an_instrument_finds_dhcp_and_the_ingest_and_nothing_else() {
    let Some(system) = booted_with(|_| {}) else { return };
    for number in 1..=2 {
        let lease = system.lab.instrument(number).ask_dhcp("eth0").unwrap();
        let expected = Some((INSTRUMENT, 24, Some(GATEWAY)));
        assert_eq!(
            lease.map(
                |Lease {
                     address,
                     prefix,
                     router,
                     ..
                 }| (address, prefix, router)
            ),
            expected,
            "{number}"
        );
    }
    let instrument = system.lab.instrument(1);
    assert!(
        instrument.pings(&GATEWAY.to_string()).unwrap(),
        "the gateway answers a ping"
    );
    assert_eq!(open_udp(instrument, GATEWAY), Vec::<u16>::new());
    // The box drops: whatever is not silent is something an instrument could see.
    let found = instrument
        .scan_tcp(GATEWAY, 1..=65535, Duration::from_millis(400))
        .unwrap();
    let doors = [INGEST_TLS_PORT, PAGE_PORT].map(|port| (port, Verdict::Open));
    assert_eq!(found, BTreeMap::from(doors));
}

#[test]
fn the_hospital_finds_nothing_and_is_told_so() {
    let Some(system) = booted_with(|_| {}) else { return };
    let workstation = &system.lab.workstation;
    assert!(
        !workstation.pings(&BOX.to_string()).unwrap(),
        "the box answers a ping from the hospital"
    );
    assert_eq!(open_udp(workstation, BOX), Vec::<u16>::new());
    // Refusals are rate-limited, so a port that stayed silent is asked again, more slowly.
    let mut ports: Vec<u16> = (1..=65535).collect();
    let begun = Instant::now();
    while !ports.is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "{} ports stay silent",
            ports.len()
        );
        let (asked, rest) = ports.split_at(ports.len().min(4000));
        let found = workstation
            .scan_tcp(BOX, asked.iter().copied(), Duration::from_millis(1500))
            .unwrap();
        let open: Vec<_> = found
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Open)
            .collect();
        assert_eq!(open, [], "open to the hospital");
        let silent = asked.iter().copied().filter(|port| !found.contains_key(port));
        ports = rest.iter().copied().chain(silent).collect();
    }
    still_works(&system);
}

/// UDP ports of `address` at which something answered `host`.
fn open_udp(host: &Host, address: Ipv4Addr) -> Vec<u16> {
    let open = |port: &u16| {
        let to = SocketAddrV4::new(address, *port);
        host.try_udp(
            to,
            b"\x00\x01\x00\x00\x00\x01\x00\x00",
            Duration::from_millis(300),
        )
        .unwrap()
            == Verdict::Open
    };
    UDP.into_iter().filter(open).collect()
}

/// Being scanned does the box no harm.
fn still_works(system: &System) {
    let gateway = SocketAddrV4::new(GATEWAY, INGEST_TLS_PORT);
    let verdict = system
        .lab
        .instrument(1)
        .try_tcp(gateway, Duration::from_secs(5))
        .unwrap();
    assert_eq!(verdict, Verdict::Open, "{}", system.machine.console().tail(40));
}
