//! A box whose way to the service centre is tagged, narrow, and at times silent about it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, CENTRE_NAME, Capture, Host, Layout, port_nic};
use rap_tests::system::System;

use crate::{deliver, system_with};

/// The largest packet the way to the centre carries.
const NARROW: u16 = 1280;
/// The box's card on the uplink.
const CARD: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x10];
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn four_ports_deliver_over_a_tagged_uplink_and_a_path_narrower_than_it() {
    let narrow = Layout {
        vlan: Some(7),
        path_mtu: Some(NARROW),
    };
    let Some(mut system) = system_with(|setup| {
        setup.site = site();
        setup.instruments = 4;
        setup.layout = narrow;
    }) else {
        return;
    };
    // From the first packet on: a resumed handshake alone is longer than the path.
    fall_silent(&system.lab.hospital);
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    each_port_delivers(&mut system);
    what_has_no_tag_is_not_answered(&system);
    a_path_that_is_silent_is_got_through(&mut system);
    a_path_that_speaks_is_heard(&mut system);
}

/// Four instruments with the same address, and the centre by its name.
fn site() -> String {
    let mut site = format!(
        "version = 1\nname = \"rap-path\"\n\
         [uplink]\nnic = \"pci:0000:00:10.0\"\nvlan = 7\naddress = \"10.9.0.2/24\"\n\
         gateway = \"10.9.0.1\"\ndns = [\"10.9.0.1\"]\n\
         [centre]\nurl = \"https://{CENTRE_NAME}:8443\"\n"
    );
    for number in 1..=4 {
        site.push_str(&format!(
            "[[port]]\nname = \"port{number}\"\nnic = \"{}\"\naddress = \"192.168.1.1/24\"\n\
             instrument = \"192.168.1.50\"\n",
            port_nic(number)
        ));
    }
    site
}

fn each_port_delivers(system: &mut System) {
    for number in 1..=4 {
        assert_eq!(system.agents.post(&system.lab, number, 2).unwrap(), 2);
    }
    deliver(system);
    let events = system.centre.book().unwrap().events().unwrap();
    for number in 1..=4 {
        let source = format!("/rap-path/port{number}");
        let count = events.iter().filter(|event| event.source == source).count();
        assert_eq!(count, 2, "reports of {source}");
    }
}

/// Who is on the same cable without the tag hears nothing of the box, not even that it is there.
fn what_has_no_tag_is_not_answered(system: &System) {
    let stray = system.lab.stray.as_ref().unwrap();
    let heard = stray.capture("eth0").unwrap();
    let door = SocketAddrV4::new(BOX, INGEST_TLS_PORT);
    // The control: in the VLAN the box is there, and refuses.
    let refused = system.lab.workstation.try_tcp(door, PATIENCE).unwrap();
    assert_ne!(refused, Verdict::Silent, "the box does not refuse its neighbour");
    let refused = stray.try_tcp(door, PATIENCE).unwrap();
    assert!(
        matches!(refused, Verdict::Silent | Verdict::Unreachable),
        "{refused:?}"
    );
    stray
        .ip(&format!("neigh replace {BOX} lladdr 52:54:00:00:00:10 dev eth0"))
        .unwrap();
    assert!(!stray.pings(&BOX.to_string()).unwrap());
    assert_eq!(stray.try_tcp(door, PATIENCE).unwrap(), Verdict::Silent);
    let packets = heard.packets();
    assert!(packets.len() > 3, "the stray host's own packets show");
    let of_the_box = packets.iter().filter(|packet| packet.sender == CARD).count();
    assert_eq!(of_the_box, 0, "packets of the box without a tag");
}

/// From now on the router says nothing of what it cannot carry.
fn fall_silent(router: &Host) {
    nft(
        router,
        "add table ip silence; add chain ip silence out { type filter hook output priority 0; }; \
                 add rule ip silence out icmp type destination-unreachable drop",
    );
}

/// The router swallows what is too long and says nothing (RFC 2923 §2.1): TCP finds out by itself.
fn a_path_that_is_silent_is_got_through(system: &mut System) {
    let router = &system.lab.hospital;
    let seen = router.capture("lan0").unwrap();
    let before = system.machine.mark();
    post_much(system);
    deliver(system);
    // Without finding out, the connection would have hung until the forwarder gave it up.
    let gave_up = system
        .machine
        .console()
        .wait_for_since(before, "not delivering", Duration::ZERO);
    assert!(gave_up.is_err(), "{gave_up:?}");
    assert!(!told(&seen, BOX), "the router was not silent");
    assert!(longest(&seen) > NARROW, "nothing was too long to begin with");
    nft(&system.lab.hospital, "delete table ip silence");
}

/// The router says what it carries (RFC 1191), to both ends, and nothing longer crosses it.
fn a_path_that_speaks_is_heard(system: &mut System) {
    let lab = &system.lab;
    let near = lab.hospital.capture("lan0").unwrap();
    let across = lab.hospital.capture("wan0").unwrap();
    let far = lab.centre.capture("eth0").unwrap();
    let centre = *lab.centre_address().ip();
    forget_connections(system);
    post_much(system);
    deliver(system);
    assert!(longest(&near) > NARROW, "nothing was too long to begin with");
    assert!(told(&near, BOX), "the box was not told");
    assert!(told(&far, centre), "the centre was not told");
    assert_eq!(longest(&across), NARROW);
    let sent = across
        .ip()
        .into_iter()
        .filter(|ip| ip.source == BOX && ip.destination == centre);
    let sent: usize = sent.map(|ip| usize::from(ip.length)).sum();
    assert!(sent > 100_000, "only {sent} bytes crossed");
}

/// Resets the box's connection to the centre, for one that has learnt nothing yet. The centre forgets what its router
/// told it, or it would ask for short packets at once.
fn forget_connections(system: &mut System) {
    let before = system.machine.mark();
    nft(
        &system.lab.hospital,
        "add table ip cut; add chain ip cut through { type filter hook forward priority 0; }; \
                 add rule ip cut through ip saddr 10.9.0.2 tcp dport 8443 reject with tcp reset",
    );
    system.lab.centre.ip("route flush cache").unwrap();
    system.agents.noise = 0;
    system.agents.post(&system.lab, 1, 1).unwrap();
    let line = system.machine.console().wait_for_since(
        before,
        "rap forward: warning: not delivering",
        PATIENCE * 15,
    );
    line.unwrap_or_else(|error| panic!("{error}"));
    nft(&system.lab.hospital, "delete table ip cut");
    deliver(system);
}

/// More than 100 kB, compressed.
fn post_much(system: &mut System) {
    system.agents.noise = 25_000;
    assert_eq!(system.agents.post(&system.lab, 1, 8).unwrap(), 8);
}

fn told(seen: &Capture, whom: Ipv4Addr) -> bool {
    let all = seen.ip();
    all.iter()
        .any(|ip| ip.too_big == Some(NARROW) && ip.destination == whom)
}

fn longest(seen: &Capture) -> u16 {
    seen.ip().iter().map(|ip| ip.length).max().unwrap_or(0)
}

fn nft(host: &Host, rules: &str) {
    let mut nft = Command::new("nft");
    nft.arg(rules);
    let output = host.output(nft).unwrap();
    assert!(
        output.status.success(),
        "nft {rules}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
