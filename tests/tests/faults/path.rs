//! The connection to the service centre breaks off, falls silent, or loses what comes back.

use std::time::Duration;

use rap_tests::fault::{Fault, Way};

use super::rig::*;

const TIMELY: &str = "does not answer in time";
const BROKEN: &str = "the connection to the service centre broke off";

/// Shows `fault` until it was shown `times` times and the box says `words`; then everything arrives.
fn story(fault: Fault, times: u64, words: &str) {
    let rig = Rig::direct().started();
    let mut instrument = rig.instrument(1);
    instrument.post(false, 30, &rig.ledger);
    rig.expect_delivered(std::slice::from_ref(&instrument.posted));
    rig.front.set(fault).unwrap();
    instrument.post(false, 30, &rig.ledger);
    instrument.post(true, 1, &rig.ledger);
    wait_until("the fault was shown so often", || {
        rig.front.counts().shown >= times
    });
    rig.expect_trouble(&[words]);
    assert!(rig.waiting() > 0);
    rig.front.set(Fault::Pass).unwrap();
    rig.expect_delivered(&[instrument.posted]);
    wait_until("the trouble is over", || rig.trouble().is_none());
}

#[test]
fn a_handshake_that_is_not_answered() {
    story(Fault::Stall { up: 0 }, 3, TIMELY);
}

#[test]
fn silence_after_the_handshake() {
    story(Fault::Stall { up: 2500 }, 3, TIMELY);
}

#[test]
fn an_answer_that_never_ends() {
    story(Fault::Trickle(Duration::from_millis(300)), 1, TIMELY);
}

#[test]
fn the_end_of_the_answer_before_its_begin() {
    story(Fault::HalfClose { after: 0 }, 3, BROKEN);
}

#[test]
fn a_handshake_cut_in_half() {
    story(Fault::HalfClose { after: 600 }, 3, BROKEN);
}

#[test]
fn nobody_listens() {
    let rig = Rig::direct().started();
    let mut instrument = rig.instrument(1);
    rig.front.set(Fault::Refuse).unwrap();
    instrument.post(false, 30, &rig.ledger);
    rig.expect_trouble(&["the service centre refuses the connection: nothing listens there"]);
    rig.front.set(Fault::Pass).unwrap();
    rig.expect_delivered(&[instrument.posted]);
}

/// The centre stores, and the box never hears of it.
#[test]
fn an_answer_lost_after_the_commit() {
    let rig = Rig::direct().started();
    let mut instrument = rig.instrument(1);
    rig.front.set(Fault::Swallow).unwrap();
    instrument.post(false, 30, &rig.ledger);
    for times in 1..=3 {
        wait_until("the answer was lost", || rig.front.counts().shown >= times);
        wait_until("the centre has stored it", || {
            rig.centre().store().unwrap().arrivals().unwrap().len() as u64 >= 30 * times
        });
        rig.front.cut();
    }
    rig.expect_trouble(&[BROKEN]);
    assert_eq!(rig.waiting(), 30, "forgotten without a receipt");
    rig.front.set(Fault::Pass).unwrap();
    rig.expect_delivered(&[instrument.posted]);
    assert!(rig.centre().store().unwrap().duplicates().unwrap() >= 60);
}

/// A reset behind the first byte, and behind each further so many, both ways: the first connection that carries
/// everything is the last one.
#[test]
fn a_reset_wherever_it_comes() {
    let rig = Rig::direct().started();
    let mut instrument = rig.instrument(1);
    for (way, stride) in [(Way::Up, 211), (Way::Down, 173)] {
        let reset = move |number| Fault::Reset {
            way,
            after: 1 + stride * number,
        };
        let taken = rig.front.counts().connections;
        rig.front.script(move |number| reset(number - taken)).unwrap();
        instrument.post(false, 20, &rig.ledger);
        wait_until("a connection carried everything", || rig.waiting() == 0);
        let shown = rig.front.counts().shown;
        // A handshake with two certificates and a batch are kilobytes up and down.
        assert!(shown >= 8, "only {shown} resets");
        rig.expect_delivered(std::slice::from_ref(&instrument.posted));
    }
}

/// What goes on for ever is not delivery: no fault makes the box forget.
#[test]
fn a_proxy_that_resets_everything_delivers_nothing() {
    let rig = Rig::direct().started();
    let mut instrument = rig.instrument(1);
    rig.front
        .set(Fault::Reset {
            way: Way::Down,
            after: 0,
        })
        .unwrap();
    instrument.post(false, 5, &rig.ledger);
    wait_until("ten connections were reset", || rig.front.counts().shown >= 10);
    assert_eq!(rig.waiting(), 5);
    assert_eq!(rig.ledger.batches(), 0);
    rig.expect_trouble(&[BROKEN]);
    rig.front.set(Fault::Pass).unwrap();
    rig.expect_delivered(&[instrument.posted]);
}
