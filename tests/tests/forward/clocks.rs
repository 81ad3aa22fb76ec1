//! Certificates that are over or still to come, on either side, and clocks that are wrong: said as what they are.

use std::net::TcpListener;

use rap_tests::centre::{Centre, Config, Fault};
use rap_tests::keys::{FUTURE, PAST, Role};

use super::rig::*;

fn box_with(role: Role, days: rap_tests::keys::Days) -> Rig {
    let mut rig = Rig::with_keys(|family, directory| family.issue(directory, role, Some(days)).unwrap());
    rig.start(|_| {});
    rig.post(&plan("a", 1));
    rig
}

#[test]
fn the_centres_certificate_is_over_or_the_boxs_clock_is_wrong() {
    let rig = box_with(Role::Centre, PAST);
    rig.expect_trouble(
        "the service centre's certificate is refused: it expired on 2020-01-01T00:00:00Z by the box's clock, which says",
    );
    rig.expect_trouble(
        "if that is today's date, the service centre needs a new one, else the box's clock is wrong",
    );
    assert_eq!(rig.waiting(), 1);
}

#[test]
fn the_centres_certificate_is_still_to_come_or_the_boxs_clock_is_behind() {
    let rig = box_with(Role::Centre, FUTURE);
    rig.expect_trouble(
        "the service centre's certificate is refused: it is valid only from 2090-01-01T00:00:00Z on",
    );
    rig.expect_trouble("probably the box's clock is behind");
}

#[test]
fn the_boxs_own_certificate_is_over_said_before_and_when_it_is_refused() {
    let rig = box_with(Role::Device, PAST);
    rig.expect_trouble(
        "the service centre refuses this box's certificate: device.crt expired on 2020-01-01T00:00:00Z: the box needs \
         a new one",
    );
    let warnings = rig.progress().warnings;
    assert!(
        warnings[0].starts_with("device.crt expired on 2020-01-01T00:00:00Z by the box's clock"),
        "{warnings:?}"
    );
    assert!(!lines_with("device.crt expired on 2020-01-01T00:00:00Z by the box's clock").is_empty());
}

#[test]
fn the_boxs_own_certificate_is_still_to_come() {
    let rig = box_with(Role::Device, FUTURE);
    rig.expect_trouble(
        "refuses this box's certificate: device.crt is valid only from 2090-01-01T00:00:00Z on",
    );
    let warnings = rig.progress().warnings;
    assert!(warnings[0].contains("is the clock right?"), "{warnings:?}");
}

#[test]
fn a_clock_that_the_centre_contradicts_is_what_is_wrong() {
    let mut rig = Rig::started();
    rig.centre
        .fault(Some(Fault::Date("Mon, 01 Jul 2019 12:00:00 GMT")));
    rig.post(&plan("a", 1));
    wait_until("the clocks' difference is known", || {
        rig.progress()
            .warnings
            .iter()
            .any(|warning| warning.contains("days ahead of the service centre's"))
    });
    rig.delivered(1);
    // The centre comes back with a certificate that is valid by its own clock.
    let address = rig.centre.address();
    rig.family.issue(rig.path(), Role::Centre, Some(PAST)).unwrap();
    rig.centre = Centre::quiet(rig.path(), &rig.path().join("other.db")).unwrap();
    let socket = || TcpListener::bind(address).ok();
    let mut bound = None;
    wait_until("the address is free", || {
        bound = socket();
        bound.is_some()
    });
    rig.centre = Centre::start(Config {
        socket: bound.unwrap(),
        tls: rig.path().to_owned(),
        database: rig.path().join("centre.db"),
        on_arrival: Box::new(|_| {}),
        on_refusal: Box::new(|_, _| {}),
    })
    .unwrap();
    rig.post(&rap_tests::instrument::Plan {
        start: 2,
        ..plan("a", 1)
    });
    rig.expect_trouble("by the service centre's own it did not: the box's clock is wrong");
}
