//! The log on a disk that loses, tears and fails: examples here, random histories and mutants in the modules below.

mod dead;
mod history;
mod model;
mod mutation;
mod promises;
pub(in crate::forward) mod sim;
mod start;

use std::path::Path;

use self::sim::{End, SimDisk};
use super::storage::Barrier;
use super::*;

const CONFIG: Config = Config {
    segment: 4096,
    total: 20 * 4096,
};

fn open(disk: &SimDisk) -> Log {
    Log::open(Box::new(disk.clone()), CONFIG).unwrap()
}

fn report(source: &str, id: &str, size: usize) -> NewRecord {
    NewRecord {
        source: source.to_owned(),
        id: id.to_owned(),
        received: 1,
        event: vec![b'x'; size],
    }
}

fn waiting_ids(log: &mut Log, lane: Lane) -> Vec<String> {
    let batch = log.peek(lane, usize::MAX, usize::MAX).unwrap();
    batch.records.into_iter().map(|r| r.id).collect()
}

fn deliver(log: &mut Log, lane: Lane, count: usize) {
    let batch = log.peek(lane, count, usize::MAX).unwrap();
    log.advance(lane, &batch).unwrap();
}

/// Appends reports of one source until the lane is full, and returns their ids.
fn fill(log: &mut Log, lane: Lane) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let id = format!("{}{}", lane.as_str(), ids.len());
        match log.append(lane, vec![report("a", &id, 1000)]) {
            Ok(()) => ids.push(id),
            Err(AppendError::Full) => return ids,
            Err(other) => panic!("{other}"),
        }
    }
}

/// The segments a lane holds, oldest first.
fn segments(log: &Log, lane: Lane) -> Vec<String> {
    let held = &log.queues[lane.index()].segments;
    held.iter().map(|s| s.name.clone()).collect()
}

/// A slice of what `scripts/soak log` does. A history that fails says how to run it again.
#[test]
fn histories() {
    let number = |name, otherwise| {
        std::env::var(name)
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(otherwise)
    };
    let first: u64 = number("LOG_SEED", 0);
    let one = std::env::var("LOG_SEED").is_ok();
    history::run_all(first..first + number("LOG_HISTORIES", if one { 1 } else { 400 }));
}

#[test]
fn what_was_appended_is_there_after_a_power_cut() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "1", 10), report("b", "2", 10)])
        .unwrap();
    log.append(Lane::Alert, vec![report("a", "3", 10)]).unwrap();
    disk.restart(End::PowerCut);
    let mut log = open(&disk);
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["1", "2"]);
    assert_eq!(waiting_ids(&mut log, Lane::Alert), ["3"]);
    assert_eq!((log.waiting(Lane::Routine), log.waiting(Lane::Alert)), (2, 1));
}

#[test]
fn a_group_is_one_write_and_one_sync_and_so_is_a_receipt() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    let before = disk.barriers().len();
    log.append(
        Lane::Routine,
        (0..9).map(|id| report("a", &id.to_string(), 100)).collect(),
    )
    .unwrap();
    deliver(&mut log, Lane::Routine, 9);
    assert_eq!(disk.barriers()[before..], [Barrier::Group, Barrier::Cursor]);
}

#[test]
fn numbers_go_on_after_everything_was_delivered_and_recycled() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("quiet", "q", 10)]).unwrap();
    for round in 0..100 {
        log.append(Lane::Routine, vec![report("busy", &round.to_string(), 1000)])
            .unwrap();
        deliver(&mut log, Lane::Routine, 10);
    }
    disk.restart(End::PowerCut);
    let mut log = open(&disk);
    assert_eq!(log.waiting(Lane::Routine), 0);
    log.append(Lane::Routine, vec![report("quiet", "r", 10)]).unwrap();
    assert_eq!(log.peek(Lane::Routine, 1, 0).unwrap().records[0].number, 2);
}

#[test]
fn routine_is_refused_before_alerts_and_both_go_on_when_drained() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    let routine = fill(&mut log, Lane::Routine);
    let alerts = fill(&mut log, Lane::Alert);
    assert!(!alerts.is_empty());
    assert_eq!(waiting_ids(&mut log, Lane::Routine), routine);
    assert_eq!(waiting_ids(&mut log, Lane::Alert), alerts);
    deliver(&mut log, Lane::Routine, 8);
    log.append(Lane::Routine, vec![report("a", "again", 1000)])
        .unwrap();
}

#[test]
fn a_disk_full_from_elsewhere_refuses_routine_but_takes_alerts_and_recovers_without_a_restart() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    disk.fill(0);
    let before = fill(&mut log, Lane::Routine).len();
    assert!(before > 0);
    log.append(Lane::Alert, vec![report("a", "alarm", 100)]).unwrap();
    assert!(log.preparation().is_none(), "there is no room for another");

    // Drained: what is there is used again.
    deliver(&mut log, Lane::Routine, before);
    assert_eq!(fill(&mut log, Lane::Routine).len(), before);

    // Room again: the log grows to what is configured.
    disk.drain();
    log.prepare();
    assert!(!fill(&mut log, Lane::Routine).is_empty());
    assert!(log.waiting(Lane::Routine) > before as u64);
    assert!(disk.used() <= CONFIG.total);
}

#[test]
fn segments_are_made_ahead_one_at_a_time_without_the_log() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    assert!(
        log.preparation().is_none(),
        "opening has made what is needed first"
    );
    let mut preparations = 0;
    for id in 0..30 {
        let before = disk.barriers().len();
        log.append(Lane::Routine, vec![report("a", &id.to_string(), 1000)])
            .unwrap();
        assert_eq!(
            disk.barriers()[before..],
            [Barrier::Group],
            "no answer waits for zeros"
        );
        if let Some(preparation) = log.preparation() {
            assert!(log.preparation().is_none());
            assert!(log.prepared(preparation.make()));
            preparations += 1;
        }
    }
    assert!(preparations > 3);
}

#[test]
fn a_smaller_configuration_is_kept_to_once_delivered() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    let ids = fill(&mut log, Lane::Routine);
    let config = Config {
        segment: 4096,
        total: 14 * 4096,
    };
    let mut log = Log::open(Box::new(disk.clone()), config).unwrap();
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ids);
    deliver(&mut log, Lane::Routine, ids.len());
    assert!(disk.used() <= config.total, "{} bytes", disk.used());
    let config = Config {
        segment: 8192,
        total: 20 * 8192,
    };
    log.append(Lane::Routine, vec![report("a", "small", 10)]).unwrap();
    let mut log = Log::open(Box::new(disk.clone()), config).unwrap();
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["small"]);
    log.append(Lane::Routine, vec![report("a", "large", 6000)])
        .unwrap();
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["small", "large"]);
}

#[test]
fn a_failed_sync_acknowledges_nobody_and_the_next_report_goes_elsewhere() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "1", 10)]).unwrap();
    disk.fail_next_syncs(1);
    let failed = log.append(Lane::Routine, vec![report("a", "2", 10)]);
    assert!(matches!(failed, Err(AppendError::Storage(_))));
    log.append(Lane::Routine, vec![report("a", "3", 10)]).unwrap();
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["1", "3"]);
    assert_eq!(segments(&log, Lane::Routine).len(), 2);
    disk.restart(End::PowerCut);
    assert_eq!(waiting_ids(&mut open(&disk), Lane::Routine), ["1", "3"]);
}

#[test]
fn a_flipped_bit_costs_one_report_is_counted_and_the_log_still_starts() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    for id in 0..5 {
        log.append(Lane::Routine, vec![report("a", &id.to_string(), 400)])
            .unwrap();
    }
    disk.flip(&segments(&log, Lane::Routine)[0], 1200);
    let mut log = open(&disk);
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["0", "1", "3", "4"]);
    assert_eq!(log.waiting(Lane::Routine), 4);
    assert_eq!(
        log.figures(Lane::Routine).losses,
        Losses {
            places: 1,
            reports: 1
        }
    );
}

#[test]
fn damage_found_while_delivering_is_skipped_exactly_and_counted_once() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    let ids: Vec<String> = (0..12).map(|id| id.to_string()).collect();
    for id in &ids {
        log.append(Lane::Routine, vec![report("a", id, 900)]).unwrap();
    }
    let first = segments(&log, Lane::Routine)[0].clone();
    // The second report of a full segment and its last one, four fit; and a sector within the next one's third.
    disk.flip(&first, 1200);
    disk.flip(&first, 3000);
    disk.spoil(&segments(&log, Lane::Routine)[1], 2100);
    for mut log in [log, open(&disk)] {
        assert!(
            log.peek(Lane::Routine, 99, usize::MAX).is_err(),
            "a place that cannot be read may come back"
        );
        for _ in 0..2 {
            drop(log.peek(Lane::Routine, 99, usize::MAX));
        }
        for _ in 0..2 {
            assert_eq!(
                waiting_ids(&mut log, Lane::Routine),
                ["0", "2", "4", "5", "7", "8", "9", "10", "11"]
            );
            assert_eq!(
                log.figures(Lane::Routine).losses,
                Losses {
                    places: 3,
                    reports: 3
                }
            );
            assert_eq!(log.waiting(Lane::Routine), 9);
        }
    }
}

#[test]
fn a_segment_that_vanished_is_said() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    for id in 0..12 {
        log.append(Lane::Routine, vec![report("a", &id.to_string(), 900)])
            .unwrap();
    }
    deliver(&mut log, Lane::Routine, 1);
    for (vanished, left, lost) in [(1, 8, 4), (0, 4, 3)] {
        disk.remove(&segments(&log, Lane::Routine)[vanished]).unwrap();
        let mut log = open(&disk);
        assert_eq!(
            waiting_ids(&mut log, Lane::Routine).len(),
            left - usize::from(vanished == 1)
        );
        assert!(log.figures(Lane::Routine).losses.reports >= lost);
    }
}

#[test]
fn a_lost_cursor_only_sends_again() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "1", 10), report("a", "2", 10)])
        .unwrap();
    deliver(&mut log, Lane::Routine, 1);
    assert_eq!(waiting_ids(&mut open(&disk), Lane::Routine), ["2"]);
    disk.flip("cursor-routine", 16);
    disk.flip("cursor-routine", 4096 + 16);
    let mut log = open(&disk);
    assert_eq!(waiting_ids(&mut log, Lane::Routine), ["1", "2"]);
    assert_eq!(log.figures(Lane::Routine).losses, Losses::default());
}

#[test]
fn a_real_directory_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Log::open(Box::new(Disk::new(directory.path()).unwrap()), CONFIG).unwrap();
    let mut log = open();
    log.append(Lane::Alert, vec![report("a", "1", 10), report("a", "2", 3000)])
        .unwrap();
    log.append(Lane::Alert, vec![report("a", "3", 3000)]).unwrap();
    std::fs::write(directory.path().join("new-000099"), [0; 4096]).unwrap();
    assert_eq!(waiting_ids(&mut open(), Lane::Alert), ["1", "2", "3"]);
    let bytes: u64 = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= CONFIG.total, "{bytes} bytes");
}

/// One place in the code for each reason to wait, so that leaving out a reason leaves out one wait.
#[test]
fn each_wait_for_the_disk_has_a_reason_of_its_own() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/forward/log");
    let mut code = String::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let skipped = ["storage.rs", "tests.rs"].iter().any(|name| path.ends_with(name));
        if path.extension().is_some_and(|e| e == "rs") && !skipped {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    for barrier in Barrier::ALL {
        let places = code.matches(&format!("Barrier::{barrier:?})")).count();
        assert_eq!(
            places, 1,
            "Barrier::{barrier:?} stands at {places} places, expected one"
        );
    }
    let waits = code.matches(".sync(").count() + code.matches(".sync_directory(").count();
    assert_eq!(
        waits,
        Barrier::ALL.len(),
        "a wait for the disk without a reason of its own"
    );
}
