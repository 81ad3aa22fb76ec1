//! The trail on a disk that loses its power, and in the hands of somebody who changes it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::verify::{Verdict, check};
use super::sim::Sim;
use super::*;

const ROOM: Room = Room { file: 1000, files: 4 };

fn origin() -> Origin {
    Origin {
        wall: "2026-11-28T18:00:00Z".to_owned(),
        host: "box1".to_owned(),
        service: "netd".to_owned(),
    }
}

fn event(number: usize) -> Event {
    Event::new(Kind::SiteTried, format!("event {number}")).with("file", "site.toml")
}

fn verdict(sim: &Sim) -> (Verdict, BTreeMap<u64, String>) {
    let mut lines = BTreeMap::new();
    let verdict = check(sim, ROOM, |record| {
        lines.insert(record.link.number, record.line());
    });
    (verdict.unwrap(), lines)
}

/// A trail of `count` events.
fn trail(count: usize) -> Sim {
    let sim = Sim::default();
    let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
    for number in 0..count {
        store.append(origin(), event(number)).unwrap();
    }
    sim
}

#[test]
fn a_trail_goes_on_over_files_and_restarts_and_tells_what_it_dropped() {
    let sim = trail(3);
    for number in 3..60 {
        let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
        store.append(origin(), event(number)).unwrap();
    }
    let (verdict, lines) = verdict(&sim);
    assert_eq!(verdict.breaks, [""; 0]);
    assert!(verdict.first > 1 && lines.values().any(|line| line.contains("RECORDS-DROPPED")));
    assert_eq!(files(&sim).unwrap().len(), ROOM.files);
    assert_eq!(lines.len() as u64, verdict.last - verdict.first + 1);
}

#[test]
fn after_an_error_nothing_is_taken_until_it_is_opened_again() {
    let sim = trail(2);
    let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
    sim.0.borrow_mut().power = Some(1);
    assert!(store.append(origin(), event(2)).is_err());
    sim.0.borrow_mut().power = None;
    assert!(store.append(origin(), event(3)).is_err());
    let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
    store.append(origin(), event(4)).unwrap();
    assert_eq!(verdict(&sim).0.breaks, [""; 0]);
}

#[test]
fn each_sync_is_needed() {
    // A record's bytes, and the name of its file.
    for without in 1..=2 {
        let sim = Sim::default();
        let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
        let before = sim.0.borrow().power;
        assert!(before.is_none());
        // Opening an empty folder syncs names once.
        sim.0.borrow_mut().without = Some(1 + without);
        store.append(origin(), event(0)).unwrap();
        sim.restart(0, false, false);
        assert_eq!(verdict(&sim).0.records, 0, "sync {without} can be left out");
    }
    let sim = trail(1);
    sim.restart(0, false, false);
    assert_eq!(verdict(&sim).0.records, 1);
}

proptest! {
    #[test]
    fn what_was_acknowledged_survives_power_cuts_and_the_chain_holds(
        cuts in proptest::collection::vec((0_usize..30, 0_usize..=100, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let sim = Sim::default();
        let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
        let mut number = 0;
        for (power, kept, torn, names) in cuts {
            sim.0.borrow_mut().power = Some(power);
            if let Ok(mut store) = Store::open(sim.clone(), ROOM, origin()) {
                loop {
                    number += 1;
                    match store.append(origin(), event(number)) {
                        Ok(at) => drop(acknowledged.insert(at, format!("event {number}"))),
                        Err(_) => break,
                    }
                }
            }
            sim.restart(kept, torn, names);
            Store::open(sim.clone(), ROOM, origin()).unwrap();
            let (verdict, lines) = verdict(&sim);
            prop_assert_eq!(&verdict.breaks, &Vec::<String>::new());
            for (at, text) in &acknowledged {
                if *at >= verdict.first {
                    let line = lines.get(at);
                    prop_assert!(line.is_some_and(|line| line.ends_with(text)), "{at} {text}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_changed_removed_or_reordered_is_found(
        count in 4_usize..40, file in 0_usize..4, at in any::<prop::sample::Index>(), what in 0_u8..4,
    ) {
        let sim = trail(count);
        let (before, _) = verdict(&sim);
        let all = files(&sim).unwrap();
        let name = name(all[file % all.len()]);
        let content = sim.read(&name, u64::MAX).unwrap();
        let lines = content.iter().filter(|byte| **byte == b'\n').count();
        let last = file % all.len() == all.len() - 1;
        // The last record of all has none after it that would tell: its head, seen elsewhere, does.
        let line = at.index(lines);
        match what {
            0 => sim.tamper(&name, |bytes| {
                let at = at.index(bytes.len());
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            }),
            1 => sim.tamper(&name, |bytes| {
                let mut all: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                all.remove(line);
                *bytes = all.concat();
            }),
            2 if lines > 1 => sim.tamper(&name, |bytes| {
                let mut all: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                all.swap(line, (line + 1) % lines);
                *bytes = all.concat();
            }),
            _ => sim.take_away(&name),
        }
        let (after, _) = verdict(&sim);
        let found = !after.breaks.is_empty() || after.head != before.head;
        prop_assert!(found, "{what} in {name}, the last: {last}");
        if !last && after.records > 0 {
            prop_assert!(!after.breaks.is_empty(), "{what} in {name}: {after:?}");
        }
    }
}

#[test]
fn numbers_at_the_end_of_all_numbers_end_nothing() {
    let sim = trail(3);
    let end = u64::MAX;
    sim.tamper(&name(1), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("seq=\"3\"", &format!("seq=\"{end}\"")).into_bytes();
    });
    let content = sim.read(&name(1), u64::MAX).unwrap();
    let mut folder = sim.clone();
    folder.append(&name(end), &content).unwrap();
    let mut store = Store::open(sim.clone(), ROOM, origin()).unwrap();
    store.append(origin(), event(4)).unwrap();
    assert!(!verdict(&sim).0.breaks.is_empty());
}
