//! One rule a test, and what holds for any facts.

use proptest::prelude::*;

use super::super::state::tests::named;
use super::*;
use crate::release::{FORMAT, File, Over, Wave};

/// 2026-01-05, a Monday, at midnight.
const NOW: u64 = 1_767_571_200;

fn file(bytes: u64) -> File {
    File {
        bytes,
        sha256: Sha256::of(b"x"),
    }
}

fn patch(from: &[u8], bytes: u64, memory_mib: u64) -> Patch {
    Patch {
        from: Sha256::of(from),
        over: Over::Raw,
        memory_mib,
        pieces: vec![file(bytes)],
    }
}

fn manifest(number: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        profile: "qemu".to_owned(),
        number,
        version: format!("1.{number}.0"),
        build_id: named(number).build_id,
        published: NOW - 1000,
        uki: file(1000),
        memory_mib: 512,
        minimum: 0,
        changes: Vec::new(),
        waves: Vec::new(),
        full: vec![file(700)],
        patches: vec![patch(b"running", 50, 64), patch(b"other", 5, 8)],
    }
}

/// A box on release 1 that may do anything at once.
struct Box {
    manifest: Manifest,
    running: Named,
    floor: Floor,
    consent: Option<Consent>,
    given_up: Option<GivenUp>,
    windows: Vec<Window>,
    change: fn(&mut Facts<'_>),
}

impl Default for Box {
    fn default() -> Self {
        Self {
            manifest: manifest(2),
            running: named(1),
            floor: Floor {
                number: 1,
                build_id: named(1).build_id,
                time: 0,
            },
            consent: None,
            given_up: None,
            windows: Vec::new(),
            change: |_| (),
        }
    }
}

impl Box {
    fn decide(&self) -> Decision {
        let mut facts = Facts {
            manifest: &self.manifest,
            build_id: &self.running.build_id,
            uki: Some(Sha256::of(b"running")),
            running: Some(&self.running),
            floor: &self.floor,
            percent: 50,
            now: NOW,
            memory_mib: 1024,
            free_mib: 600,
            session: false,
            windows: &self.windows,
            install: Install::Automatic,
            consent: self.consent.as_ref(),
            given_up: self.given_up.as_ref(),
            patch_failed: false,
            rate: Some(10.0),
        };
        (self.change)(&mut facts);
        decide(&facts)
    }

    fn consenting(mut self) -> Self {
        self.consent = Some(Consent {
            build_id: self.manifest.build_id.clone(),
            by: "a person".to_owned(),
        });
        self
    }

    fn plan(&self) -> Plan {
        match self.decide() {
            Decision::Install(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self) -> String {
        match self.decide() {
            Decision::Refuse { why } => why,
            other => panic!("{other:?}"),
        }
    }

    fn waits(&self) -> Wait {
        match self.decide() {
            Decision::Wait(wait) => wait,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_cheapest_way_that_this_box_can_take() {
    let plan = Box::default().plan();
    let (way, bytes, seconds) = (plan.way, plan.bytes, plan.seconds);
    assert_eq!(
        (way, bytes, seconds, plan.restart),
        (Way::Patch(0), 50, Some(5), None)
    );
    for change in [
        (|facts: &mut Facts<'_>| facts.patch_failed = true) as fn(&mut Facts<'_>),
        |facts| facts.uki = None,
        |facts| facts.free_mib = 63,
    ] {
        let plan = Box {
            change,
            ..Box::default()
        }
        .plan();
        assert_eq!((plan.way, plan.bytes), (Way::Full, 700));
    }
}

#[test]
fn what_runs_needs_nothing() {
    let same = Box {
        manifest: manifest(1),
        ..Box::default()
    };
    assert!(matches!(same.decide(), Decision::Nothing { why } if why.contains("runs already")));
}

#[test]
fn what_is_refused_is_refused_to_a_person_too() {
    let below = Box {
        manifest: manifest(1),
        running: named(0),
        floor: Floor {
            number: 2,
            ..Floor::default()
        },
        ..Box::default()
    };
    assert!(
        below
            .consenting()
            .refused()
            .contains("older than release number 2")
    );
    let twin = Box {
        floor: Floor {
            number: 2,
            build_id: named(9).build_id,
            time: 0,
        },
        ..Box::default()
    };
    assert!(
        twin.consenting()
            .refused()
            .contains("the number of another build")
    );
    let large = Box {
        change: |facts| facts.memory_mib = 511,
        ..Box::default()
    };
    assert!(
        large
            .consenting()
            .refused()
            .contains("needs 512 MiB of memory, this box has 511")
    );
    let mut far = Box::default();
    far.manifest.minimum = 2;
    assert!(
        far.refused()
            .contains("over release number 2 or a later one only, and this is number 1")
    );
    far.change = |facts| facts.running = None;
    assert!(
        far.consenting()
            .refused()
            .contains("not known which release runs here")
    );
}

#[test]
fn a_release_that_was_given_up_waits_for_a_newer_one_or_a_person() {
    let given_up = |number| {
        Some(GivenUp {
            release: named(number),
            why: "no lease".to_owned(),
            at: String::new(),
        })
    };
    let tried = || Box {
        given_up: given_up(2),
        ..Box::default()
    };
    assert!(tried().waits().why.contains("given up (no lease)"));
    assert_eq!(tried().consenting().plan().restart, None);
    let another = Box {
        given_up: given_up(1),
        ..Box::default()
    };
    assert_eq!(another.plan().restart, None);
}

#[test]
fn waves() {
    let mut offered = Box::default();
    let wave = |percent, after| Wave { percent, after };
    offered.manifest.waves = vec![wave(10, 0), wave(60, 4600), wave(90, 9999)];
    let wait = offered.waits();
    assert_eq!(
        (wait.why.as_str(), wait.seconds),
        ("its wave (the first 60 %) begins in 60 min", Some(3600))
    );
    offered.change = |facts| facts.percent = 10;
    offered.plan();
    offered.change = |facts| facts.percent = 91;
    assert_eq!(offered.waits().seconds, None);
    offered.consenting().plan();
}

#[test]
fn the_window_and_who_decides() {
    let offered = || Box {
        windows: vec!["02:00-04:30".parse().unwrap()],
        ..Box::default()
    };
    let restart = offered().plan().restart.unwrap();
    assert_eq!(
        (restart.why.as_str(), restart.seconds),
        ("the window opens in 2 h", Some(7200))
    );
    assert_eq!(offered().consenting().plan().restart, None);
    let ask = |facts: &mut Facts<'_>| facts.install = Install::Ask;
    let asked = || Box {
        change: ask,
        ..Box::default()
    };
    assert!(asked().plan().restart.unwrap().why.contains("waits for a person"));
    assert_eq!(asked().consenting().plan().restart, None);
    let manual = || Box {
        change: |facts| facts.install = Install::Manual,
        ..Box::default()
    };
    assert!(manual().waits().why.contains("a person decides"));
    manual().consenting().plan();
}

#[test]
fn never_during_a_session() {
    let change = |facts: &mut Facts<'_>| facts.session = true;
    let restart = Box {
        change,
        ..Box::default()
    }
    .consenting()
    .plan()
    .restart;
    assert_eq!(restart.unwrap().why, "a remote session is open");
}

#[test]
fn times_for_people() {
    let all = [0, 119, 121, 7200, 172_801].map(time);
    assert_eq!(all, ["0 s", "119 s", "3 min", "2 h", "3 days"]);
}

proptest! {
    /// Whatever the facts: nothing below the floor is installed, nothing that does not fit, and there is always a reason.
    #[test]
    fn whatever_the_facts(
        offered in 1_u64..5, runs in 1_u64..5, floor in 0_u64..5, minimum in 0_u64..5, memory in 400_u64..600,
        free in 0_u64..100, percent in 1_u8..=100, session: bool, asked: bool, failed: bool, now in NOW - 5000..NOW + 200_000,
        install in prop_oneof![Just(Install::Automatic), Just(Install::Ask), Just(Install::Manual)],
    ) {
        let (mut manifest, running) = (manifest(offered), named(runs));
        manifest.minimum = minimum;
        manifest.waves = vec![Wave { percent: 40, after: 2000 }];
        let floor = Floor { number: floor, build_id: named(floor).build_id, time: 0 };
        let windows = ["02:00-04:30".parse().unwrap()];
        let consent = asked.then(|| Consent { build_id: manifest.build_id.clone(), by: String::new() });
        let facts = Facts {
            manifest: &manifest, build_id: &running.build_id, uki: Some(Sha256::of(b"running")), running: Some(&running),
            floor: &floor, percent, now, memory_mib: memory, free_mib: free, session, windows: &windows, install,
            consent: consent.as_ref(), given_up: None, patch_failed: failed, rate: None,
        };
        match decide(&facts) {
            Decision::Nothing { why } => prop_assert!(offered == runs && !why.is_empty()),
            Decision::Refuse { why } => prop_assert!(!why.is_empty()),
            Decision::Wait(wait) => {
                prop_assert!(!asked && !wait.why.is_empty());
                // When the wait is over it does not wait for the same reason.
                if let Some(seconds) = wait.seconds {
                    let later = decide(&Facts { now: now + seconds, ..facts.clone() });
                    prop_assert!(matches!(later, Decision::Install(_)), "{:?}", later);
                }
            }
            Decision::Install(plan) => {
                prop_assert!(offered >= floor.number && runs >= minimum && memory >= 512 && offered != runs);
                prop_assert!(asked || percent <= 40 && install != Install::Manual);
                prop_assert!(plan.memory_mib <= free || plan.way == Way::Full);
                if plan.restart.is_none() {
                    let open = open_in(&windows, now).is_zero();
                    prop_assert!(!session && (asked || open && install == Install::Automatic));
                }
            }
        }
    }
}
