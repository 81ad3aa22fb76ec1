//! What is sent next, and what answers do.

use super::*;

/// Sends everything to a service centre that takes it, and says what was sent: name and range.
fn drain(shelf: &mut Shelf, most: usize) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(errand) = shelf.next(most) {
        sent.push(format!("{} {}", errand.file.name.as_str(), errand.range));
        let have = match errand.range {
            Range::Part { last, .. } => last + 1,
            Range::Ask { .. } => 0,
        };
        // An answer to the question is no progress, and need not be.
        let _ = shelf.confirmed(&errand, have);
        assert!(sent.len() < 100);
    }
    sent
}

#[test]
fn ports_take_turns_and_within_a_port_the_oldest_comes_first() {
    let mut shelf = open(&disk());
    for (port, name, size) in [(1, "a", 2500), (1, "b", 500), (2, "c", 1500), (2, "d", 10)] {
        Sample::new(port, name, size).put_all(&mut shelf).unwrap();
    }
    assert_eq!(
        drain(&mut shelf, 1000),
        [
            "a bytes 0-999/2500",
            "c bytes 0-999/1500",
            "a bytes 1000-1999/2500",
            "c bytes 1000-1499/1500",
            "a bytes 2000-2499/2500",
            "d bytes 0-9/10",
            "b bytes 0-499/500"
        ]
    );
    assert_eq!((shelf.status().delivered, shelf.status().waiting), (4, 0));
}

#[test]
fn after_a_restart_or_trouble_the_centre_is_asked() {
    let disk = disk();
    let file = Sample::new(1, "a", 2500);
    file.put_all(&mut open(&disk)).unwrap();
    let mut shelf = open(&disk);
    let errand = shelf.next(1000).unwrap();
    assert_eq!(
        (errand.range, errand.bytes.len()),
        (Range::Ask { total: 2500 }, 0)
    );
    assert_eq!(shelf.confirmed(&errand, 1200), Ok(false));
    let errand = shelf.next(1000).unwrap();
    assert_eq!(errand.range.to_string(), "bytes 1200-2199/2500");
    assert_eq!(errand.bytes, file.bytes[1200..2200]);
    shelf.failed(&errand);
    let errand = shelf.next(1000).unwrap();
    assert_eq!(errand.range, Range::Ask { total: 2500 });
    assert_eq!(shelf.confirmed(&errand, 2500), Ok(true), "it has all of it");
    assert!(shelf.next(1000).is_none());
    assert!(!disk.list().unwrap().iter().any(|name| name.starts_with("file-")));
}

#[test]
fn what_was_delivered_is_known_for_a_while() {
    let disk = disk();
    let file = Sample::new(1, "a", 500);
    let mut shelf = open(&disk);
    file.put_all(&mut shelf).unwrap();
    drain(&mut shelf, 1000);
    for mut shelf in [shelf, open(&disk)] {
        assert_eq!(file.put_all(&mut shelf).unwrap(), is(500, 500, State::Delivered));
        assert!(shelf.next(1000).is_none());
    }
    let mut shelf = open(&disk);
    for i in 0..1024 {
        Sample::new(1, &format!("{i:05}"), 5).put_all(&mut shelf).unwrap();
        drain(&mut shelf, 1000);
    }
    assert_eq!(file.ask(&mut shelf).have, 0, "not for ever");
    assert_eq!(disk.list().unwrap(), ["delivered"]);
    assert_eq!(disk.size("delivered").unwrap(), 64 * 1024);
}

#[test]
fn a_centre_that_goes_back_is_followed_and_one_that_contradicts_itself_is_not() {
    let mut shelf = open(&disk());
    Sample::new(1, "a", 2500).put_all(&mut shelf).unwrap();
    let errand = shelf.next(1000).unwrap();
    assert_eq!(
        shelf.behind(&errand, 0),
        Err(Contradiction),
        "it got what it asks for"
    );
    let ask = shelf.next(1000).unwrap();
    assert_eq!(
        shelf.confirmed(&ask, 2501),
        Err(Contradiction),
        "more than there is"
    );
    shelf.confirmed(&ask, 1000).unwrap();
    let errand = shelf.next(1000).unwrap();
    assert_eq!(
        shelf.confirmed(&errand, 1000),
        Err(Contradiction),
        "nothing came of it"
    );
    shelf.confirmed(&ask, 1000).unwrap();
    for have in [500, 400, 300] {
        let errand = shelf.next(1000).unwrap();
        assert_eq!(shelf.behind(&errand, have), Ok(()));
    }
    let errand = shelf.next(1000).unwrap();
    assert_eq!(errand.range.to_string(), "bytes 300-1299/2500");
    assert_eq!(
        shelf.behind(&errand, 200),
        Err(Contradiction),
        "it goes back for ever"
    );
    assert_eq!(shelf.next(1000).unwrap().range, Range::Ask { total: 2500 });
}

#[test]
fn a_refused_file_is_kept_beside_until_its_room_is_needed() {
    let disk = disk();
    let mut shelf = open(&disk);
    let files: Vec<_> = (0..4).map(|i| Sample::new(1, &format!("{i}"), 20_000)).collect();
    for file in &files[..3] {
        file.put_all(&mut shelf).unwrap();
    }
    for reason in ["no such study", "too old"] {
        let errand = shelf.next(1000).unwrap();
        shelf.refuse(&errand, reason);
    }
    disk.settle_all();
    disk.restart(End::PowerCut);
    let mut shelf = open(&disk);
    let refused = |reason: &str| is(20_000, 20_000, State::Refused(reason.to_owned()));
    assert_eq!(files[0].put_all(&mut shelf).unwrap(), refused("no such study"));
    assert_eq!(shelf.next(1000).unwrap().file.name.as_str(), "2");
    let status = shelf.status();
    assert_eq!((status.refused, status.waiting), (2, 1));
    assert_eq!(status.refusals[0].reason, "too old", "the newest first");
    files[3].put_all(&mut shelf).unwrap();
    assert_eq!(files[0].ask(&mut shelf).have, 0, "the oldest gave way");
    assert_eq!(files[1].ask(&mut shelf), refused("too old"));
}

#[test]
fn an_unreadable_file_is_left_alone_and_the_others_go_on() {
    let disk = disk();
    let mut shelf = open(&disk);
    let (bad, good) = (Sample::new(1, "bad", 2000), Sample::new(1, "good", 2000));
    bad.put_all(&mut shelf).unwrap();
    good.put_all(&mut shelf).unwrap();
    disk.spoil(&bad.entry(&shelf).file.clone(), record::HEAD + 1200);
    assert_eq!(
        drain(&mut shelf, 1000),
        [
            "bad bytes 0-999/2000",
            "good bytes 0-999/2000",
            "good bytes 1000-1999/2000"
        ]
    );
    assert_eq!(
        (shelf.status().damaged, shelf.status().waiting),
        (1, 1),
        "it is still there"
    );
}
