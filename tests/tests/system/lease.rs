//! What the hospital's DHCP server may do to a running box.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use rap_qemu::console::Mark;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, GATEWAY, INSTRUMENT, Offer, PREFIX, ROUTER};
use rap_qemu::machine::Card;
use rap_tests::system::System;

use crate::ear::DOOR;
use crate::stranger::Strangers;
use crate::{debug_image, deliver, system_with};

/// How long the box may take to follow.
const FOLLOW: Duration = Duration::from_secs(60);
/// The shortest lease the box's DHCP client believes.
const PLAIN: Offer = Offer {
    address: BOX,
    prefix: PREFIX,
    router: ROUTER,
    dns: ROUTER,
    lifetime: Duration::from_secs(20),
};
/// Another address of the same network.
const MOVED: Offer = Offer {
    address: Ipv4Addr::new(10, 9, 0, 3),
    ..PLAIN
};
/// An address in the instruments' network.
const ASTRAY: Offer = Offer {
    address: Ipv4Addr::new(192, 168, 1, 77),
    router: GATEWAY,
    ..PLAIN
};

#[test]
fn a_lease_that_ends_collides_or_moves_opens_nothing_and_is_got_over() {
    let Some(mut system) = system_with(|setup| setup.image = debug_image()) else {
        return;
    };
    system.lab.offer(Some(&PLAIN)).unwrap();
    let strangers = Strangers::around(&system.lab);
    let before = system.machine.mark();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    expect(&system, before, ": up, 10.9.0.2/24");

    // It ends: nobody renews it.
    let before = system.machine.mark();
    system.lab.offer(None).unwrap();
    post(&mut system);
    deliver(&system);
    expect(&system, before, "uplink: the lease of 10.9.0.2/24 has ended");
    post(&mut system);

    // It collides: the hospital's network is the instruments'.
    let before = system.machine.mark();
    system.lab.offer(Some(&ASTRAY)).unwrap();
    replug(&mut system);
    expect(
        &system,
        before,
        "uplink: the lease of 192.168.1.77/24 from the hospital's DHCP server is not used",
    );
    nobody_is_mistaken(&system);
    post(&mut system);
    expect_status(&system, &["status=1", "192.168.1.77/24", "port1", "port2"]);

    // It moves, and all is well.
    let before = system.machine.mark();
    system.lab.offer(Some(&MOVED)).unwrap();
    replug(&mut system);
    expect(&system, before, ": up, 10.9.0.3/24");
    deliver(&system);
    expect_status(&system, &["status=0"]);
    strangers.expect_nothing();
}

/// Where the hospital's network is the instruments', each of both has an 192.168.1.50 and none sees the other's.
fn nobody_is_mistaken(system: &System) {
    let router = &system.lab.hospital;
    let way = format!("route add {INSTRUMENT} via {} dev lan0", ASTRAY.address);
    router.ip(&way).unwrap();
    let door = SocketAddrV4::new(INSTRUMENT, DOOR);
    let answer = router.try_udp(door, b"hello", Duration::from_secs(1)).unwrap();
    assert_ne!(answer, Verdict::Open, "the hospital reached an instrument");
    assert!(!router.pings(&ASTRAY.address.to_string()).unwrap());
    assert!(
        !system
            .lab
            .instrument(1)
            .pings(&ASTRAY.address.to_string())
            .unwrap()
    );
}

/// Waits for `words` on the console after `mark`.
fn expect(system: &System, mark: Mark, words: &str) {
    let line = system.machine.console().wait_for_since(mark, words, FOLLOW);
    line.unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until `rapctl status` and its exit code say all of `words`; the services tell it every few seconds.
fn expect_status(system: &System, words: &[&str]) {
    let begun = Instant::now();
    loop {
        let status = system.shell("rapctl status; echo status=$?").unwrap();
        if words.iter().all(|word| status.contains(word)) {
            return;
        }
        assert!(begun.elapsed() < FOLLOW, "expected {words:?}: {status}");
    }
}

/// Pulls the uplink's cable, so that the box asks for its lease anew when it is back.
fn replug(system: &mut System) {
    let before = system.machine.mark();
    system.machine.pull_cable(Card::Uplink).unwrap();
    expect(system, before, "no cable");
    system.machine.plug_cable(Card::Uplink).unwrap();
}

/// Each instrument's report is taken, whatever the uplink does.
fn post(system: &mut System) {
    for number in 1..=2 {
        assert_eq!(system.agents.post(&system.lab, number, 1).unwrap(), 1);
    }
}
