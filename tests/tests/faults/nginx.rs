//! The real nginx between the box and its service centre, and what it answers by itself.

use rap_tests::centre;
use rap_tests::fault::Fault;
use rap_tests::keys::{PAST, Role};
use rap_tests::nginx::{Limits, Setup};

use super::rig::*;

/// The box's reports arrive although nginx refuses some with `status`, which the box says in `words`; says how many.
fn limited(limits: Limits, status: u16, words: &str, posts: u64, reports: u64) -> Option<usize> {
    let rig = Rig::with_nginx(Setup::Http(limits))?.started();
    let mut instrument = rig.instrument(1);
    rig.front.set(Fault::Refuse).unwrap();
    for _ in 0..posts {
        instrument.post(false, reports, &rig.ledger);
    }
    instrument.post(true, 1, &rig.ledger);
    rig.front.set(Fault::Pass).unwrap();
    if !words.is_empty() {
        rig.expect_trouble(&[words]);
    }
    rig.expect_delivered(&[instrument.posted]);
    Some(rig.nginx.as_ref().unwrap().answered(status))
}

#[test]
fn a_413_makes_smaller_batches() {
    let limits = Limits {
        body: 6 * 1024,
        ..Limits::default()
    };
    if let Some(refused) = limited(limits, 413, "", 3, 100) {
        assert!(refused >= 2, "only {refused} batches were refused as too large");
    }
}

#[test]
fn more_requests_than_nginx_lets_through() {
    for status in [429, 503] {
        let limits = Limits {
            rate: Some((4, status)),
            ..Limits::default()
        };
        let words = format!("the service centre is busy (HTTP {status})");
        if let Some(refused) = limited(limits, status, &words, 10, 100) {
            assert!(refused >= 2, "only {refused} requests were refused");
        }
    }
}

/// What nginx says of a centre that is not there, silent, or broken; each ends with the fault.
#[test]
fn a_centre_that_nginx_cannot_reach() {
    let Some(rig) = Rig::with_nginx(http()) else {
        return;
    };
    let rig = rig.started();
    let behind = rig.behind.as_ref().unwrap();
    let mut instrument = rig.instrument(1);
    for (fault, status) in [
        (Fault::Refuse, 502),
        (Fault::Stall { up: 0 }, 504),
        (Fault::Swallow, 504),
        (Fault::HalfClose { after: 0 }, 502),
    ] {
        behind.set(fault).unwrap();
        instrument.post(false, 30, &rig.ledger);
        instrument.post(true, 1, &rig.ledger);
        rig.expect_trouble(&[&format!(
            "is not reached by what stands before it (HTTP {status})"
        )]);
        assert!(rig.waiting() > 0, "{fault:?}");
        behind.set(Fault::Pass).unwrap();
        rig.expect_delivered(std::slice::from_ref(&instrument.posted));
        wait_until("the trouble is over", || rig.trouble().is_none());
    }
    let store = rig.centre().store().unwrap();
    assert!(
        store.duplicates().unwrap() > 0,
        "no answer was lost after its commit"
    );
}

/// Over TLS and with the right certificate; and yet it is not the service centre that answers.
#[test]
fn a_200_that_is_no_receipt() {
    let Some(rig) = Rig::with_nginx(http()) else {
        return;
    };
    let rig = rig.started();
    let mut instrument = rig.instrument(1);
    rig.centre().fault(Some(centre::Fault::CaptivePortal));
    instrument.post(false, 30, &rig.ledger);
    instrument.post(true, 1, &rig.ledger);
    rig.expect_trouble(&["its answer is not a receipt (a captive portal?)"]);
    wait_until("the portal answered three times", || rig.centre().shown() >= 3);
    assert_eq!((rig.waiting(), rig.ledger.batches()), (31, 0));
    rig.centre().fault(None);
    rig.expect_delivered(&[instrument.posted]);
}

#[test]
fn nginxs_certificate_has_expired() {
    let Some(mut rig) = Rig::with_nginx(http()) else {
        return;
    };
    rig.family.issue(rig.path(), Role::Centre, Some(PAST)).unwrap();
    rig.restart_nginx(http());
    rig.start(16);
    let mut instrument = rig.instrument(1);
    instrument.post(false, 10, &rig.ledger);
    rig.expect_trouble(&["the service centre's certificate is refused: it expired on 2020-01-01"]);
    rig.family.issue(rig.path(), Role::Centre, None).unwrap();
    rig.restart_nginx(http());
    rig.expect_delivered(&[instrument.posted]);
}

/// nginx ends the handshake as if all were well, and then answers each request with 400 and a page: no report is wrong,
/// and none is given up.
#[test]
fn nginx_refuses_the_boxs_certificate() {
    let Some(mut rig) = Rig::with_nginx(http()) else {
        return;
    };
    // nginx keeps a good one towards the centre.
    rig.family.issue(rig.path(), Role::Device, Some(PAST)).unwrap();
    rig.start(16);
    let mut instrument = rig.instrument(1);
    instrument.post(false, 10, &rig.ledger);
    instrument.post(true, 3, &rig.ledger);
    wait_until("nginx refused thirty requests", || {
        rig.nginx.as_ref().unwrap().answered(400) >= 30
    });
    rig.expect_trouble(&["the service centre refuses this box's certificate"]);
    assert_eq!(
        (rig.waiting(), rig.ledger.batches()),
        (13, 0),
        "reports were given up"
    );
    rig.family.issue(rig.path(), Role::Device, None).unwrap();
    rig.start(16);
    rig.expect_delivered(&[instrument.posted]);
}

#[test]
fn nginx_that_only_passes_the_bytes_on() {
    let Some(rig) = Rig::with_nginx(Setup::Stream) else {
        return;
    };
    let rig = rig.started();
    let mut instrument = rig.instrument(1);
    instrument.post(false, 100, &rig.ledger);
    rig.expect_delivered(std::slice::from_ref(&instrument.posted));
    rig.behind.as_ref().unwrap().set(Fault::Refuse).unwrap();
    instrument.post(false, 10, &rig.ledger);
    instrument.post(true, 1, &rig.ledger);
    rig.expect_trouble(&["broke off"]);
    rig.behind.as_ref().unwrap().set(Fault::Pass).unwrap();
    rig.expect_delivered(&[instrument.posted]);
}

/// A restart of nginx breaks every connection, idle ones too.
#[test]
fn nginx_restarts_under_load() {
    let Some(mut rig) = Rig::with_nginx(http()) else {
        return;
    };
    rig.start(16);
    let mut instrument = rig.instrument(1);
    for _ in 0..4 {
        instrument.post(false, 50, &rig.ledger);
        wait_until("something arrives", || rig.ledger.batches() > 0);
        rig.restart_nginx(http());
        instrument.post(true, 1, &rig.ledger);
    }
    rig.expect_delivered(&[instrument.posted]);
}
