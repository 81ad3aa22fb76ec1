//! Neither side talks to a stranger, and each says so in one clear line.

use std::path::PathBuf;

use rap_tests::system::DELIVERY;

use crate::{booted_with, workspace};

/// The development identity with the files in `replaced` taken from another family of keys.
fn identity(replaced: &[&str]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let strangers = tempfile::tempdir().unwrap();
    rap_tests::keys::write(strangers.path()).unwrap();
    for name in rap_core::provision::IDENTITY_FILES {
        let family: PathBuf = if replaced.contains(&name) {
            strangers.path().to_owned()
        } else {
            workspace().join(rap_tests::system::KEYS)
        };
        std::fs::copy(family.join(name), place.path().join(name)).unwrap();
    }
    place
}

#[test]
fn the_centre_refuses_a_box_whose_certificate_it_did_not_issue() {
    let stranger = crate::system_with(|_| {}).map(|_| identity(&["device.crt", "device.key"]));
    let Some(stranger) = stranger else { return };
    let Some(mut system) = booted_with(|setup| setup.identity = stranger.path().to_owned()) else {
        return;
    };
    system.agents.post(&system.lab, 1, 1).unwrap();
    let line = system
        .machine
        .wait_for("the service centre refuses this box's certificate", DELIVERY);
    let line = line.unwrap_or_else(|error| panic!("{error}"));
    assert!(line.text.starts_with("rap forward:"), "{}", line.text);
    assert_eq!(system.centre.book().unwrap().arrivals().unwrap(), []);
}

#[test]
fn the_box_refuses_a_centre_with_a_wrong_authority() {
    let stranger = crate::system_with(|_| {}).map(|_| identity(&["centre-ca.crt"]));
    let Some(stranger) = stranger else { return };
    let Some(mut system) = booted_with(|setup| setup.identity = stranger.path().to_owned()) else {
        return;
    };
    system.agents.post(&system.lab, 1, 1).unwrap();
    let line = system
        .machine
        .wait_for("the service centre's certificate is refused", DELIVERY);
    let line = line.unwrap_or_else(|error| panic!("{error}"));
    assert!(line.text.starts_with("rap forward:"), "{}", line.text);
    assert_eq!(system.centre.book().unwrap().arrivals().unwrap(), []);
}
