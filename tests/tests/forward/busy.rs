//! A service centre that asks the box to wait, and alerts that come meanwhile.

use rap_tests::centre::Fault;
use rap_tests::instrument::Plan;

use super::rig::*;

const HOUR: u64 = 3_600_000;

fn now() -> u64 {
    u64::try_from(rap_core::moment::since_boot().as_millis()).unwrap()
}

/// A box whose one report was answered by `fault`, and how many milliseconds it waits now.
fn asked_by(fault: Fault) -> (Rig, u64) {
    let rig = Rig::started();
    rig.centre.fault(Some(fault));
    rig.post(&plan("a", 1));
    wait_until("the box waits for a long time", || {
        rig.progress().next_try.is_some_and(|at| at > now() + 60_000)
    });
    let wait = rig.progress().next_try.unwrap() - now();
    (rig, wait)
}

fn until(retry_after: &'static str, date: Option<&'static str>) -> Fault {
    Fault::BusyUntil { retry_after, date }
}

#[test]
fn the_box_waits_as_many_seconds_as_it_is_asked_to_but_not_for_days() {
    let (rig, wait) = asked_by(until("120", None));
    assert!((110_000..=121_000).contains(&wait), "{wait} ms");
    assert_eq!((rig.centre.shown(), rig.progress().failures), (1, 1));
    let (_rig, wait) = asked_by(until("999999", None));
    assert!((HOUR - 60_000..=HOUR + 1_000).contains(&wait), "{wait} ms");
}

#[test]
fn a_date_is_from_the_servers_own_clock_whatever_the_boxs_says() {
    let fault = until(
        "Tue, 24 Nov 2020 02:10:00 GMT",
        Some("Tue, 24 Nov 2020 02:00:00 GMT"),
    );
    let (rig, wait) = asked_by(fault);
    assert!((590_000..=601_000).contains(&wait), "{wait} ms");
    let warnings = rig.progress().warnings;
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("days ahead of the service centre's")),
        "{warnings:?}"
    );
}

#[test]
fn an_alert_that_comes_meanwhile_does_not_wait_so_long_and_a_routine_report_does() {
    let (rig, _) = asked_by(until("3600", None));
    rig.post(&Plan {
        start: 2,
        ..plan("a", 1)
    });
    wait_until("both wait", || rig.waiting() == 2);
    assert_eq!(rig.centre.shown(), 1, "a routine report waits");
    let alert = Plan {
        alert_every: Some(1),
        ..plan("b", 1)
    };
    rig.post(&alert);
    wait_until("the alert was tried", || rig.centre.shown() == 2);
    let posts = rig.centre.posts();
    assert_eq!(posts[1].ids, ["b-1"]);
    // It was answered like the others: now it waits as they do, for the next one.
    wait_until("the box waits again", || {
        rig.progress().next_try.is_some_and(|at| at > now() + 60_000)
    });
    rig.centre.fault(None);
    rig.post(&Plan { start: 2, ..alert });
    assert_eq!(rig.delivered(4), ["b-1", "b-2", "a-1", "a-2"]);
}

#[test]
fn an_answer_that_is_none_of_the_protocols_says_what_to_do() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::Status(302)));
    rig.post(&plan("a", 1));
    for (status, words) in [
        (302, "sends the box elsewhere, which it does not follow"),
        (
            403,
            "does not let this box in: is its device.crt registered there? (HTTP 403)",
        ),
        (404, "is url in site.toml the right one? (HTTP 404)"),
        (502, "is not reached by what stands before it (HTTP 502)"),
    ] {
        rig.centre.fault(Some(Fault::Status(status)));
        rig.expect_trouble(words);
    }
    rig.centre.fault(None);
    assert_eq!(rig.delivered(1), ["a-1"]);
    wait_until("the trouble is over", || rig.progress().trouble.is_none());
    let (last, at) = rig.progress().last_error.unwrap();
    assert!(last.contains("HTTP 502") && at > 0);
    assert_eq!((rig.progress().failures, rig.progress().next_try), (0, None));
}

#[test]
fn while_a_backlog_drains_an_alert_waits_for_the_post_in_flight_at_most() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    // A backlog of some ten seconds, in small batches: it outlasts the test, however slow the machine is.
    rig.start(|config| config.rate_limit = Some("200 kbit/s".parse().unwrap()));
    rig.post(&Plan {
        noise: 3000,
        ..plan("a", 100)
    });
    rig.centre.fault(Some(Fault::LargerThan(8000)));
    wait_until("the backlog drains", || rig.progress().delivered > 0);
    rig.post(&Plan {
        alert_every: Some(1),
        ..plan("b", 1)
    });
    let before = rig.centre.posts().len();
    let place = || rig.centre.posts().iter().position(|post| post.ids == ["b-1"]);
    wait_until("the alert is there", || place().is_some());
    let at = place().unwrap();
    assert!(at <= before + 1, "{before} posts were answered, then {at}");
    assert!(rig.waiting() > 0, "a backlog was left behind it");
}
