use super::*;
use crate::folder::Directory;
use crate::folder::sim::Sim;

pub(in crate::update) fn named(number: u64) -> Named {
    Named {
        number,
        version: format!("1.{number}.0"),
        build_id: format!("{number:064x}"),
    }
}

pub(in crate::update) fn trial(number: u64) -> Trial {
    Trial {
        release: named(number),
        uki: File {
            bytes: 1,
            sha256: crate::digest::Sha256::of(b"x"),
        },
        attempt: 1,
        asked: false,
        before: Before::default(),
        verdict: None,
    }
}

fn fresh() -> Store<Sim> {
    Store(Sim::empty())
}

fn with_floor(number: u64) -> State {
    let (mut state, _) = fresh().load(7);
    state.floor = Floor {
        number,
        build_id: named(number).build_id,
        time: 1000 + number,
    };
    state.trial = Some(trial(number + 1));
    state
}

#[test]
fn what_is_written_reads_back_with_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store(Directory(folder.path().to_owned()));
    assert_eq!(store.load(7).1, Vec::<String>::new());
    let mut state = with_floor(3);
    store.save(&state).unwrap();
    assert_eq!(store.load(9), (state.clone(), Vec::new()));
    let build = &named(4).build_id;
    assert_eq!(marker_for(folder.path(), build), Some(format!("{build} 1")));
    assert_eq!(marker_for(folder.path(), &named(3).build_id), None);
    state.trial = None;
    store.save(&state).unwrap();
    assert_eq!(marker_for(folder.path(), build), None);
}

#[test]
fn damage_to_one_file_does_not_lower_the_floor() {
    let mut store = fresh();
    let state = with_floor(5);
    for (name, content) in [
        (STATE, "{\"format\":1"),
        (STATE, "\0\0"),
        (FLOOR, "\0"),
        (FLOOR, "5 x"),
    ] {
        store.save(&state).unwrap();
        store.0.replace(name, content.as_bytes()).unwrap();
        let (loaded, problems) = store.load(9);
        assert_eq!(loaded.floor, state.floor, "{name}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    assert!(store.0.read(DAMAGED).unwrap().is_some());
}

#[test]
fn damage_to_both_is_told() {
    let mut store = fresh();
    store.save(&with_floor(5)).unwrap();
    store.0.replace(STATE, b"").unwrap();
    store.0.replace(FLOOR, b"").unwrap();
    let (state, problems) = store.load(9);
    assert_eq!((state.floor.number, state.seed), (0, 9));
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("no copy of the floor")),
        "{problems:?}"
    );
}

/// Whenever the power fails, the floor is the old or the new one, and never lower.
#[test]
fn no_cut_lowers_the_floor() {
    for power in 0..16 {
        for names in 0..4 {
            let disk = Sim::empty();
            let mut store = Store(disk.clone());
            store.save(&with_floor(3)).unwrap();
            disk.0.borrow_mut().power = Some(power);
            let saved = store.save(&with_floor(4)).is_ok();
            disk.restart(names, 50);
            let (state, problems) = store.load(9);
            assert_eq!(problems, Vec::<String>::new());
            assert!(
                state.floor.number == 4 || !saved && state.floor.number == 3,
                "{power}"
            );
        }
    }
}

#[test]
fn another_format_is_set_aside() {
    let mut store = fresh();
    store.0.replace(STATE, b"{\"format\":2,\"seed\":1}").unwrap();
    let (_, problems) = store.load(9);
    assert!(problems[0].contains("format 2"), "{problems:?}");
}

#[test]
fn the_history_is_bounded_and_keeps_the_latest() {
    let mut state = with_floor(1);
    for number in 0..200 {
        state.remember("now", &named(number), "armed", "why");
    }
    assert_eq!(state.history.len(), REMEMBERED);
    assert_eq!(state.history[REMEMBERED - 1].release.number, 199);
}

#[test]
fn every_seed_is_a_percent() {
    let percent = |seed| {
        State {
            seed,
            ..State::default()
        }
        .percent()
    };
    assert_eq!(
        (percent(0), percent(99), percent(100), percent(u32::MAX)),
        (1, 100, 1, 96)
    );
}
