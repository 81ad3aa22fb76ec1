//! A service centre that refuses, forgets and does not answer.

use rap_tests::centre::Fault;
use rap_tests::instrument::files::RANGE;

use super::super::rig::*;
use super::{delivered, sample, status};

#[test]
fn a_file_the_centre_refuses_is_set_beside_with_its_words() {
    let rig = Rig::started();
    rig.centre.files().refuse(Some(("bad", 422, "no such study\n")));
    let (bad, _) = sample(&rig, "bad", 50_000);
    let (good, _) = sample(&rig, "good", 50_000);
    rig.agent().put_file(&bad, RANGE, LONG).unwrap();
    wait_until("it was refused once", || status(&rig).trouble.is_some());
    let words = status(&rig).trouble.unwrap();
    assert!(
        words.contains("refuses the file \"bad\" of /lab/port1 (HTTP 422: no such study)"),
        "{words}"
    );
    assert_eq!(
        status(&rig).refused,
        0,
        "nothing proves yet that it is for the file's sake"
    );
    rig.agent().put_file(&good, RANGE, LONG).unwrap();
    wait_until("it is set aside", || status(&rig).refused == 1);
    rig.centre.files().refuse(None);
    assert_eq!(delivered(&rig, 1)[0].name, "good");
    let found = status(&rig).refusals.remove(0);
    assert_eq!(
        (found.source.as_str(), found.name.as_str()),
        ("/lab/port1", "bad")
    );
    assert_eq!(found.reason, "HTTP 422: no such study");
    assert_eq!(status(&rig).trouble, None);
    let again = rig.agent().put_file(&bad, RANGE, LONG).unwrap_err().to_string();
    assert!(again.contains("no such study"), "{again}");
}

#[test]
fn a_centre_that_refuses_everything_takes_no_file_away() {
    let rig = Rig::started();
    rig.centre
        .files()
        .refuse(Some(("", 400, "a proxy with a bad day\n")));
    for name in ["a", "b", "c"] {
        let (path, _) = sample(&rig, name, 20_000);
        rig.agent().put_file(&path, RANGE, LONG).unwrap();
    }
    wait_until("each was tried a few times", || {
        rig.centre.files().traffic().ranges.len() >= 12
    });
    rig.post(&plan("r", 3));
    assert_eq!(rig.delivered(3).len(), 3, "reports go on");
    assert_eq!((status(&rig).refused, status(&rig).waiting), (0, 3));
    rig.centre.files().refuse(None);
    assert_eq!(delivered(&rig, 3).len(), 3);
}

#[test]
fn a_centre_that_takes_small_ranges_only_gets_small_ones() {
    let rig = Rig::started();
    rig.centre.files().most(20_000);
    let (path, _) = sample(&rig, "large", 300_000);
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    delivered(&rig, 1);
    assert_eq!(status(&rig).refused, 0);
    assert!(rig.centre.files().traffic().ranges.len() > 15);
}

#[test]
fn lost_answers_portals_and_a_forgetful_centre_cost_time_only() {
    let rig = Rig::started();
    let (path, bytes) = sample(&rig, "trace", 400_000);
    rig.centre.fault(Some(Fault::DropReply));
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    wait_until("answers were lost", || rig.centre.shown() >= 3);
    rig.centre.fault(Some(Fault::CaptivePortal));
    wait_until("the portal answered", || rig.centre.shown() >= 3);
    assert!(status(&rig).waiting == 1 && rig.centre.files().delivered().unwrap().is_empty());
    rig.centre.files().forget_parts().unwrap();
    rig.centre.fault(None);
    let file = delivered(&rig, 1).remove(0);
    assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
}
