//! Least privilege on the booted box: every measure holds, and the box does its work.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab::GATEWAY;
use rap_qemu::lab::probe::Verdict;
use rap_tests::system::{BOOT, System};

use crate::{booted_with, debug_image};

#[test]
fn every_measure_holds_and_the_services_work() {
    let Some(mut system) = booted_with(|setup| setup.image = debug_image()) else {
        return;
    };
    // With what is left to them the services still do everything: lease, firewall, sockets, keys, log, relay.
    system.agents.post(&system.lab, 1, 3).unwrap();
    system.agents.post(&system.lab, 2, 3).unwrap();
    assert_eq!(system.expect_delivered().unwrap(), 6);
    let ingest = SocketAddrV4::new(GATEWAY, INGEST_TLS_PORT);
    let verdict = system.lab.instrument(1).try_tcp(ingest, Duration::from_secs(5));
    assert_eq!(verdict.unwrap(), Verdict::Open);

    let answer = system.shell("rapctl hardening; echo status=$?").unwrap();
    assert!(answer.contains("status=0"), "{answer}");
    // Each of them was looked at, and has a twin that was refused.
    for words in [
        "no module can be loaded any more",
        "/ is ro",
        "is the user rap-netd",
        "is the user rap-relay",
        "is the user rap-forward",
        "may not write a slot",
        "may not change the firewall",
        "may not connect past the relay",
    ] {
        assert!(answer.contains(words), "`{words}` is missing: {answer}");
    }

    // A netd that is killed finds its way back: what it made before is its own.
    let first = netd(&system);
    system.shell(&format!("kill -9 {}", first["pid"])).unwrap();
    let begun = Instant::now();
    while netd(&system)["restarts"] == first["restarts"] || netd(&system)["state"] != "running" {
        assert!(begun.elapsed() < BOOT, "{}", system.machine.console().tail(40));
    }
    system.agents.post(&system.lab, 1, 1).unwrap();
    assert_eq!(system.expect_delivered().unwrap(), 7);
    let answer = system.shell("rapctl hardening --brief; echo status=$?").unwrap();
    assert!(answer.contains("status=0"), "{answer}");
}

/// netd as init sees it.
fn netd(system: &System) -> serde_json::Value {
    let mut init = system.status("init").unwrap();
    let services = init["services"].as_array_mut().unwrap();
    let found = services.iter_mut().find(|service| service["name"] == "netd");
    found.unwrap().take()
}
