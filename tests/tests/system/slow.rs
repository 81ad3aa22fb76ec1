//! The booted box on a line of 128 kbit/s with 400 ms there and back: a backlog drains, and alerts overtake it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rap_qemu::machine::Card;
use rap_tests::instrument::Agent;
use rap_tests::system::System;
use serde_json::{Value, json};

use crate::{agent, booted_with, debug_image};

const RATE: u64 = 128_000;
/// One way.
const DELAY: Duration = Duration::from_millis(200);
/// Routine reports that wait when the line opens: half a minute of it.
const BACKLOG: u64 = 960;
/// Reports of one post to the box.
const POST: u64 = 48;
/// Alerts while the backlog drains.
const ALERTS: u64 = 6;
/// From an alert's arrival to the next: so that they come at different moments of a batch, which takes two seconds and more.
const PACE: Duration = Duration::from_millis(1700);
const LONG: Duration = Duration::from_secs(240);

#[test]
fn a_backlog_drains_over_a_slow_line_and_alerts_overtake_it() {
    let Some(mut system) = booted_with(|setup| setup.image = debug_image()) else {
        return;
    };
    let agent = agent();
    system.machine.pull_cable(Card::Uplink).unwrap();
    system
        .slow_uplink(RATE, DELAY)
        .unwrap_or_else(|error| panic!("{error:#}"));
    let mut promised = Vec::new();
    for first in (0..BACKLOG / POST).map(|post| post * POST) {
        let names = (first..first + POST).map(|number| format!("routine-{number}"));
        promised.extend(post(&system, &agent, 1, names.collect(), "routine"));
    }
    system.machine.plug_cable(Card::Uplink).unwrap();
    wait(&system, "the first batch", || arrived(&system).0 > 0);
    let (begun, waiting) = (Instant::now(), BACKLOG - arrived(&system).0);

    for number in 0..ALERTS {
        let before = batches(&system);
        let posted = Instant::now();
        let alert = post(&system, &agent, 2, vec![format!("alert-{number}")], "alert");
        wait(&system, "an alert", || arrived(&system).1 > number);
        let overtaken_by = batches(&system).difference(&before).count();
        eprintln!(
            "alert {number}: there after {:.1?}, behind {overtaken_by} batches of routine reports",
            posted.elapsed()
        );
        assert!(arrived(&system).0 < BACKLOG, "the backlog has drained too soon");
        assert!(overtaken_by <= 2, "an alert waits for the post in flight at most");
        promised.extend(alert);
        std::thread::sleep(PACE);
    }
    let arrival = system.centre.wait_for(&promised, LONG);
    arrival.unwrap_or_else(|error| panic!("{error:#}\n{}", system.machine.console().tail(40)));
    eprintln!("{waiting} reports in {:.1?}", begun.elapsed());
    assert_eq!(system.centre.mistakes().unwrap(), (Vec::new(), Vec::new()));
}

/// Posts reports as one batch from instrument `number`'s host; they are acknowledged, and their ids returned.
fn post(system: &System, agent: &Agent, number: usize, ids: Vec<String>, lane: &str) -> Vec<String> {
    let event = |id: &String| {
        json!({
            "specversion": "1.0", "id": id, "type": "instrument.status", "source": "slow", "priority": lane,
            "datacontenttype": "application/json", "data": { "readings": readings(id) },
        })
    };
    let events = Value::Array(ids.iter().map(event).collect());
    let host = system.lab.instrument(number);
    let answer = host.run(|| agent.post(&events)).unwrap().unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    ids
}

/// Numbers that do not compress well: of 1 KiB some 450 bytes are left.
fn readings(id: &str) -> Vec<u64> {
    let mut state = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..48).map(|_| next()).collect()
}

/// How many routine reports and how many alerts of ours are at the centre.
fn arrived(system: &System) -> (u64, u64) {
    let events = system.centre.book().unwrap().events().unwrap();
    let count = |prefix| events.iter().filter(|event| event.id.starts_with(prefix)).count() as u64;
    (count("routine-"), count("alert-"))
}

fn batches(system: &System) -> BTreeSet<String> {
    let events = system.centre.book().unwrap().events().unwrap();
    let routine = events.into_iter().filter(|event| event.lane == "routine");
    routine.map(|event| event.batch).collect()
}

fn wait(system: &System, what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        let console = || system.machine.console().tail(40);
        assert!(begun.elapsed() < LONG, "still waiting for {what}\n{}", console());
        std::thread::sleep(Duration::from_millis(100));
    }
}
