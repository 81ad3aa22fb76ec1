//! A certificate that has run out or is not valid yet, on either side: said as what it is, nothing lost, and delivery
//! goes on with the right one.

use rap_tests::keys::{Days, FUTURE, PAST, Role};

use super::rig::*;

fn centre_has_one_that(days: Days, words: &str) {
    let mut rig = Rig::direct();
    rig.family.issue(rig.path(), Role::Centre, Some(days)).unwrap();
    rig.restart_centre();
    rig.start(16);
    let mut instrument = rig.instrument(1);
    instrument.post(false, 10, &rig.ledger);
    instrument.post(true, 1, &rig.ledger);
    rig.expect_trouble(&[words]);
    assert_eq!((rig.waiting(), rig.ledger.batches()), (11, 0));
    // The box goes on as it is; only the centre has got another certificate.
    rig.family.issue(rig.path(), Role::Centre, None).unwrap();
    rig.restart_centre();
    rig.expect_delivered(&[instrument.posted]);
    assert_eq!(rig.trouble(), None);
}

fn box_has_one_that(days: Days, words: &str) {
    let mut rig = Rig::direct();
    rig.family.issue(rig.path(), Role::Device, Some(days)).unwrap();
    rig.start(16);
    let mut instrument = rig.instrument(1);
    instrument.post(false, 10, &rig.ledger);
    instrument.post(true, 1, &rig.ledger);
    rig.expect_trouble(&[words]);
    assert_eq!((rig.waiting(), rig.ledger.batches()), (11, 0));
    rig.family.issue(rig.path(), Role::Device, None).unwrap();
    rig.start(16);
    rig.expect_delivered(&[instrument.posted]);
    assert_eq!(rig.trouble(), None);
}

#[test]
fn the_centres_has_expired() {
    centre_has_one_that(
        PAST,
        "the service centre's certificate is refused: it expired on 2020-01-01",
    );
}

#[test]
fn the_centres_is_not_valid_yet() {
    centre_has_one_that(
        FUTURE,
        "the service centre's certificate is refused: it is valid only from 2090-01-01T",
    );
}

#[test]
fn the_boxs_has_expired() {
    box_has_one_that(PAST, "device.crt expired on 2020-01-01");
}

/// TLS has no alert of its own for it (RFC 8446 §6.2).
#[test]
fn the_boxs_is_not_valid_yet() {
    box_has_one_that(FUTURE, "device.crt is valid only from 2090-01-01T");
}
