//! The audit trail of the booted box is at the hospital's collector, which is the real rsyslog, and at the service centre:
//! after a power cut, and a collector that was away, all three have the same records.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rap_core::audit::{Verdict, verify_copy};
use rap_core::provision::{COLLECTOR_CA, IDENTITY_FILES};
use rap_tests::collector::{self, Collector, Driver, Setup};
use rap_tests::keys::Family;
use rap_tests::system::{BOOT, KEYS, READY, SITE, System};

use crate::{debug_image, system_with, workspace};

/// Where the collector is in the hospital.
const COLLECTOR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 40);
/// In its certificate.
const NAME: &str = "centre.test";
/// In the development keys' `device.crt`.
const BOX: &str = "DEVELOPMENT device";
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn box_collector_and_centre_have_the_same_trail_after_a_power_cut() {
    if let Some(lacks) = collector::lacks() {
        assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
        return eprintln!("skipped: needs {lacks}");
    }
    let place = tempfile::tempdir().unwrap();
    let (identity, hospital) = (place.path().join("identity"), place.path().join("hospital"));
    let system = system_with(|setup| {
        for folder in [&identity, &hospital] {
            std::fs::create_dir(folder).unwrap();
        }
        for name in IDENTITY_FILES {
            std::fs::copy(workspace().join(KEYS).join(name), identity.join(name)).unwrap();
        }
        Family::new().unwrap().write(&hospital).unwrap();
        std::fs::copy(hospital.join("centre-ca.crt"), identity.join(COLLECTOR_CA)).unwrap();
        setup.image = debug_image();
        setup.identity = identity.clone();
        setup.site = format!("{SITE}\n[audit]\ncollector = \"{COLLECTOR}\"\nname = \"{NAME}\"\n");
    });
    let Some(mut system) = system else { return };
    let host = system.lab.join("collector", COLLECTOR).unwrap();
    let setup = Setup {
        address: (COLLECTOR, 6514).into(),
        driver: Driver::Ossl,
        boxes: identity.join("centre-ca.crt"),
        name: BOX.to_owned(),
        pair: ["centre.crt", "centre.key"].map(|file| hospital.join(file)),
    };
    let start = || Collector::start(place.path(), &setup, Some(&host)).unwrap();

    let collector = start();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    wait_until(&system, "the collector has the first records", || {
        verify_copy(collector.records().lines()).records > 1
    });
    drop(collector);
    system.machine.power_cut().unwrap();
    system.machine.power_on().unwrap();
    system
        .machine
        .wait_for(READY, BOOT)
        .unwrap_or_else(|error| panic!("{error:#}"));
    let away = format!(
        "rap trail: warning: audit records wait for the collector: the audit collector {COLLECTOR}:6514 refuses"
    );
    let said = system.machine.wait_for(&away, PATIENCE);
    said.unwrap_or_else(|error| panic!("{error:#}"));
    let collector = start();
    wait_until(&system, "all three have the same records", || {
        let (ours, theirs) = (of_the_box(&system), verify_copy(collector.records().lines()));
        let centre = of_the_centre(&system);
        eprintln!(
            "box {}, collector {}, centre {}",
            ours.records, theirs.records, centre.records
        );
        for verdict in [&ours, &theirs, &centre] {
            assert_eq!(verdict.breaks, [""; 0]);
        }
        ours == theirs && theirs == centre
    });
    let boots = collector
        .records()
        .lines()
        .filter(|line| line.contains(" - BOOT "))
        .count();
    assert!(boots >= 2, "{}", collector.records());
    // The box hears only from the end of the connection that its records are there, and says so every two seconds.
    wait_until(&system, "the box knows that nothing waits", || {
        let answer = system.shell("rapctl audit status; echo status=$?").unwrap();
        answer.contains("collector 10.9.0.40:6514: ") && answer.contains("status=0")
    });
}

fn wait_until(system: &System, what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        let console = system.machine.console();
        assert!(
            begun.elapsed() < PATIENCE,
            "still waiting until {what}\n{}",
            console.tail(60)
        );
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// By the box's own word.
fn of_the_box(system: &System) -> Verdict {
    let answer = system.shell("rapctl audit verify --json").unwrap();
    let json = answer.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(json.unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

fn of_the_centre(system: &System) -> Verdict {
    let events = system.centre.book().unwrap().events().unwrap();
    let records = events
        .iter()
        .filter(|event| event.event["type"] == "rap.audit.records");
    let lines: Vec<&str> = records
        .flat_map(|event| event.event["data"]["records"].as_array().unwrap())
        .map(|line| line.as_str().unwrap())
        .collect();
    verify_copy(lines.into_iter())
}
