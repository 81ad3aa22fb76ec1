//! The box's data partition is full: routine reports wait outside, alerts are taken, and all goes on by itself.

use std::time::{Duration, Instant};

use rap_qemu::machine::Card;
use rap_tests::instrument::{Agent, Answer};
use rap_tests::system::{DELIVERY, System};
use serde_json::{Value, json};

use crate::{agent, booted_with, debug_image};

/// Reports in a batch, and bytes in each: about what one post may carry.
const BATCH: u64 = 48;
const BYTES: usize = 4000;
/// Alerts that are posted while routine reports are refused.
const ALERTS: u64 = 5;
const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_full_data_partition_takes_alerts_drains_and_takes_all_again() {
    let Some(mut system) = booted_with(|setup| setup.image = debug_image()) else {
        return;
    };
    system.machine.pull_cable(Card::Uplink).unwrap();
    let agent = agent();
    let mut promised = Vec::new();
    // What alerts are promised is made before it is needed: a tenth of the log, six segments, and more for others.
    wait("the segments for alerts are there", || {
        line(
            &system,
            "echo made $(busybox ls /data/forward | busybox grep -c ^segment)",
            "made ",
        ) >= 8
    });
    take_all_room(&system);
    let process = forwarder(&system);

    let mut next = 1;
    let refused = loop {
        let answer = post(&system, &agent, &mut next, BATCH, "routine", &mut promised);
        if answer.status != 202 {
            break answer;
        }
        assert!(next < 20_000, "a full partition takes ever more");
    };
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(
        refused.retry_after.is_some_and(|seconds| seconds > 0),
        "{refused:?}"
    );
    eprintln!("{} reports taken before the first refusal", promised.len());
    for _ in 0..ALERTS {
        let answer = post(&system, &agent, &mut next, 1, "alert", &mut promised);
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let answer = post(&system, &agent, &mut next, BATCH, "routine", &mut promised);
    assert_eq!(answer.status, 503, "{}", answer.body);

    system.machine.plug_cable(Card::Uplink).unwrap();
    wait("routine reports are taken again", || {
        post(&system, &agent, &mut next, BATCH, "routine", &mut promised).status == 202
    });
    let arrived = system.centre.wait_for(&promised, DELIVERY);
    arrived.unwrap_or_else(|error| panic!("{error:#}\n{}", system.machine.console().tail(40)));
    assert_eq!(system.centre.mistakes().unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(process, forwarder(&system), "the forwarder was restarted");
}

/// The forwarder's process, as init says.
fn forwarder(system: &System) -> Value {
    let init = system.status("init").unwrap();
    let services = init["services"].as_array().unwrap();
    let forward = services.iter().find(|service| service["name"] == "forward");
    let process = forward.unwrap()["pid"].clone();
    assert!(process.is_u64(), "{init}");
    process
}

/// Something else takes all that is left of the data partition.
fn take_all_room(system: &System) {
    const FREE: &str = "busybox df -k /data | busybox tail -n 1 | busybox awk '{print $4}'";
    let free = line(system, &format!("echo free $({FREE})"), "free ");
    // At once, but for what it takes to note it.
    let most = free.saturating_sub(512);
    system
        .shell(&format!("busybox fallocate -l {} /data/other", most * 1024))
        .unwrap();
    system
        .shell("for size in 64k 4k; do busybox dd if=/dev/zero bs=$size >>/data/other; done; busybox sync")
        .unwrap();
    assert_eq!(line(system, &format!("echo free $({FREE})"), "free "), 0);
}

/// Posts the next `count` reports as one batch; those that are acknowledged are `promised`.
fn post(
    system: &System,
    agent: &Agent,
    next: &mut u64,
    count: u64,
    lane: &str,
    promised: &mut Vec<String>,
) -> Answer {
    let ids: Vec<_> = (*next..*next + count).map(|k| format!("flood-{k}")).collect();
    *next += count;
    let event = |id: &String| {
        json!({
            "specversion": "1.0", "id": id, "type": "instrument.status", "source": "flood", "priority": lane,
            "datacontenttype": "application/json", "data": { "text": "x".repeat(BYTES) },
        })
    };
    let events = Value::Array(ids.iter().map(event).collect());
    let answer = system
        .lab
        .instrument(1)
        .run(|| agent.post(&events))
        .unwrap()
        .unwrap();
    if answer.status == 202 {
        promised.extend(ids);
    }
    answer
}

/// The number behind `key` in what a command in the box's shell prints.
fn line(system: &System, command: &str, key: &str) -> u64 {
    let answer = system.shell(command).unwrap();
    let found = answer
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("`{command}` answered {answer}"))
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
