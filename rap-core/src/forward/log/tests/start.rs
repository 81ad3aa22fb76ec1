//! Starting: how much is read, and what a lost summary costs.

use std::time::Instant;

use super::super::*;
use super::sim::{End, SimDisk};
use super::{report, waiting_ids};

const LARGE: Config = Config {
    segment: 64 * 1024,
    total: 8 * 1024 * 1024,
};

fn backlog(disk: &SimDisk) -> u64 {
    let mut log = Log::open(Box::new(disk.clone()), LARGE).unwrap();
    let mut id = 0;
    while log
        .append(Lane::Routine, vec![report("a", &id.to_string(), 4000)])
        .is_ok()
    {
        id += 1;
    }
    id
}

#[test]
fn starting_reads_heads_summaries_and_the_tail_only() {
    let disk = SimDisk::new(1, 16 << 20);
    let reports = backlog(&disk);
    // What is written back and not synced is on the disk after a while.
    disk.settle_all();
    disk.restart(End::PowerCut);
    let before = disk.bytes_read();
    let log = Log::open(Box::new(disk.clone()), LARGE).unwrap();
    let read = disk.bytes_read() - before;
    assert_eq!(log.waiting(Lane::Routine), reports);
    // 128 segments' heads and summaries; as a whole the newest, its last group once more, and those never used.
    let whole = 2 + log.space.free() as u64;
    assert!(
        read < 128 * 4200 + whole * LARGE.segment,
        "{read} bytes of a backlog of {}",
        disk.used()
    );
}

#[test]
fn a_lost_summary_only_costs_a_scan_and_is_written_again() {
    let disk = SimDisk::new(1, 16 << 20);
    let reports = backlog(&disk);
    disk.settle_all();
    let names = disk.list().unwrap();
    let segments = names.iter().filter(|name| name.starts_with("segment-"));
    for name in segments.clone() {
        disk.flip(name, 64 * 1024 - 20);
    }
    let read = |disk: &SimDisk| {
        let before = disk.bytes_read();
        let mut log = Log::open(Box::new(disk.clone()), LARGE).unwrap();
        let read = disk.bytes_read() - before;
        assert_eq!(log.waiting(Lane::Routine), reports);
        assert_eq!(waiting_ids(&mut log, Lane::Routine).len() as u64, reports);
        read
    };
    assert!(read(&disk) > 100 * LARGE.segment);
    assert!(read(&disk) < 30 * LARGE.segment);
}

/// With `LOG_BACKLOG` bytes of reports on a real disk, prints how long starting takes; `scripts/soak log-start`.
#[test]
fn starting_with_a_backlog_takes_no_time() {
    let total: u64 = std::env::var("LOG_BACKLOG")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(64 << 20);
    let config = Config {
        total,
        ..Config::default()
    };
    let place = std::env::var_os("LOG_DIRECTORY").unwrap_or_else(|| std::env::temp_dir().into());
    let directory = tempfile::tempdir_in(place).unwrap();
    let open = || Log::open(Box::new(Disk::new(directory.path()).unwrap()), config).unwrap();
    let mut log = open();
    let group = || {
        (0..256)
            .map(|id| report("/site/port", &id.to_string(), 3900))
            .collect()
    };
    let mut reports = 0;
    while log.append(Lane::Routine, group()).is_ok() {
        reports += 256;
    }
    drop(log);
    if std::env::var("LOG_BACKLOG").is_ok() {
        // As after a power cut: nothing is in memory. Only root may; else it is told what the number means.
        rustix::fs::sync();
        let cold = std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
        print!(
            "{}, ",
            if cold {
                "page cache dropped"
            } else {
                "page cache warm"
            }
        );
    }
    let begin = Instant::now();
    let log = open();
    let took = begin.elapsed();
    println!(
        "{reports} reports, {total} bytes, started in {} ms",
        took.as_millis()
    );
    assert!(log.waiting(Lane::Routine) >= reports);
    assert!(took.as_secs() < 5, "{took:?}");
}
