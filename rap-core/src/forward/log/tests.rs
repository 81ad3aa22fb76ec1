//! The log on a disk that loses, tears and fails: examples, and random histories against a model.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::sim::SimDisk;
use super::*;

const CONFIG: Config = Config {
    segment: 4096,
    total: 12 * 4096,
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

fn waiting_ids(log: &Log, lane: Lane) -> Vec<String> {
    log.peek(lane, usize::MAX, usize::MAX)
        .unwrap()
        .records
        .into_iter()
        .map(|r| r.id)
        .collect()
}

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

#[test]
fn what_was_appended_is_there_after_a_power_cut() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "1", 10), report("b", "2", 10)])
        .unwrap();
    log.append(Lane::Alert, vec![report("a", "3", 10)]).unwrap();
    disk.reboot();
    let log = open(&disk);
    assert_eq!(waiting_ids(&log, Lane::Routine), ["1", "2"]);
    assert_eq!(waiting_ids(&log, Lane::Alert), ["3"]);
    assert_eq!((log.waiting(Lane::Routine), log.waiting(Lane::Alert)), (2, 1));
}

#[test]
fn numbers_go_on_after_everything_was_delivered_and_recycled() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("quiet", "q", 10)]).unwrap();
    for round in 0..100 {
        log.append(Lane::Routine, vec![report("busy", &round.to_string(), 1000)])
            .unwrap();
        let batch = log.peek(Lane::Routine, 10, usize::MAX).unwrap();
        log.advance(Lane::Routine, &batch).unwrap();
    }
    disk.reboot();
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
    assert_eq!(waiting_ids(&log, Lane::Routine), routine);
    assert_eq!(waiting_ids(&log, Lane::Alert), alerts);
    let batch = log.peek(Lane::Routine, 8, usize::MAX).unwrap();
    log.advance(Lane::Routine, &batch).unwrap();
    log.append(Lane::Routine, vec![report("a", "again", 1000)])
        .unwrap();
}

#[test]
fn a_disk_full_from_elsewhere_refuses_routine_but_still_takes_alerts() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    disk.set_free(0);
    assert!(!fill(&mut log, Lane::Routine).is_empty());
    log.append(Lane::Alert, vec![report("a", "alarm", 100)]).unwrap();
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
    assert_eq!(waiting_ids(&log, Lane::Routine), ["1", "3"]);
    assert_eq!(log.lanes[Lane::Routine.index()].segments.len(), 2);
    disk.reboot();
    let ids = waiting_ids(&open(&disk), Lane::Routine);
    assert!(ids == ["1", "3"] || ids == ["1", "2", "3"], "{ids:?}");
}

#[test]
fn a_flipped_bit_costs_one_report_and_the_log_still_starts() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    for id in 0..5 {
        log.append(Lane::Routine, vec![report("a", &id.to_string(), 400)])
            .unwrap();
    }
    let name = log.lanes[Lane::Routine.index()].segments[0].name.clone();
    drop(log);
    disk.flip(&name, 1200);
    let log = open(&disk);
    assert_eq!(waiting_ids(&log, Lane::Routine), ["0", "1", "3", "4"]);
    assert_eq!(log.waiting(Lane::Routine), 4);
}

#[test]
fn a_lost_cursor_only_sends_again() {
    let disk = SimDisk::new(1, 1 << 20);
    let mut log = open(&disk);
    log.append(Lane::Routine, vec![report("a", "1", 10), report("a", "2", 10)])
        .unwrap();
    let mut batch = log.peek(Lane::Routine, 2, usize::MAX).unwrap();
    batch.truncate(1);
    log.advance(Lane::Routine, &batch).unwrap();
    assert_eq!(waiting_ids(&open(&disk), Lane::Routine), ["2"]);
    disk.flip("cursor-routine", 4096 + 20);
    assert_eq!(waiting_ids(&open(&disk), Lane::Routine), ["1", "2"]);
}

#[test]
fn a_real_directory_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Log::open(Box::new(Disk::new(directory.path()).unwrap()), CONFIG).unwrap();
    let mut log = open();
    log.append(Lane::Alert, vec![report("a", "1", 10), report("a", "2", 3000)])
        .unwrap();
    log.append(Lane::Alert, vec![report("a", "3", 3000)]).unwrap();
    assert_eq!(waiting_ids(&open(), Lane::Alert), ["1", "2", "3"]);
}

#[derive(Debug, Clone)]
enum Act {
    Append {
        alert: bool,
        sources: Vec<u8>,
        size: usize,
    },
    Deliver {
        count: usize,
        receipt: bool,
    },
    CutPowerAfter(u64),
    CutPower,
    Kill,
    FailSyncs(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any::<bool>(), proptest::collection::vec(0..3_u8, 1..6), 0..900_usize)
            .prop_map(|(alert, sources, size)| Act::Append { alert, sources, size }),
        5 => (1..12_usize, proptest::bool::weighted(0.8))
            .prop_map(|(count, receipt)| Act::Deliver { count, receipt }),
        3 => (1..30_u64).prop_map(Act::CutPowerAfter),
        1 => Just(Act::CutPower),
        1 => Just(Act::Kill),
        1 => (1..3_u32).prop_map(Act::FailSyncs),
    ]
}

/// What must hold, seen from outside.
struct Model {
    disk: SimDisk,
    log: Option<Log>,
    next_id: u32,
    acknowledged: [Vec<(String, String)>; 2],
    centre: [Vec<Record>; 2],
    syncs_failed: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed, 1 << 20);
        let log = Some(open(&disk));
        Self {
            disk,
            log,
            next_id: 0,
            acknowledged: Default::default(),
            centre: Default::default(),
            syncs_failed: false,
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Append { alert, sources, size } => {
                let lane = if alert { Lane::Alert } else { Lane::Routine };
                let records: Vec<_> = sources.iter().map(|s| self.report(*s, size)).collect();
                let keys = records
                    .iter()
                    .map(|r| (r.source.clone(), r.id.clone()))
                    .collect::<Vec<_>>();
                if self.log.as_mut().unwrap().append(lane, records).is_ok() {
                    self.acknowledged[lane.index()].extend(keys);
                }
            }
            Act::Deliver { count, receipt } => {
                for lane in Lane::ALL {
                    self.deliver(lane, count, receipt);
                }
            }
            Act::CutPowerAfter(operations) => self.disk.cut_power_after(operations),
            Act::CutPower => self.reboot(),
            Act::Kill => {
                self.log = None;
                self.start();
            }
            Act::FailSyncs(count) => {
                self.syncs_failed = true;
                self.disk.fail_next_syncs(count);
            }
        }
        if self.disk.is_off() {
            self.reboot();
        }
    }

    fn report(&mut self, source: u8, size: usize) -> NewRecord {
        self.next_id += 1;
        report(&source.to_string(), &self.next_id.to_string(), size)
    }

    fn deliver(&mut self, lane: Lane, count: usize, receipt: bool) {
        let log = self.log.as_mut().unwrap();
        let Ok(batch) = log.peek(lane, count, 4000) else {
            return;
        };
        self.centre[lane.index()].extend(batch.records.iter().cloned());
        if receipt {
            let _ = log.advance(lane, &batch);
        }
    }

    fn reboot(&mut self) {
        self.log = None;
        self.disk.reboot();
        self.start();
    }

    /// Starts, through power cuts while starting if need be; a disk that works must do.
    fn start(&mut self) {
        match Log::open(Box::new(self.disk.clone()), CONFIG) {
            Ok(log) if !self.disk.is_off() => self.log = Some(log),
            _ => {
                self.disk.reboot();
                self.log = Some(open(&self.disk));
            }
        }
    }

    fn check(mut self) {
        self.reboot();
        for lane in Lane::ALL {
            let waiting = self.log.as_ref().unwrap().waiting(lane);
            let before = self.centre[lane.index()].len();
            while !self
                .log
                .as_ref()
                .unwrap()
                .peek(lane, 1, 0)
                .unwrap()
                .records
                .is_empty()
            {
                self.deliver(lane, 7, true);
            }
            let centre = &self.centre[lane.index()];
            assert_eq!(
                waiting,
                (centre.len() - before) as u64,
                "count of waiting reports"
            );
            assert_eq!(self.log.as_ref().unwrap().waiting(lane), 0);

            let mut known = HashSet::new();
            let first: Vec<_> = centre
                .iter()
                .filter(|r| known.insert((&r.source, &r.id)))
                .collect();
            let mut place = HashMap::new();
            for (index, record) in first.iter().enumerate() {
                place.insert((record.source.clone(), record.id.clone()), index);
            }
            let mut last: HashMap<&str, usize> = HashMap::new();
            for key in &self.acknowledged[lane.index()] {
                let index = *place
                    .get(key)
                    .unwrap_or_else(|| panic!("{key:?} was acknowledged and is lost"));
                let before = last.insert(&key.0, index);
                assert!(before.is_none_or(|b| b < index), "{key:?} overtook");
            }
            if !self.syncs_failed {
                let mut numbers: HashMap<&str, u64> = HashMap::new();
                for record in first {
                    let before = numbers.insert(&record.source, record.number).unwrap_or(0);
                    assert!(before < record.number, "number {} after {before}", record.number);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn nothing_acknowledged_is_lost_or_overtaken(
        seed: u64, history in proptest::collection::vec(act(), 1..60),
    ) {
        let mut model = Model::new(seed);
        for act in history {
            model.act(act);
        }
        model.check();
    }
}
