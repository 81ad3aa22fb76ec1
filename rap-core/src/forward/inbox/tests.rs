//! Orders over a folder in memory, and over one that loses its power at any operation.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::range::Slice;
use super::shelf::{AskError, Shelf};
use super::*;
use crate::digest::Sha256;
use crate::folder::Folder as _;
use crate::folder::sim::Sim;

const NOW: u64 = 1_800_000_000_000;

fn content(bytes: u64) -> Vec<u8> {
    (0..bytes)
        .map(|place| u8::try_from(place * 7 % 251).unwrap())
        .collect()
}

fn put(number: u8, port: &str, content: &[u8]) -> Order {
    let what = json!({ "put": {
        "instrument": port, "name": "assay.cfg", "purpose": "settings", "bytes": content.len(),
        "sha256": Sha256::of(content), "seconds": 3600,
    }});
    order(number, what)
}

fn get(number: u8, port: &str) -> Order {
    order(
        number,
        json!({ "get": { "instrument": port, "name": "trace.log", "seconds": 60 } }),
    )
}

fn order(number: u8, what: serde_json::Value) -> Order {
    Order {
        id: OrderId::of(&Sha256::of(&[number])),
        number: u64::from(number),
        what: serde_json::from_value(what).unwrap(),
    }
}

fn open(sim: &Sim) -> Shelf<Sim> {
    open_with(sim, 1 << 20, 1 << 30)
}

fn open_with(sim: &Sim, room: u64, free: u64) -> Shelf<Sim> {
    let config = Config {
        room,
        of_a_port: 3,
        all: 4,
    };
    Shelf::open(sim.clone(), config, Arc::new(move || free)).unwrap()
}

/// Does what the thread that brings files does, with this content of every file; false when the disk fails.
fn bring(shelf: &mut Shelf<Sim>, content: &[u8]) -> bool {
    while let Some(job) = shelf.next(None) {
        let done = match job.piece {
            Some(index) => {
                let start = usize::try_from(index * PIECE).unwrap();
                let end = content.len().min(start + usize::try_from(PIECE).unwrap());
                shelf.store(&job, &content[start..end])
            }
            None => piece::digest(&shelf.folder(), job.id, job.bytes)
                .and_then(|digest| shelf.checked(&job, digest)),
        };
        if done.is_err() {
            return false;
        }
    }
    true
}

fn states(shelf: &Shelf<Sim>) -> Vec<String> {
    let reports = shelf.reports(99);
    reports
        .iter()
        .map(|report| report.data["state"].as_str().unwrap().to_owned())
        .collect()
}

fn words(shelf: &Shelf<Sim>) -> String {
    let reports = shelf.reports(99);
    reports.last().unwrap().data["words"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_is_shown_to_its_port_when_it_is_whole_and_gone_when_it_is_taken() {
    let sim = Sim::empty();
    let mut shelf = open(&sim);
    let (file, bytes) = (content(PIECE + 10), PIECE + 10);
    let order = put(1, "port1", &file);
    let id = order.id;
    assert!(shelf.take(order.clone(), NOW).unwrap());
    assert_eq!(shelf.list("port1", NOW), Vec::<serde_json::Value>::new());
    assert!(matches!(shelf.taken("port1", id), Err(AskError::NotHere)));
    assert!(bring(&mut shelf, &file));
    let seen = json!({
        "id": id, "kind": "file", "name": "assay.cfg", "purpose": "settings", "bytes": bytes,
        "sha256": Sha256::of(&file), "seconds-left": 3600,
    });
    assert_eq!(shelf.list("port1", NOW), [seen]);
    let slice = Slice {
        first: PIECE - 3,
        length: 6,
    };
    let place = usize::try_from(PIECE).unwrap();
    assert_eq!(
        shelf.read("port1", id, slice).unwrap(),
        file[place - 3..place + 3]
    );
    // Another port sees nothing of it.
    assert_eq!(shelf.list("port2", NOW), Vec::<serde_json::Value>::new());
    assert!(matches!(shelf.read("port2", id, slice), Err(AskError::NotHere)));
    assert!(matches!(shelf.taken("port2", id), Err(AskError::NotHere)));
    shelf.taken("port1", id).unwrap();
    shelf.taken("port1", id).unwrap();
    assert!(matches!(shelf.refused("port1", id, "x"), Err(AskError::Over(_))));
    assert_eq!(states(&shelf), ["ready", "taken"]);
    // The same order again is nothing new, and nothing of it is on the disk.
    assert!(shelf.take(order, NOW).unwrap());
    assert_eq!(shelf.next(None), None);
    let names: Vec<_> = sim.list().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["inbox.json"]);
    let ids: Vec<_> = shelf.reports(99).into_iter().map(|report| report.id).collect();
    shelf.told(&ids).unwrap();
    assert_eq!(states(&open(&sim)), [""; 0]);
}

#[test]
fn what_came_is_another_file() {
    let sim = Sim::empty();
    let mut shelf = open(&sim);
    let mut file = content(100);
    shelf.take(put(1, "port1", &file), NOW).unwrap();
    file[5] ^= 1;
    assert!(bring(&mut shelf, &file));
    assert_eq!(states(&shelf), ["failed"]);
    assert!(words(&shelf).starts_with("wrong digest: "), "{}", words(&shelf));
    assert_eq!(shelf.list("port1", NOW), Vec::<serde_json::Value>::new());
}

#[test]
fn a_wish_is_answered_by_a_file_or_refused() {
    let sim = Sim::empty();
    let mut shelf = open(&sim);
    let (first, second) = (get(1, "port1"), get(2, "port1"));
    let (a, b) = (first.id, second.id);
    shelf.take(first, NOW).unwrap();
    shelf.take(second, NOW).unwrap();
    assert_eq!(
        shelf.list("port1", NOW)[0],
        json!({ "id": a, "kind": "wanted", "name": "trace.log", "seconds-left": 60 })
    );
    assert!(matches!(shelf.size("port1", a), Err(AskError::Wish(_))));
    assert!(matches!(shelf.taken("port1", a), Err(AskError::Wish(_))));
    assert!(matches!(shelf.is_wish("port2", a), Err(AskError::NotHere)));
    let file = Sha256::of(b"trace");
    shelf.answered("port1", a, file).unwrap();
    // The agent did not hear of it, and asks again.
    shelf.answered("port1", a, file).unwrap();
    shelf.refused("port1", b, "no such\nlog").unwrap();
    assert_eq!(states(&shelf), ["answered", "refused"]);
    assert_eq!(shelf.reports(1)[0].data["file"], json!(file));
    assert_eq!(words(&shelf), "the instrument's agent refused it: no suchlog");
    let file = put(3, "port1", b"x");
    let id = file.id;
    shelf.take(file, NOW).unwrap();
    bring(&mut shelf, b"x");
    assert!(matches!(shelf.is_wish("port1", id), Err(AskError::NoWish)));
}

#[test]
fn room_and_number_are_bounded_and_time_ends_what_nobody_answers() {
    let sim = Sim::empty();
    let mut shelf = open_with(&sim, 1000, 1 << 30);
    let mut refused = |order: Order, why: &str| {
        shelf.take(order, NOW).unwrap();
        assert!(words(&shelf).starts_with(why), "{}", words(&shelf));
    };
    refused(
        put(1, "port1", &content(1001)),
        "too large: the file has 1001 bytes",
    );
    shelf.take(put(2, "port1", &content(600)), NOW).unwrap();
    let mut refused = |order: Order, why: &str| {
        shelf.take(order, NOW).unwrap();
        assert!(words(&shelf).starts_with(why), "{}", words(&shelf));
    };
    refused(
        put(3, "port2", &content(500)),
        "no room: other files take 600 of 1000",
    );
    shelf.take(get(4, "port1"), NOW).unwrap();
    shelf.take(get(5, "port1"), NOW).unwrap();
    let mut refused = |order: Order, why: &str| {
        shelf.take(order, NOW).unwrap();
        assert!(words(&shelf).starts_with(why), "{}", words(&shelf));
    };
    refused(get(6, "port1"), "3 orders of this instrument are open");
    shelf.expire(NOW + 59_999).unwrap();
    assert_eq!(states(&shelf), ["refused"; 3]);
    shelf.expire(NOW + 60_000).unwrap();
    assert_eq!(words(&shelf), "the instrument's agent did not answer in time");
    shelf.expire(NOW + 3_600_000).unwrap();
    assert_eq!(words(&shelf), "the file could not be brought in time");
    assert_eq!(shelf.next(None), None);
    let mut full = open_with(&Sim::empty(), 1000, 99);
    full.take(put(1, "port1", &content(100)), NOW).unwrap();
    assert!(
        words(&full).starts_with("no room: the box's disk"),
        "{}",
        words(&full)
    );
}

#[test]
fn files_come_in_turn_and_go_on_where_they_were() {
    let sim = Sim::empty();
    let mut shelf = open(&sim);
    let file = content(PIECE * 2);
    let (first, second) = (put(1, "port1", &file), put(2, "port2", &file));
    let (a, b) = (first.id, second.id);
    shelf.take(first, NOW).unwrap();
    shelf.take(second, NOW).unwrap();
    let job = shelf.next(None).unwrap();
    assert_eq!((job.id, job.piece), (a, Some(0)));
    shelf
        .store(&job, &file[..usize::try_from(PIECE).unwrap()])
        .unwrap();
    assert_eq!(shelf.next(Some(a)).unwrap().id, b);
    assert_eq!(shelf.next(Some(b)).unwrap().id, a);
    let again = open(&sim);
    assert_eq!(again.next(None).unwrap().piece, Some(1));
}

#[test]
fn a_damaged_inbox_is_set_aside_and_a_lost_piece_is_brought_again() {
    let sim = Sim::with("inbox.json", b"{");
    let shelf = open(&sim);
    assert_eq!(shelf.next(None), None);
    let names: Vec<_> = sim.list().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["inbox.damaged"]);
    let mut shelf = open(&sim);
    let (file, order) = (content(PIECE * 2), put(1, "port1", &content(PIECE * 2)));
    let id = order.id;
    shelf.take(order, NOW).unwrap();
    bring(&mut shelf, &file);
    assert_eq!(shelf.list("port1", NOW).len(), 1);
    sim.clone().write(&piece::name(id, 1), b"short").unwrap();
    let mut again = open(&sim);
    assert_eq!(again.list("port1", NOW), Vec::<serde_json::Value>::new());
    assert!(bring(&mut again, &file));
    assert_eq!(again.list("port1", NOW).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// The power fails within any operation. What was taken is there or has ended; what an agent was told has ended stays
    /// so; each order ends once; a file that is shown has the right content; nothing is left behind.
    #[test]
    fn a_cut_loses_nothing_that_was_promised(power in 0_usize..60, names: usize, kept: usize) {
        let sim = Sim::with("other", b"x");
        let file = content(PIECE + 10);
        let (order, wish) = (put(1, "port1", &file), get(2, "port1"));
        let (id, wish_id) = (order.id, wish.id);
        let mut shelf = open(&sim);
        sim.0.borrow_mut().power = Some(power);
        let ordered = shelf.take(order.clone(), NOW).is_ok();
        let wished = shelf.take(wish.clone(), NOW).is_ok();
        let brought = bring(&mut shelf, &file) && ordered;
        let answered = shelf.answered("port1", wish_id, Sha256::of(b"t")).is_ok();
        let taken = shelf.taken("port1", id).is_ok();
        drop(shelf);
        sim.restart(names, kept);

        let mut again = open(&sim);
        if ordered {
            let open = again.next(None).is_some() || again.list("port1", NOW).iter().any(|it| it["id"] == json!(id));
            prop_assert!(open || states(&again).contains(&"taken".to_owned()));
        }
        prop_assert!(!wished || answered || !again.list("port1", NOW).is_empty() || states(&again).len() == 2);
        if taken {
            prop_assert!(again.taken("port1", id).is_ok() && brought);
        }
        if answered {
            prop_assert!(states(&again).contains(&"answered".to_owned()));
        }
        // The session service offers again what it does not know to be taken; everything comes to its end.
        again.take(order, NOW).unwrap();
        again.take(wish, NOW).unwrap();
        prop_assert!(bring(&mut again, &file));
        if let Ok(read) = again.read("port1", id, Slice { first: 0, length: PIECE + 10 }) {
            prop_assert_eq!(read, file);
        }
        again.taken("port1", id).unwrap();
        again.answered("port1", wish_id, Sha256::of(b"t")).unwrap();
        let mut all = states(&again);
        all.sort();
        prop_assert_eq!(all, ["answered", "ready", "taken"]);
        drop(again);
        open(&sim);
        let mut names: Vec<_> = sim.list().unwrap().into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name != "other");
        prop_assert_eq!(names, ["inbox.json"]);
    }
}
