//! Dead letters: kept with the reason, once, durable before the cursor passes them, bounded.

use super::super::*;
use super::sim::{End, SimDisk};
use super::{CONFIG, open, report, waiting_ids};

fn bury(log: &mut Log, lane: Lane, reason: &str) -> Result<(), AppendError> {
    let batch = log.peek(lane, 1, usize::MAX).unwrap();
    log.bury(lane, &batch, reason, 7)
}

fn there(log: &mut Log) -> Vec<(String, String, String)> {
    let letters = log.dead_letters(0, usize::MAX).unwrap();
    letters
        .into_iter()
        .map(|l| (l.lane, l.record.id, l.reason))
        .collect()
}

#[test]
fn a_refused_report_is_kept_with_its_reason_and_delivery_goes_on() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Alert, vec![report("a", "bad", 10), report("a", "good", 10)])
        .unwrap();
    bury(&mut log, Lane::Alert, "HTTP 422").unwrap();
    assert_eq!(waiting_ids(&mut log, Lane::Alert), ["good"]);
    disk.restart(End::PowerCut);
    let mut log = open(&disk);
    assert_eq!(waiting_ids(&mut log, Lane::Alert), ["good"]);
    let letters = log.dead_letters(0, 9).unwrap();
    assert_eq!(letters[0].record.event, [b'x'; 10]);
    assert_eq!(
        (letters[0].seq, letters[0].buried, letters[0].record.number),
        (1, 7, 1)
    );
    assert_eq!(
        there(&mut log),
        [("alert".to_owned(), "bad".to_owned(), "HTTP 422".to_owned())]
    );
    assert_eq!(log.dead_letters(1, 9).unwrap(), []);
}

#[test]
fn when_the_disk_fails_the_report_still_waits_in_its_lane() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Alert, vec![report("a", "bad", 10)]).unwrap();
    disk.fail_next_syncs(1);
    assert!(bury(&mut log, Lane::Alert, "HTTP 422").is_err());
    assert_eq!(waiting_ids(&mut log, Lane::Alert), ["bad"]);
    bury(&mut log, Lane::Alert, "HTTP 422").unwrap();
    assert_eq!((log.waiting(Lane::Alert), there(&mut log).len()), (0, 1));
}

#[test]
fn buried_again_after_a_cut_between_letter_and_cursor_it_is_there_once() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "bad", 10)]).unwrap();
    // Write and sync of the letter, then the write of the cursor.
    disk.end_after(4, End::PowerCut);
    bury(&mut log, Lane::Routine, "HTTP 422").unwrap();
    disk.restart(End::PowerCut);
    let mut log = open(&disk);
    if log.waiting(Lane::Routine) == 1 {
        bury(&mut log, Lane::Routine, "HTTP 422").unwrap();
    }
    assert_eq!((log.waiting(Lane::Routine), there(&mut log).len()), (0, 1));
}

#[test]
fn the_oldest_go_first_are_counted_and_a_full_log_still_buries() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    super::fill(&mut log, Lane::Routine);
    super::fill(&mut log, Lane::Alert);
    let (mut buried, waiting) = (0, log.waiting(Lane::Routine));
    while buried < waiting {
        bury(&mut log, Lane::Routine, &format!("reason {buried}")).unwrap();
        buried += 1;
        assert!(disk.used() <= CONFIG.total);
    }
    let count = log.dead_letter_count();
    assert_eq!(count.kept + count.dropped, buried);
    assert!(count.dropped > 0 && count.kept > 2, "{count:?}");
    let letters = there(&mut log);
    assert_eq!(letters.len() as u64, count.kept);
    assert_eq!(letters.last().unwrap().2, format!("reason {}", buried - 1));
    disk.restart(End::PowerCut);
    assert_eq!(open(&disk).dead_letter_count(), count);
}
