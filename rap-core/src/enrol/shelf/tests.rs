use proptest::prelude::*;

use super::*;
use crate::folder::sim::Sim;

fn folders() -> Folders<Sim> {
    Folders {
        own: Sim::empty(),
        forward: Sim::empty(),
        web: Sim::empty(),
    }
}

fn each(folders: &Folders<Sim>) -> [&Sim; 3] {
    [&folders.own, &folders.forward, &folders.web]
}

/// Keys as they are told apart; making real ones at every cut takes long and shows no more.
fn request(number: u8) -> Request {
    let key = |kind: &str| crate::enrol::request::Key {
        pem: format!("key {kind} {number}\n"),
        sha256: crate::digest::Sha256::of(&[number]),
    };
    Request {
        device: key("device"),
        ingest: key("ingest"),
        pem: format!("request {number}\n"),
        name: "ward-3".to_owned(),
        serial: "1".to_owned(),
    }
}

fn answer(number: u8) -> Answer {
    Answer {
        device: format!("chain device {number}\n"),
        ingest: Some(format!("chain ingest {number}\n")),
        authority: (number == 1).then(|| "authority\n".to_owned()),
    }
}

/// The number of the identity in use, 0 for none; what is in use has to be whole.
fn in_use(folders: &Folders<Sim>) -> u8 {
    let read = |folder: &Sim, name: &str| {
        let content = folder.read(name).unwrap()?;
        Some(String::from_utf8(content).unwrap())
    };
    let whole = |kind: &str, text: &str| {
        let of = |number: &u8| format!("key {kind} {number}\nchain {kind} {number}\n") == text;
        (1..10)
            .find(of)
            .unwrap_or_else(|| panic!("half an identity: {text}"))
    };
    for folder in [&folders.forward, &folders.web] {
        if let Some(text) = read(folder, INGEST) {
            whole("ingest", &text);
        }
    }
    let Some(device) = read(&folders.forward, DEVICE) else {
        return 0;
    };
    assert_eq!(read(&folders.forward, AUTHORITY).as_deref(), Some("authority\n"));
    assert!(read(&folders.forward, INGEST).is_some() && read(&folders.web, INGEST).is_some());
    whole("device", &device)
}

/// The first identity, then a renewal that is refused, then one that is taken. Says what was done before the power failed:
/// which identity may be in use, and which requests went out.
fn story(folders: &Folders<Sim>, done: &mut Done) -> io::Result<()> {
    let mut shelf = Shelf::open(folders.clone())?;
    for (number, taken) in [(1, true), (2, false), (3, true)] {
        if done.over.contains(&number) {
            continue;
        }
        let kept = shelf.kept().clone();
        if kept.request.is_none() {
            shelf.ask(request(number))?;
        }
        done.asked = number;
        if kept.answer.is_none() {
            shelf.hold(answer(number))?;
        }
        // From now on it may come to be in use at any step of it, and not before.
        if taken {
            done.may = number;
            shelf.accepted("taken", "now".to_owned())?;
            done.must = number;
        } else {
            shelf.refused("revoked", "now".to_owned())?;
            assert_eq!(shelf.kept().last.as_ref().map(|last| last.taken), Some(false));
            shelf.withdraw()?;
        }
        done.over.push(number);
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Done {
    /// The last identity that somebody took.
    may: u8,
    /// The last that is known to be in use.
    must: u8,
    /// The last request that went out.
    asked: u8,
    over: Vec<u8>,
}

#[test]
fn a_whole_story_without_a_cut() {
    let folders = folders();
    let mut done = Done::default();
    story(&folders, &mut done).unwrap();
    assert_eq!((in_use(&folders), done.over), (3, vec![1, 2, 3]));
}

#[test]
fn damaged_memory_loses_a_request_and_nothing_else() {
    let folders = folders();
    story(&folders, &mut Done::default()).unwrap();
    let mut own = folders.own.clone();
    own.replace(KEPT, b"{").unwrap();
    let shelf = Shelf::open(folders.clone()).unwrap();
    assert_eq!(shelf.kept(), &Kept::default());
    assert_eq!(in_use(&folders), 3);
}

#[test]
fn a_full_disk_changes_nothing() {
    let folders = folders();
    story(&folders, &mut Done::default()).unwrap();
    let mut shelf = Shelf::open(folders.clone()).unwrap();
    shelf.ask(request(4)).unwrap();
    shelf.hold(answer(4)).unwrap();
    for folder in each(&folders) {
        folder.0.borrow_mut().full = true;
    }
    assert!(shelf.accepted("taken", String::new()).is_err());
    assert_eq!(in_use(&folders), 3);
    assert!(shelf.kept().answer.is_some(), "it is tried again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The power fails at any operation of any folder, three times; what was not synced is lost or torn at will.
    #[test]
    fn at_every_cut_an_identity_is_whole_and_one_that_was_taken(
        cuts in prop::collection::vec((0_usize..3, 0_usize..40, 0_usize..8, 0_usize..101), 1..4),
    ) {
        let folders = folders();
        let mut done = Done::default();
        for (which, after, names, kept) in cuts {
            each(&folders)[which].0.borrow_mut().power = Some(after);
            let _ = story(&folders, &mut done);
            for folder in each(&folders) {
                folder.restart(names, kept);
            }
            let number = in_use(&folders);
            prop_assert!(number == done.must || number == done.may, "{} of {:?}", number, done);
            let shelf = Shelf::open(folders.clone()).unwrap();
            // Nobody's keys are lost: they are in use, or wait, or their turn is over.
            let waits = shelf.kept().request.clone();
            if done.asked == done.may && !done.over.contains(&done.asked) && done.asked > 0 {
                prop_assert!(in_use(&folders) == done.asked || waits == Some(request(done.asked)));
            }
            if in_use(&folders) == done.may && waits.is_none() && done.may > done.must {
                done.must = done.may;
                done.over.push(done.may);
            }
        }
        story(&folders, &mut done).unwrap();
        prop_assert_eq!(in_use(&folders), 3);
    }
}
