//! From power-on to ready, through every link of the chain; and what the box says of itself.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab::GATEWAY;
use rap_qemu::lab::probe::Verdict;
use rap_tests::system::READY;

use crate::{booted_with, debug_image};

#[test]
fn firmware_loader_kernel_init_and_every_service_come_up_in_turn() {
    let Some(system) = booted_with(|_| {}) else { return };
    let lines = system.machine.console().lines();
    let mut rest = lines.iter();
    for words in [
        "BdsDxe: starting Boot",
        "EFI Boot Guard",
        "Watchdog",
        "Linux version",
        "rap init: stage mounts",
        "rap init: stage modules",
        "rap init: watchdog i6300ESB",
        "rap init: stage watchdog",
        "rap init: stage clock",
        "rap init: stage disk",
        "rap init: stage data",
        "rap init: making the data file system",
        "rap init: stage provision",
        "rap init: stage services",
        READY,
    ] {
        let found = rest.any(|line| line.text.to_lowercase().contains(&words.to_lowercase()));
        assert!(
            found,
            "`{words}` did not come, or not in its turn:\n{}",
            system.machine.console().tail(200)
        );
    }
}

#[test]
fn the_second_boot_finds_what_the_first_one_made() {
    let Some(mut system) = booted_with(|_| {}) else {
        return;
    };
    system.machine.power_cut().unwrap();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    let console = system.machine.console();
    for words in ["making the data file system", "provisioned;", "partition grown"] {
        assert!(
            console.first(words).is_none(),
            "`{words}` on the second boot:\n{}",
            console.tail(60)
        );
    }
    system.agents.post(&system.lab, 1, 1).unwrap();
    assert_eq!(system.expect_delivered().unwrap(), 1);
}

#[test]
fn a_box_that_was_given_nothing_stays_up_closed_and_says_so() {
    let Some(system) = booted_with(|setup| setup.provisioned = false) else {
        return;
    };
    let console = system.machine.console();
    for service in ["netd", "relay", "forward"] {
        let line = console.first(&format!("rap {service}: error:"));
        assert!(
            line.is_some_and(|line| line.text.contains("site.toml")),
            "{}",
            console.tail(40)
        );
    }
    let ingest = SocketAddrV4::new(GATEWAY, INGEST_TLS_PORT);
    let verdict = system
        .lab
        .instrument(1)
        .try_tcp(ingest, Duration::from_secs(2))
        .unwrap();
    assert_ne!(verdict, Verdict::Open);
}

#[test]
fn rapctl_status_says_that_all_is_well() {
    let Some(mut system) = booted_with(|setup| setup.image = debug_image()) else {
        return;
    };
    system.agents.post(&system.lab, 1, 1).unwrap();
    system.expect_delivered().unwrap();

    // The services write their status every few seconds, so what was just delivered shows a little later.
    let begun = Instant::now();
    let status = loop {
        let status = system.shell("rapctl status --json; echo status=$?").unwrap();
        if status.contains("status=0") {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
    };
    let json = status
        .lines()
        .find(|line| line.starts_with('{'))
        .unwrap_or_else(|| panic!("{status}"));
    let json: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"));
    for service in ["init", "netd", "relay", "forward"] {
        assert!(
            json.pointer(&format!("/services/{service}")).is_some(),
            "{service} is missing: {json}"
        );
    }
    let table = system.shell("rapctl status; echo status=$?").unwrap();
    assert!(
        table.contains("status=0") && table.contains("2 ports, 2 up") && table.contains("all is well"),
        "{table}"
    );
    let queue = system.shell("rapctl queue; echo status=$?").unwrap();
    assert!(
        queue.contains("status=0") && queue.contains("delivering"),
        "{queue}"
    );
    let figures = system.shell("rapctl metrics").unwrap();
    assert!(
        figures.contains("rap_uplink_delivering 1")
            && figures.contains("rap_service_running{service=\"forward\"} 1"),
        "{figures}"
    );
}
