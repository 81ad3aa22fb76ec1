//! The shelf on a disk that loses, tears and fails: examples here, random histories and mutants in the modules below.

mod delivery;
mod history;
mod mutation;

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::*;
use crate::digest::Sha256;
use crate::forward::log::Storage as _;
use crate::forward::log::tests::sim::{End, SimDisk};

const SHARE: u64 = 64 * 1024;
const NOW: Duration = Duration::from_secs(100);

fn config() -> Config {
    Config {
        room: 2 * SHARE,
        ports: 2,
        ..Config::default()
    }
}

fn open(disk: &SimDisk) -> Shelf {
    Shelf::open(Arc::new(disk.clone()), config(), Arc::new(|| 0), NOW).unwrap()
}

fn disk() -> SimDisk {
    SimDisk::new(7, 1 << 20)
}

/// A file of a port.
struct Sample {
    key: Key,
    bytes: Vec<u8>,
    name: FileName,
}

impl Sample {
    fn new(port: u32, name: &str, size: usize) -> Self {
        let bytes: Vec<u8> = name
            .bytes()
            .cycle()
            .enumerate()
            .map(|(i, b)| b ^ (i >> 6).to_le_bytes()[0])
            .take(size)
            .collect();
        Self {
            key: Key {
                source: format!("/lab/port{port}"),
                digest: Sha256::of(&bytes),
            },
            name: FileName::new(name.to_owned()).unwrap(),
            bytes,
        }
    }

    fn put(&self, shelf: &mut Shelf, range: std::ops::Range<usize>) -> Result<Holding, PutError> {
        self.put_at(shelf, range, NOW)
    }

    fn put_at(
        &self,
        shelf: &mut Shelf,
        range: std::ops::Range<usize>,
        now: Duration,
    ) -> Result<Holding, PutError> {
        let upload = Upload {
            key: &self.key,
            size: self.bytes.len() as u64,
            first: range.start as u64,
            bytes: &self.bytes[range],
            name: Some(&self.name),
            media: &MediaType::default(),
            received: 5,
        };
        shelf.put(&upload, now)
    }

    fn put_all(&self, shelf: &mut Shelf) -> Result<Holding, PutError> {
        self.put(shelf, 0..self.bytes.len())
    }

    fn ask(&self, shelf: &mut Shelf) -> Holding {
        shelf.ask(&self.key, self.bytes.len() as u64, NOW).unwrap()
    }

    fn entry<'s>(&self, shelf: &'s Shelf) -> &'s Entry {
        &shelf.entries[&self.key]
    }
}

/// What `have` and `state` a file of `size` has.
fn is(have: usize, size: usize, state: State) -> Holding {
    Holding {
        have: have as u64,
        size: size as u64,
        state,
    }
}

/// A slice of what `scripts/soak files` does. A history that fails says how to run it again.
#[test]
fn histories() {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let first = number("FILES_SEED");
    let count = number("FILES_HISTORIES").unwrap_or(if first.is_some() { 1 } else { 1500 });
    let first = first.unwrap_or(0);
    for seed in first..first + count {
        if let Err(broken) = history::run(seed, None) {
            panic!(
                "history {seed}: {broken}\n\
                 again: FILES_SEED={seed} cargo test -p rap-core --lib forward::files::tests::histories"
            );
        }
    }
}

#[test]
fn ranges_make_a_file_and_survive_a_power_cut_each() {
    let disk = disk();
    let file = Sample::new(1, "run.csv", 1000);
    for (from, to) in [(0, 300), (250, 600), (600, 999)] {
        let mut shelf = open(&disk);
        assert_eq!(
            file.put(&mut shelf, from..to).unwrap(),
            is(to, 1000, State::Partial)
        );
        disk.restart(End::PowerCut);
    }
    let mut shelf = open(&disk);
    while shelf.work() {}
    assert_eq!(
        file.put(&mut shelf, 999..1000).unwrap(),
        is(1000, 1000, State::Kept)
    );
    disk.restart(End::PowerCut);
    let mut shelf = open(&disk);
    assert_eq!(file.ask(&mut shelf), is(1000, 1000, State::Kept));
    let found = &file.entry(&shelf).description;
    assert_eq!((found.name.as_str(), found.received), ("run.csv", 5));
}

#[test]
fn after_a_restart_the_last_range_waits_for_the_digest() {
    let disk = disk();
    let file = Sample::new(1, "run.csv", 1000);
    file.put(&mut open(&disk), 0..500).unwrap();
    let mut shelf = open(&disk);
    assert_eq!(
        file.put(&mut shelf, 500..1000).unwrap(),
        is(1000, 1000, State::Checking)
    );
    assert!(shelf.next(1000, NOW).is_none(), "what is not checked is not sent");
    while shelf.work() {}
    assert_eq!(file.ask(&mut shelf).state, State::Kept);
    disk.restart(End::PowerCut);
    assert_eq!(file.ask(&mut open(&disk)).state, State::Kept);
}

#[test]
fn a_gap_is_told_where_to_go_on() {
    let disk = disk();
    let file = Sample::new(1, "run.csv", 1000);
    let mut shelf = open(&disk);
    assert!(matches!(
        file.put(&mut shelf, 1..10),
        Err(PutError::Gap { have: 0 })
    ));
    file.put(&mut shelf, 0..10).unwrap();
    assert!(matches!(
        file.put(&mut shelf, 11..20),
        Err(PutError::Gap { have: 10 })
    ));
    assert_eq!(
        file.put(&mut shelf, 3..7).unwrap().have,
        10,
        "what is there is skipped"
    );
}

#[test]
fn other_bytes_than_the_digests_are_given_up() {
    let disk = disk();
    let mut file = Sample::new(1, "run.csv", 1000);
    let right = file.bytes.clone();
    file.bytes[3] ^= 1;
    let mut shelf = open(&disk);
    assert!(matches!(file.put_all(&mut shelf), Err(PutError::WrongDigest)));
    file.put(&mut shelf, 0..500).unwrap();
    assert!(matches!(
        file.put(&mut shelf, 500..1000),
        Err(PutError::WrongDigest)
    ));
    assert_eq!(file.ask(&mut shelf).have, 0);
    assert!(disk.list().unwrap().is_empty());
    // Found out later, too.
    file.put(&mut shelf, 0..500).unwrap();
    let mut shelf = open(&disk);
    assert_eq!(file.put(&mut shelf, 500..1000).unwrap().state, State::Checking);
    while shelf.work() {}
    assert_eq!(file.ask(&mut shelf).have, 0);
    file.bytes = right;
    assert_eq!(file.put_all(&mut shelf).unwrap().state, State::Kept);
}

#[test]
fn the_size_is_part_of_the_file() {
    let mut shelf = open(&disk());
    let file = Sample::new(1, "run.csv", 1000);
    file.put(&mut shelf, 0..10).unwrap();
    let other = shelf.ask(&file.key, 999, NOW);
    assert!(
        matches!(other, Err(PutError::OtherSize { known: 1000 })),
        "{other:?}"
    );
}

#[test]
fn the_same_bytes_of_two_ports_are_two_files() {
    let mut shelf = open(&disk());
    let mut file = Sample::new(1, "run.csv", 1000);
    file.put_all(&mut shelf).unwrap();
    file.key.source = "/lab/port2".to_owned();
    assert_eq!(
        file.ask(&mut shelf).have,
        0,
        "port 2 does not learn what port 1 has"
    );
    file.put_all(&mut shelf).unwrap();
    assert_eq!(shelf.status().waiting, 2);
}

#[test]
fn a_port_has_its_share_and_kept_files_are_never_given_up() {
    let mut shelf = open(&disk());
    let files: Vec<_> = (0..5).map(|i| Sample::new(1, &format!("{i}"), 20_000)).collect();
    for file in &files[..3] {
        assert_eq!(file.put_all(&mut shelf).unwrap().state, State::Kept);
    }
    assert!(matches!(files[3].put_all(&mut shelf), Err(PutError::Full)));
    let large = Sample::new(1, "large", 64 * 1024 + 1);
    assert!(matches!(
        large.put(&mut shelf, 0..1),
        Err(PutError::TooLarge { limit: SHARE })
    ));
    let others = Sample::new(2, "other", 64 * 1024);
    assert_eq!(
        others.put_all(&mut shelf).unwrap().state,
        State::Kept,
        "the other port has its own"
    );
    for file in &files[..3] {
        assert_eq!(file.ask(&mut shelf).state, State::Kept);
    }
}

#[test]
fn the_part_least_recently_touched_gives_way_after_its_grace() {
    let mut shelf = open(&disk());
    let files: Vec<_> = (0..4).map(|i| Sample::new(1, &format!("{i}"), 20_000)).collect();
    for (file, minutes) in files[..3].iter().zip([0, 2, 4]) {
        file.put_at(&mut shelf, 0..10, NOW + Duration::from_secs(60 * minutes))
            .unwrap();
    }
    let begin = |shelf: &mut Shelf, minutes: u64| {
        files[3].put_at(shelf, 0..10, NOW + Duration::from_secs(60 * minutes))
    };
    assert!(matches!(begin(&mut shelf, 5), Err(PutError::Full)));
    // Somebody asks for the first, so it is the second's turn.
    shelf
        .ask(&files[0].key, 20_000, NOW + Duration::from_secs(360))
        .unwrap();
    begin(&mut shelf, 13).unwrap();
    assert_eq!(have(&files, &mut shelf), [10, 0, 10, 10]);
}

/// How much is here of each.
fn have(files: &[Sample], shelf: &mut Shelf) -> Vec<u64> {
    files.iter().map(|file| file.ask(shelf).have).collect()
}

#[test]
fn a_part_nobody_goes_on_with_is_given_up() {
    let mut shelf = open(&disk());
    let (part, whole) = (Sample::new(1, "part", 1000), Sample::new(1, "whole", 1000));
    part.put(&mut shelf, 0..10).unwrap();
    whole.put_all(&mut shelf).unwrap();
    shelf.tidy(NOW + Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(shelf.status().partial, 1);
    shelf.tidy(NOW + Duration::from_secs(7 * 86_400));
    assert_eq!((shelf.status().partial, shelf.status().waiting), (0, 1));
}

#[test]
fn files_leave_the_room_that_reports_may_need() {
    let disk = disk();
    let free = disk.free_space().unwrap();
    let reserve: Reserve = Arc::new(move || free - 30_000);
    let mut shelf = Shelf::open(Arc::new(disk.clone()), config(), reserve, NOW).unwrap();
    let (first, second) = (Sample::new(1, "first", 20_000), Sample::new(2, "second", 10_000));
    first.put(&mut shelf, 0..1000).unwrap();
    let held = second.put_all(&mut shelf);
    assert!(
        matches!(held, Err(PutError::Full)),
        "the rest of the first is reserved: {held:?}"
    );
    first.put(&mut shelf, 1000..19_000).unwrap();
    disk.fill(free - 30_000 + 500);
    assert!(matches!(
        first.put(&mut shelf, 19_000..20_000),
        Err(PutError::Full)
    ));
    disk.drain();
    assert_eq!(first.put(&mut shelf, 19_000..20_000).unwrap().state, State::Kept);
}

#[test]
fn a_full_disk_takes_nothing_and_goes_on_when_it_has_room() {
    let disk = disk();
    let mut shelf = open(&disk);
    let file = Sample::new(1, "run.csv", 20_000);
    file.put(&mut shelf, 0..10_000).unwrap();
    disk.fill(0);
    assert!(matches!(
        file.put(&mut shelf, 10_000..20_000),
        Err(PutError::Full)
    ));
    assert_eq!(file.ask(&mut shelf).have, 10_000);
    disk.drain();
    assert_eq!(file.put(&mut shelf, 10_000..20_000).unwrap().state, State::Kept);
}

#[test]
fn what_is_damaged_is_set_aside_and_the_rest_goes_on() {
    let disk = disk();
    let mut shelf = open(&disk);
    let files: Vec<_> = (0..4).map(|i| Sample::new(1, &format!("{i}"), 2000)).collect();
    for file in &files[..3] {
        file.put_all(&mut shelf).unwrap();
    }
    files[3].put(&mut shelf, 0..1000).unwrap();
    files[3].put(&mut shelf, 1000..1500).unwrap();
    let name = |file: usize| files[file].entry(&shelf).file.clone();
    let (description, bytes, last) = (name(0), name(1), name(3));
    disk.flip(&description, 20);
    disk.flip(&bytes, record::HEAD + 10);
    disk.flip(&last, record::HEAD + 1200);
    disk.settle_all();
    disk.restart(End::PowerCut);
    let mut shelf = open(&disk);
    assert_eq!(
        have(&files, &mut shelf),
        [0, 0, 2000, 1000],
        "the last range is damaged, the one before is whole"
    );
    assert_eq!(shelf.status().damaged, 2);
    // Set aside once and for all, and its agent may begin anew.
    let mut shelf = open(&disk);
    assert_eq!((shelf.status().damaged, shelf.damaged.len()), (0, 2));
    files[0].put_all(&mut shelf).unwrap();
}

#[test]
fn files_of_others_and_half_made_ones_do_no_harm() {
    let disk = disk();
    for (name, bytes) in [
        ("new-000009", 10),
        ("file-x", 3),
        ("file-000003", 0),
        ("readme", 5),
        ("delivered", 100),
    ] {
        disk.create(name).unwrap();
        disk.write(name, 0, &vec![7; bytes]).unwrap();
    }
    let mut shelf = open(&disk);
    let file = Sample::new(1, "run.csv", 100);
    file.put_all(&mut shelf).unwrap();
    assert_eq!(file.entry(&shelf).file, "file-000010", "no number is used twice");
    assert_eq!(disk.list().unwrap().len(), 5);
}
