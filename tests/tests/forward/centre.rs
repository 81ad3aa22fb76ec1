//! A service centre that refuses, lies, or forgets to answer.

use rap_tests::centre::Fault;
use rap_tests::instrument::{Agent, Target};
use rap_tests::keys;
use serde_json::json;

use super::rig::*;

#[test]
fn the_box_refuses_a_centre_of_another_ca_and_says_so_once() {
    let mut rig = Rig::new();
    let other = tempfile::tempdir().unwrap();
    keys::write(other.path()).unwrap();
    std::fs::copy(
        other.path().join("centre-ca.crt"),
        rig.path().join("centre-ca.crt"),
    )
    .unwrap();
    rig.start(|_| {});
    let plain = Agent::new(&Target {
        url: format!("http://{}", rig.address(1)),
        ca: None,
        server_name: None,
    });
    plain
        .unwrap()
        .run(&plan("a", 3), &rig.path().join("acked"))
        .unwrap();
    wait_until("the centre was tried a few times", || {
        rig.centre.refusals().len() >= 4
    });
    let said = lines_with("certificate is refused");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(
        said[0],
        "not delivering: the service centre's certificate is refused: it was not issued by the CA in centre-ca.crt; \
         reports are kept and sent when it works again"
    );
    assert_eq!(rig.waiting(), 3);
    assert_eq!(rig.exchanged(), None, "a stranger's answer confirms no network");
    assert!(rig.centre.store().unwrap().arrivals().unwrap().is_empty());
}

#[test]
fn the_centre_refuses_a_box_of_another_ca_and_both_say_so() {
    let mut rig = Rig::new();
    let other = tempfile::tempdir().unwrap();
    keys::write(other.path()).unwrap();
    for name in ["device.crt", "device.key"] {
        std::fs::copy(other.path().join(name), rig.path().join(name)).unwrap();
    }
    rig.start(|_| {});
    rig.post(&plan("a", 1));
    wait_until("the box was refused a few times", || {
        rig.centre.refusals().len() >= 4
    });
    wait_until("the box says so", || {
        !lines_with("refuses this box's certificate").is_empty()
    });
    let said = lines_with("refuses this box's certificate");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("its CA did not issue device.crt"), "{said:?}");
    assert!(rig.centre.refusals()[0].contains("its client certificate is not ours"));
}

#[test]
fn the_centre_refuses_a_client_without_a_certificate() {
    let rig = Rig::new();
    let target = Target {
        url: rig.centre.url(),
        ca: Some(rig.path().join("centre-ca.crt")),
        server_name: None,
    };
    assert!(Agent::new(&target).unwrap().post(&json!({})).is_err());
    wait_until("the centre says so", || !rig.centre.refusals().is_empty());
    assert_eq!(
        rig.centre.refusals(),
        ["refused 127.0.0.1: it has no client certificate"]
    );
}

#[test]
fn a_captive_portals_200_is_not_a_receipt() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::CaptivePortal));
    rig.post(&plan("a", 5));
    wait_until("the portal answered three times", || rig.centre.shown() >= 3);
    assert_eq!(rig.waiting(), 5);
    let trouble = rig.forwarder.as_ref().unwrap().status().trouble.unwrap();
    assert!(trouble.contains("not a receipt"), "{trouble}");
    rig.centre.fault(None);
    assert_eq!(rig.delivered(5), ids("a", 5));
}

#[test]
fn a_reply_lost_after_the_commit_makes_duplicates_but_no_second_event() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::DropReply));
    rig.post(&plan("a", 5));
    wait_until("replies were dropped", || rig.centre.shown() >= 3);
    rig.centre.fault(None);
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(rig.delivered(5), ids("a", 5));
    assert!(rig.centre.store().unwrap().duplicates().unwrap() > 0);
}
