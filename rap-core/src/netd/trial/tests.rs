//! The trial's promises, one by one, and under any sequence of wishes, crashes and power cuts.

use proptest::prelude::*;

use super::facts::REMEMBERED;
use super::*;
use crate::folder::sim::Sim;

const LIMIT: Duration = Duration::from_secs(120);

fn at(boot: u32, seconds: u64) -> Moment {
    Moment {
        boot: format!("boot-{boot}"),
        since_boot: Duration::from_secs(seconds),
        wall: "2030-01-01T00:00:00Z".to_owned(),
    }
}

fn trials(sim: &Sim) -> Trials<Sim> {
    Trials::new(sim.clone(), LIMIT)
}

fn in_force(sim: &Sim) -> String {
    String::from_utf8(trials(sim).in_force().unwrap().unwrap()).unwrap()
}

fn last_ending(sim: &Sim) -> (Outcome, String) {
    let records = trials(sim).records().unwrap();
    let ending = records.last().unwrap().ended.clone().unwrap();
    (ending.outcome, ending.why)
}

#[test]
fn a_confirmed_trial_is_the_last_good_site() {
    let sim = Sim::with(SITE, b"old");
    let mut trials = trials(&sim);
    trials.begin(b"new", &at(1, 10)).unwrap();
    assert_eq!(in_force(&sim), "new");
    assert_eq!(sim.read(SITE).unwrap().unwrap(), b"old");
    trials.keep("an operator confirmed it", &at(1, 20)).unwrap();
    assert_eq!(sim.read(SITE).unwrap().unwrap(), b"new");
    assert_eq!(sim.read(TRIAL).unwrap(), None);
    assert_eq!(
        last_ending(&sim),
        (Outcome::Kept, "an operator confirmed it".to_owned())
    );
}

#[test]
fn an_undone_trial_leaves_the_last_good_site() {
    let sim = Sim::with(SITE, b"old");
    let mut trials = trials(&sim);
    trials.begin(b"new", &at(1, 10)).unwrap();
    trials.undo("not confirmed within 120 s", &at(1, 130)).unwrap();
    assert_eq!(in_force(&sim), "old");
    assert_eq!(sim.read(TRIAL).unwrap(), None);
    assert_eq!(last_ending(&sim).0, Outcome::Undone);
}

#[test]
fn a_trial_has_its_time_from_its_beginning() {
    let sim = Sim::with(SITE, b"old");
    let mut trials = trials(&sim);
    trials.begin(b"new", &at(1, 10)).unwrap();
    let running = trials.running().unwrap().unwrap();
    assert_eq!(running.left(&at(1, 10)), LIMIT);
    assert_eq!(running.left(&at(1, 129)), Duration::from_secs(1));
    assert_eq!(running.left(&at(1, 500)), Duration::ZERO);
}

#[test]
fn one_trial_at_a_time_and_none_of_what_is_in_force() {
    let sim = Sim::with(SITE, b"old");
    let mut trials = trials(&sim);
    let text = |result: Result<(), TrialError>| result.unwrap_err().to_string();
    assert_eq!(
        text(trials.begin(b"old", &at(1, 0))),
        TrialError::Same.to_string()
    );
    assert_eq!(
        text(trials.keep("", &at(1, 0))),
        TrialError::NotRunning.to_string()
    );
    assert_eq!(
        text(trials.undo("", &at(1, 0))),
        TrialError::NotRunning.to_string()
    );
    trials.begin(b"new", &at(1, 0)).unwrap();
    assert_eq!(
        text(trials.begin(b"newer", &at(1, 1))),
        TrialError::Running.to_string()
    );
    assert_eq!(in_force(&sim), "new");
}

#[test]
fn a_crash_goes_on_with_the_trial_and_a_restart_undoes_it() {
    let sim = Sim::with(SITE, b"old");
    trials(&sim).begin(b"new", &at(1, 10)).unwrap();
    assert_eq!(trials(&sim).recover(&at(1, 60)).unwrap(), None);
    assert_eq!(in_force(&sim), "new");

    let ending = trials(&sim).recover(&at(2, 5)).unwrap().unwrap();
    assert_eq!(ending.outcome, Outcome::Undone);
    assert!(ending.why.contains("restarted"), "{}", ending.why);
    assert_eq!(in_force(&sim), "old");
    assert_eq!(last_ending(&sim), (Outcome::Undone, ending.why));
}

#[test]
fn damaged_records_undo_a_trial_and_keep_the_site() {
    let sim = Sim::with(SITE, b"old");
    trials(&sim).begin(b"new", &at(1, 10)).unwrap();
    sim.clone().write(RECORDS, b"{]").unwrap();
    trials(&sim).recover(&at(1, 11)).unwrap();
    assert_eq!(in_force(&sim), "old");
    assert_eq!(sim.read(TRIAL).unwrap(), None);
}

#[test]
fn a_full_disk_keeps_and_undoes_what_was_on_trial_and_tries_nothing_new() {
    for keep in [true, false] {
        let sim = Sim::with(SITE, b"old");
        let mut trials = trials(&sim);
        trials.begin(b"new", &at(1, 10)).unwrap();
        sim.0.borrow_mut().full = true;
        let (ended, expected) = if keep {
            (trials.keep("yes", &at(1, 11)), "new")
        } else {
            (trials.undo("no", &at(1, 11)), "old")
        };
        assert_eq!(ended.is_ok(), keep);
        assert_eq!(trials.running().unwrap(), None);
        assert_eq!(in_force(&sim), expected);
        assert!(trials.begin(b"newer", &at(1, 12)).is_err());
        assert_eq!(in_force(&sim), expected);

        sim.0.borrow_mut().full = false;
        trials.recover(&at(1, 13)).unwrap();
        let outcome = if keep { Outcome::Kept } else { Outcome::Undone };
        assert_eq!(last_ending(&sim).0, outcome);
    }
}

#[test]
fn a_disk_that_takes_nothing_cannot_hold_the_box_in_a_trial() {
    let sim = Sim::with(SITE, b"old");
    let mut trials = trials(&sim);
    trials.begin(b"new", &at(1, 10)).unwrap();
    sim.0.borrow_mut().power = Some(0);
    assert!(trials.undo("no", &at(1, 11)).is_err());
    assert_eq!(trials.running().unwrap(), None);
    assert_eq!(trials.in_force().unwrap().unwrap(), b"old");
    sim.crash();
    self::trials(&sim).recover(&at(2, 1)).unwrap();
    assert_eq!(sim.read(TRIAL).unwrap(), None);
}

#[test]
fn a_box_without_a_site_can_try_one() {
    let sim = Sim::with("other", b"");
    assert_eq!(trials(&sim).in_force().unwrap(), None);
    trials(&sim).begin(b"new", &at(1, 10)).unwrap();
    assert_eq!(in_force(&sim), "new");
    trials(&sim).undo("no", &at(1, 11)).unwrap();
    assert_eq!(trials(&sim).in_force().unwrap(), None);
}

#[test]
fn only_the_latest_trials_are_remembered() {
    let sim = Sim::with(SITE, b"old");
    for nth in 0..20_u64 {
        trials(&sim)
            .begin(format!("site {nth}").as_bytes(), &at(1, nth))
            .unwrap();
        trials(&sim).undo(&format!("undone {nth}"), &at(1, nth)).unwrap();
    }
    let records = trials(&sim).records().unwrap();
    assert_eq!(records.len(), REMEMBERED);
    assert_eq!(last_ending(&sim).1, "undone 19");
}

#[test]
fn a_real_directory_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Directory(directory.path().join("config"));
    let mut trials = Trials::new(folder.clone(), LIMIT);
    assert_eq!(trials.in_force().unwrap(), None);
    trials.begin(b"new", &at(1, 10)).unwrap();
    trials.keep("yes", &at(1, 11)).unwrap();
    trials.begin(b"newer", &at(1, 12)).unwrap();
    trials.undo("no", &at(1, 13)).unwrap();
    assert_eq!(trials.in_force().unwrap().unwrap(), b"new");
    let mut names: Vec<_> = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [SITE, RECORDS]);
}

#[derive(Debug, Clone)]
enum Wish {
    Begin(u8),
    Keep,
    Undo,
}

/// A wish, after how many operations it is stopped (more than it needs: not at all), and by what.
#[derive(Debug, Clone)]
struct Doing {
    wish: Wish,
    power: usize,
    /// Lost power (names kept, content kept), or only a crash of the program.
    cut: Option<(usize, usize)>,
    /// Operations until the power fails again while what was left is finished.
    again: usize,
}

fn doing() -> impl Strategy<Value = Doing> {
    let wish = prop_oneof![
        (0..4_u8).prop_map(Wish::Begin),
        Just(Wish::Keep),
        Just(Wish::Undo)
    ];
    let cut = prop::option::weighted(0.7, (0..8_usize, 0..101_usize));
    (wish, 0..24_usize, cut, 0..24_usize).prop_map(|(wish, power, cut, again)| Doing {
        wish,
        power,
        cut,
        again,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_cut_leaves_the_box_without_its_site(doings in prop::collection::vec(doing(), 1..12)) {
        let sim = Sim::with(SITE, b"good");
        let mut good = "good".to_owned();
        let mut boot = 1;
        for (nth, doing) in doings.iter().enumerate() {
            let now = at(boot, 10);
            let running = trials(&sim).running().unwrap();
            let on_trial = in_force(&sim);
            sim.0.borrow_mut().power = Some(doing.power);
            let mut trials_now = trials(&sim);
            let done = match doing.wish {
                Wish::Begin(n) => trials_now.begin(format!("site {nth} {n}").as_bytes(), &now),
                Wish::Keep => trials_now.keep("yes", &now),
                Wish::Undo => trials_now.undo("no", &now),
            };
            // What may be the last good site now: a confirmation that was cut may have come through.
            let mut may_be_good = vec![good.clone()];
            if matches!(doing.wish, Wish::Keep) && running.is_some() {
                if done.is_ok() {
                    may_be_good.clear();
                }
                may_be_good.push(on_trial.clone());
            }
            if let Some((names, kept)) = doing.cut {
                sim.restart(names, kept);
                boot += 1;
                // A second cut while what was left is finished.
                sim.0.borrow_mut().power = Some(doing.again);
                let _ = trials(&sim).recover(&at(boot, 1));
                sim.restart(kept, names);
                boot += 1;
            } else {
                sim.crash();
            }
            let now = at(boot, 11);
            let _ = trials(&sim).recover(&now).unwrap();

            let site = String::from_utf8(sim.read(SITE).unwrap().unwrap()).unwrap();
            prop_assert!(may_be_good.contains(&site), "{site} of {may_be_good:?}");
            good = site;
            let running = trials(&sim).running().unwrap();
            if doing.cut.is_some() {
                prop_assert_eq!(&running, &None);
            }
            let begun = matches!(doing.wish, Wish::Begin(_)) && doing.cut.is_none();
            if begun && done.is_ok() {
                prop_assert!(running.is_some());
            }
            if running.is_none() {
                prop_assert_eq!(in_force(&sim), good.clone());
                prop_assert_eq!(sim.read(TRIAL).unwrap(), None);
                let open = trials(&sim).records().unwrap().into_iter().filter(|record| record.ended.is_none());
                prop_assert_eq!(open.count(), 0);
            } else {
                let whole = in_force(&sim);
                prop_assert!(whole.starts_with("site ") && whole.len() >= 8, "{whole}");
            }
            prop_assert_eq!(trials(&sim).facts().unwrap().recover(&now), (vec![], None));
        }
    }
}
