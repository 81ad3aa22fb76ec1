//! Freeze attacks, and clocks that are right, behind and ahead.

use std::sync::Arc;

use rap_core::update::source::{Bundle, Source};
use rap_core::update::trust::{Clock, TrustError};

use super::maker;
use super::rig::{Rig, TODAY, time};

const YEAR: u64 = 365 * 86_400;
/// After `expired` has expired, and long before the rest does.
const LATER: u64 = TODAY + 2 * YEAR;

fn rigs() -> impl Iterator<Item = Rig> {
    maker::all().into_iter().map(Rig::new)
}

#[test]
fn what_has_expired_is_refused_by_the_repositorys_own_clock_though_the_box_is_behind() {
    for mut rig in rigs() {
        rig.check().unwrap();
        rig.server.date(Some(time(LATER)));
        for (name, role) in [("expired", "timestamp"), ("expired-snapshot", "snapshot")] {
            rig.serve(name);
            for floor in [0, TODAY, LATER] {
                rig.floor = floor;
                let error = rig.expect_refused(&format!(
                    "{role} version 3 expired on 2027-01-01T00:00:00Z: by its own clock it is 2028-11-27"
                ));
                let clock = Clock::Repository(LATER);
                assert!(matches!(error, TrustError::Expired { clock: found, .. } if found == clock));
            }
        }
        rig.serve("third");
        rig.check().unwrap();
    }
}

#[test]
fn a_floor_that_is_ten_years_ahead_says_so_and_locks_nobody_out() {
    for mut rig in rigs() {
        rig.floor = TODAY + 10 * YEAR;
        rig.serve("expired");
        let error = rig
            .expect_refused("though its own clock says 2026-11-28T00:00:00Z: one of the two is or was wrong");
        assert!(matches!(
            error,
            TrustError::Expired {
                clock: Clock::FloorOnly { .. },
                ..
            }
        ));
        // What is valid for long is taken even then.
        rig.serve("third");
        rig.check().unwrap();
        // And nothing of that time is left when it is right again.
        rig.floor = TODAY;
        rig.check().unwrap();
    }
}

#[test]
fn a_time_of_the_future_in_toughs_folder_is_nothing() {
    let rig = Rig::new(maker::by_tough());
    std::fs::create_dir(rig.scratch()).unwrap();
    std::fs::write(
        rig.scratch().join("latest_known_time.json"),
        "\"2100-01-01T00:00:00Z\"",
    )
    .unwrap();
    rig.check().unwrap();
    assert!(!rig.scratch().exists());
}

#[test]
fn without_the_repositorys_clock_the_floor_is_all_there_is() {
    for mut rig in rigs() {
        rig.server.date(None);
        rig.serve("expired");
        rig.floor = LATER;
        rig.expect_refused("it is at least 2028-11-27T00:00:00Z here");
        // A box that knows no better takes it; the versions it saw then count all the same.
        rig.floor = 0;
        rig.check().unwrap();
    }
}

#[test]
fn a_bundle_is_held_against_the_floor() {
    for mut rig in rigs() {
        let bundle = rig.scratch().with_extension("tar");
        let status = std::process::Command::new("tar")
            .arg("-cf")
            .arg(&bundle)
            .arg("-C")
            .arg(rig.folder("expired"))
            .args(["metadata", "targets"])
            .status()
            .unwrap();
        assert!(status.success());
        let open = || -> Arc<dyn Source> { Arc::new(Bundle::open(&bundle).unwrap()) };
        assert_eq!(rig.check_over(open()).unwrap().versions.timestamp, 3);
        rig.floor = LATER;
        let error = rig.check_over(open()).unwrap_err();
        assert!(
            matches!(
                error,
                TrustError::Expired {
                    clock: Clock::Floor(LATER),
                    ..
                }
            ),
            "{error}"
        );
    }
}
