//! Each attack that TUF names, with metadata made by python-tuf and by tough: refused in its own words, nothing changed on
//! the disk, and no harm left: the right repository is taken afterwards.

use rap_core::update::trust::{TrustError, Versions};

use super::maker;
use super::rig::{Rig, TODAY};

/// A box that has seen `second` is shown this repository.
fn show(name: &str, is_it: impl Fn(&TrustError) -> bool, words: &str) {
    maker::all()
        .into_iter()
        .for_each(|made| show_of(made, name, &is_it, words));
}

/// The same where only python-tuf can make the repository.
fn show_of_python(name: &str, is_it: impl Fn(&TrustError) -> bool, words: &str) {
    maker::python()
        .into_iter()
        .for_each(|made| show_of(made, name, &is_it, words));
}

fn show_of(made: &std::path::Path, name: &str, is_it: &dyn Fn(&TrustError) -> bool, words: &str) {
    let rig = Rig::new(made);
    assert_eq!(rig.check().unwrap().manifest.number, 2);
    rig.serve(name);
    let error = rig.expect_refused(words);
    assert!(is_it(&error), "{name} of {}: {error:?}", made.display());
    rig.serve("third");
    assert_eq!(rig.check().unwrap().versions.timestamp, 3);
}

#[test]
fn rollback_of_the_timestamp_the_snapshot_the_targets() {
    for (name, role) in [
        ("first", "timestamp"),
        ("rollback-snapshot", "snapshot"),
        ("rollback-targets", "targets"),
    ] {
        let is_it = |error: &TrustError| {
            matches!(
                error,
                TrustError::Rollback {
                    seen: 2,
                    offered: 1,
                    ..
                }
            )
        };
        show(
            name,
            is_it,
            &format!("rollback: the repository offers {role} version 1"),
        );
    }
}

#[test]
fn keys_of_somebody_else() {
    for (name, words) in [
        (
            "wrong-timestamp",
            "metadata/timestamp.json is signed by none of the keys that the trusted root names for timestamp",
        ),
        (
            "wrong-targets",
            "metadata/3.targets.json is signed by none of the keys that the trusted root names for targets",
        ),
        (
            "wrong-root",
            "metadata/2.root.json is signed by none of the keys that the trusted root names for root",
        ),
    ] {
        show(name, |error| matches!(error, TrustError::WrongKeys { .. }), words);
    }
}

#[test]
fn a_root_with_too_few_signatures() {
    let is_it = |error: &TrustError| {
        matches!(
            error,
            TrustError::UnderThreshold {
                valid: 1,
                threshold: 2,
                ..
            }
        )
    };
    show(
        "under-threshold",
        is_it,
        "metadata/2.root.json has 1 of the 2 signatures that root needs",
    );
}

#[test]
fn an_old_root_in_a_new_ones_place() {
    let is_it = |error: &TrustError| matches!(error, TrustError::RootOrder { found: 1, .. });
    show(
        "root-order",
        is_it,
        "metadata/2.root.json is version 1 of the root",
    );
}

#[test]
fn roots_that_changed_twice_are_followed_in_one_step_and_then_known() {
    for made in maker::all() {
        let mut rig = Rig::new(made);
        rig.check().unwrap();
        // The new timestamp's version begins anew: its key is another (§5.3.11).
        rig.serve("rotated");
        let trusted = rig.check().unwrap();
        let versions = Versions {
            root: 3,
            timestamp: 1,
            snapshot: 1,
            targets: 1,
        };
        assert_eq!(trusted.versions, versions);
        let asked = rig.server.asked();
        assert!(asked.contains(&"/metadata/3.root.json".to_owned()), "{asked:?}");
        // They are not asked for again.
        rig.check().unwrap();
        let asked = rig.server.asked();
        assert_eq!(asked[0], "/metadata/4.root.json", "{asked:?}");
        // Who hides them brings the old keys not back.
        rig.serve("third");
        let error =
            rig.expect_refused("signed by none of the keys that the trusted root names for timestamp");
        assert!(matches!(error, TrustError::WrongKeys { .. }));
        rig.floor = TODAY + 1;
        rig.serve("rotated");
        rig.check().unwrap();
    }
}

#[test]
fn rollback_is_seen_after_roots_changed() {
    // tough by itself, started from the image's root each time, forgets here what it has seen.
    for made in maker::all() {
        let rig = Rig::new(made);
        rig.serve("rotated");
        rig.check().unwrap();
        let before = rig.disk();
        rig.check().unwrap();
        assert_eq!(rig.disk(), before, "nothing new, and something was written");
    }
}

#[test]
fn a_new_root_behind_a_gap_is_not_reached() {
    show(
        "gap",
        |error| matches!(error, TrustError::WrongKeys { .. }),
        "metadata/timestamp.json is signed by none",
    );
}

#[test]
fn parts_that_do_not_belong_together() {
    for (name, file) in [
        ("mixed-snapshot", "3.snapshot.json"),
        ("mixed-targets", "3.targets.json"),
    ] {
        let is_it = |error: &TrustError| matches!(error, TrustError::MixAndMatch { .. });
        show(
            name,
            is_it,
            &format!("mix and match: metadata/{file} is rightly signed, but"),
        );
    }
}

#[test]
fn metadata_that_is_not_what_was_signed() {
    let is_it = |error: &TrustError| matches!(error, TrustError::WrongHash { .. });
    show(
        "damaged-snapshot",
        is_it,
        "metadata/3.snapshot.json is not what was signed: its SHA-256 is another",
    );
    let is_it = |error: &TrustError| matches!(error, TrustError::WrongLength { .. });
    show(
        "long-snapshot",
        is_it,
        "metadata/3.snapshot.json is not what was signed: it has",
    );
}

#[test]
fn names_of_targets_that_lead_elsewhere() {
    for number in 0..4 {
        let is_it = |error: &TrustError| matches!(error, TrustError::TargetName { .. });
        show_of_python(
            &format!("path-{number}"),
            is_it,
            "which could lead out of the repository",
        );
    }
}

#[test]
fn what_our_repositories_do_not_have() {
    let delegated = |error: &TrustError| matches!(error, TrustError::Delegated { .. });
    show_of_python("delegated", delegated, "this program follows no delegations");
    let unknown = |error: &TrustError| matches!(error, TrustError::UnknownKey { .. });
    show_of_python(
        "unknown-key",
        unknown,
        "metadata/2.root.json has a key of type ecdsa/ecdsa-sha2-nistp384, which this program cannot check",
    );
}

#[test]
fn nothing_for_this_box() {
    let none = |error: &TrustError| matches!(error, TrustError::NoRelease { .. });
    show("no-release", none, "the repository has no release for qemu");
    let other = |error: &TrustError| matches!(error, TrustError::Profile { .. });
    show("other-profile", other, "the release for qemu is one for other");
}

#[test]
fn a_root_in_the_image_that_cannot_be_used() {
    let made = maker::by_tough();
    let place = tempfile::tempdir().unwrap();
    let copy = |root: &[u8]| {
        std::fs::write(place.path().join("root.json"), root).unwrap();
        let second = place.path().join("second");
        std::fs::create_dir_all(second).unwrap();
        Rig::new(place.path())
    };
    copy(b"{}").expect_refused("the root in this image is no metadata this program reads");
    let root = std::fs::read_to_string(made.join("root.json")).unwrap();
    copy(root.replace("\"version\": 1", "\"version\": 2").as_bytes())
        .expect_refused("the root in this image is signed by none of the keys");
    copy(root.replacen("ed25519", "sphincs", 1).as_bytes())
        .expect_refused("the root in this image has a key of type");
}
