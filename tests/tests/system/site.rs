//! A new site is tried before it is kept, on the booted box.

use std::time::{Duration, Instant};

use rap_tests::system::{BOOT, READY, System};
use serde_json::{Value, json};

use crate::{booted_with, debug_image};

/// How long the box may need to reach the service centre over its new network: a trial's whole time.
const CONFIRMED: Duration = Duration::from_secs(120);

#[test]
fn a_site_is_kept_once_the_centre_answers_and_undone_by_a_power_cut_before() {
    let Some(mut system) = booted_with(|setup| setup.image = debug_image()) else {
        return;
    };

    // A quiet box: nobody posts. Its own first report is answered over the new network.
    try_site(&system, "s/^address = .dhcp.$/&\\nmtu = 1400/");
    let begun = Instant::now();
    let state = loop {
        let state = state(&system);
        if state["on-trial"] == false {
            break state;
        }
        assert!(begun.elapsed() < CONFIRMED, "{state:#}");
    };
    let ended = &state["trials"][0]["ended"];
    assert_eq!(ended["outcome"], "kept", "{state:#}");
    assert_eq!(ended["why"], "the box spoke TLS with its service centre");

    // Over this one nobody is reached.
    try_site(&system, "s/^address = .dhcp.$/address = \"10.8.0.2\\/24\"/");
    assert_eq!(state_of(&system, "on-trial"), true);
    system.machine.power_cut().unwrap();
    system.machine.power_on().unwrap();
    let undone =
        "the new site was undone: the box was restarted, or its power cut, before the new site was confirmed";
    system.machine.wait_for(undone, BOOT).unwrap();
    system.machine.wait_for(READY, BOOT).unwrap();
    system.agents.post(&system.lab, 1, 1).unwrap();
    system.expect_delivered().unwrap();
    let state = state_of(&system, "trials");
    assert_eq!(state[1]["ended"]["outcome"], "undone", "{state:#}");
    // The last good site is the one that was kept.
    let plan = system.shell("rapctl net plan").unwrap();
    assert!(
        plan.contains("MTU 1400") && plan.contains("IPv4 by DHCP"),
        "{plan}"
    );
}

/// Tries the site in force, changed by `script`.
fn try_site(system: &System, script: &str) {
    let edit = format!("busybox sed '{script}' /run/rap/site.toml >/run/new.toml");
    let answer = system
        .shell(&format!("{edit}; rapctl net try /run/new.toml"))
        .unwrap();
    assert!(answer.contains("applied; undone in 120 s"), "{answer}");
}

/// What `rapctl net status --json` says.
fn state(system: &System) -> Value {
    let answer = system.shell("rapctl net status --json").unwrap();
    let line = answer.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn state_of(system: &System, field: &str) -> Value {
    state(system).get(field).cloned().unwrap_or(json!(null))
}
