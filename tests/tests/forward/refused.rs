//! A service centre that refuses some reports, or all of them, or how they come.

use rap_core::forward::Config;
use rap_core::forward::log::{DeadLetter, Disk, Log};
use rap_core::forward::uplink::encoding::Encoding;
use rap_tests::centre::{Arrival, Fault};
use rap_tests::instrument::Plan;

use super::rig::*;

fn named(config: &mut Config) {
    config.source = Some("/lab".to_owned());
}

/// A box that has `plan` in its log, and a centre that takes nothing yet.
fn with_backlog(plan: &Plan) -> Rig {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(named);
    rig.post(plan);
    rig
}

/// The instrument's reports and the box's own, at the centre.
fn arrived(rig: &Rig) -> (Vec<String>, Vec<Arrival>) {
    let store = rig.centre.store().unwrap();
    assert_eq!(store.order_errors().unwrap(), Vec::<String>::new());
    let (own, others): (Vec<_>, _) = store
        .events()
        .unwrap()
        .into_iter()
        .partition(|e| e.source == "/lab");
    (others.into_iter().map(|event| event.id).collect(), own)
}

/// What the log holds as dead letters, once nothing writes to it any more.
fn letters(rig: &mut Rig) -> Vec<DeadLetter> {
    rig.forwarder = None;
    let directory = rig.path().join("log");
    let config = config(rig.path(), rig.centre.url(), "127.0.0.1:0".parse().unwrap());
    let mut log = Log::open(Box::new(Disk::new(&directory).unwrap()), config.log).unwrap();
    log.dead_letters(0, 100).unwrap()
}

fn without(all: Vec<String>, id: &str) -> Vec<String> {
    all.into_iter().filter(|other| other != id).collect()
}

#[test]
fn one_refused_report_of_many_is_set_aside_and_told_and_the_others_are_delivered() {
    let mut rig = with_backlog(&plan("a", 60));
    rig.centre.fault(Some(Fault::Poison("a-7")));
    wait_until("all but the refused one are delivered", || rig.waiting() == 0);
    assert_eq!(rig.progress().refused, 1);
    let (others, own) = arrived(&rig);
    assert_eq!(others, without(ids("a", 60), "a-7"));
    let [notice] = &own[..] else { panic!("{own:?}") };
    assert_eq!(
        (notice.lane.as_str(), &notice.event["type"]),
        ("routine", &"rap.report.refused".into())
    );
    let told = serde_json::json!({"count": 1, "reports": [{"source": "/lab/port1", "id": "a-7", "lane": "routine",
        "number": 7, "reason": "HTTP 422: a-7 is poison"}]});
    assert_eq!(notice.event["data"], told);
    wait_until("the trouble is over", || rig.progress().trouble.is_none());
    assert!(rig.progress().last_error.is_some());
    let letters = letters(&mut rig);
    let found: Vec<_> = letters
        .iter()
        .map(|l| (l.record.id.as_str(), l.reason.as_str()))
        .collect();
    assert_eq!(found, [("a-7", "HTTP 422: a-7 is poison")]);
}

/// Lane and type of the box's own events.
fn kinds(own: &[Arrival]) -> Vec<(&str, &str)> {
    own.iter()
        .map(|event| (event.lane.as_str(), event.event["type"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_very_first_report_is_set_aside_after_the_box_was_heard_in_the_other_lane() {
    for (alert_every, lane, other) in [(None, "routine", "alert"), (Some(1), "alert", "routine")] {
        let mut rig = Rig::new();
        rig.centre.fault(Some(Fault::Poison("a-1")));
        rig.start(named);
        rig.post(&Plan {
            alert_every,
            ..plan("a", 1)
        });
        wait_until("it is set aside", || rig.progress().refused == 1);
        wait_until("nothing waits", || rig.waiting() == 0);
        let (others, own) = arrived(&rig);
        assert!(others.is_empty());
        assert_eq!(
            kinds(&own),
            [(other, "rap.report.doubtful"), ("routine", "rap.report.refused")]
        );
        let doubt = &own[0].event["data"]["reports"][0];
        assert_eq!((&doubt["id"], &doubt["lane"]), (&"a-1".into(), &lane.into()));
    }
}

#[test]
fn a_lone_one_is_set_aside_after_what_was_taken_before_was_taken_again() {
    let rig = Rig::started();
    rig.post(&plan("a", 1));
    rig.delivered(1);
    rig.centre.fault(Some(Fault::Poison("b-1")));
    rig.post(&plan("b", 1));
    wait_until("it is set aside", || {
        rig.progress().refused == 1 && rig.waiting() == 0
    });
    let posts = rig.centre.posts();
    let sent: Vec<_> = posts
        .iter()
        .map(|post| (post.ids[0].as_str(), post.status))
        .collect();
    let (taken, refused) = (Some(200), Some(422));
    assert_eq!(
        sent,
        [("a-1", taken), ("b-1", refused), ("a-1", taken), ("b-1", refused)]
    );
    assert_eq!(rig.centre.store().unwrap().duplicates().unwrap(), 1);
}

#[test]
fn where_nothing_was_ever_taken_it_waits_and_the_other_lane_goes_on() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Poison("a-1")));
    // Without a name of its own the box says nothing of itself.
    rig.start(|_| {});
    let alert = Plan {
        alert_every: Some(1),
        ..plan("a", 1)
    };
    rig.post(&alert);
    rig.expect_trouble(
        "the service centre refuses report a-1 of /lab/port1 (HTTP 422: a-1 is poison), and has taken no other since \
         the forwarder started",
    );
    let asked = rig.centre.shown();
    wait_until("it is asked about again", || rig.centre.shown() > asked + 1);
    assert_eq!((rig.waiting(), rig.progress().refused), (1, 0));
    // What the routine lane delivers shows that it is not the centre.
    rig.post(&plan("b", 1));
    wait_until("the alert is set aside", || rig.progress().refused == 1);
    rig.post(&Plan { start: 2, ..alert });
    wait_until("nothing waits", || rig.waiting() == 0);
    assert_eq!(arrived(&rig).0, ["b-1", "a-2"]);
}

#[test]
fn a_centre_that_refuses_everything_takes_nothing_away() {
    let mut rig = Rig::new();
    rig.start(named);
    rig.post(&plan("z", 1));
    rig.delivered(1);
    rig.centre.fault(Some(Fault::Status(400)));
    rig.post(&plan("a", 40));
    rig.expect_trouble(
        "the service centre refuses report a-1 of /lab/port1 (HTTP 400: as the test wants it), and now even what it \
         took before",
    );
    for round in 1..4 {
        let asked = rig.centre.shown();
        wait_until("it is asked about again", || rig.centre.shown() > asked + 10);
        assert_eq!((rig.waiting(), rig.progress().refused), (40, 0), "round {round}");
    }
    rig.centre.fault(None);
    wait_until("nothing waits", || rig.waiting() == 0);
    let (others, own) = arrived(&rig);
    assert_eq!(others, [ids("z", 1), ids("a", 40)].concat());
    assert!(own.is_empty(), "{own:?}");
}

#[test]
fn a_centre_that_refused_everything_from_the_start_takes_nothing_away() {
    let rig = with_backlog(&plan("a", 40));
    rig.centre.fault(Some(Fault::Status(400)));
    rig.expect_trouble("and has taken no other since the forwarder started");
    let asked = rig.centre.shown();
    wait_until("it is asked about again", || rig.centre.shown() > asked + 10);
    // With the box's own word of it.
    assert_eq!((rig.waiting(), rig.progress().refused), (41, 0));
    rig.centre.fault(None);
    wait_until("nothing waits", || rig.waiting() == 0);
    let (others, own) = arrived(&rig);
    assert_eq!(others, ids("a", 40));
    assert_eq!(kinds(&own), [("alert", "rap.report.doubtful")]);
}

#[test]
fn batches_that_are_too_large_become_smaller_and_one_that_always_is_is_set_aside() {
    let mut rig = with_backlog(&Plan {
        noise: 400,
        ..plan("a", 40)
    });
    rig.post(&Plan {
        noise: 4000,
        ..plan("big", 1)
    });
    rig.post(&plan("b", 5));
    rig.centre.fault(Some(Fault::LargerThan(2000)));
    wait_until("nothing waits", || rig.waiting() == 0);
    let (others, _) = arrived(&rig);
    assert_eq!(others, [ids("a", 40), ids("b", 5)].concat());
    let posts = rig.centre.posts();
    let many = posts
        .iter()
        .filter(|post| post.status == Some(413) && post.ids.len() > 1)
        .count();
    assert!(many <= 8, "{many} batches were sent in vain");
    let letters = letters(&mut rig);
    let found: Vec<_> = letters
        .iter()
        .map(|l| (l.record.id.as_str(), l.reason.as_str()))
        .collect();
    assert_eq!(found, [("big-1", "HTTP 413: too large")]);
}

#[test]
fn after_a_415_gzip_is_sent_and_that_is_remembered() {
    let rig = with_backlog(&plan("a", 3));
    rig.centre.fault(Some(Fault::NoZstd(None)));
    assert_eq!(rig.delivered(3), ids("a", 3));
    rig.post(&plan("b", 3));
    rig.delivered(6);
    let posts = rig.centre.posts();
    let refused: Vec<_> = posts.iter().filter(|post| post.status == Some(415)).collect();
    assert_eq!(refused.len(), 1, "{posts:?}");
    let taken = posts.iter().filter(|post| post.status == Some(200));
    assert!(taken.clone().count() >= 2 && taken.clone().all(|post| post.encoding == "gzip"));
    assert_eq!(rig.progress().encoding, Encoding::Gzip);
}

#[test]
fn the_server_says_what_it_takes_instead() {
    let rig = with_backlog(&plan("a", 3));
    rig.centre.fault(Some(Fault::NoZstd(Some("br, identity"))));
    assert_eq!(rig.delivered(3), ids("a", 3));
    assert_eq!(rig.progress().encoding, Encoding::Identity);
}

#[test]
fn a_server_that_takes_no_encoding_is_trouble_until_it_does() {
    let rig = with_backlog(&plan("a", 3));
    rig.centre.fault(Some(Fault::Status(415)));
    rig.expect_trouble("takes neither zstd nor gzip (HTTP 415)");
    rig.centre.fault(None);
    assert_eq!(rig.delivered(3), ids("a", 3));
}
