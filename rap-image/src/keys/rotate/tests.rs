//! Roots that follow each other, with keys in files, with programs, and with several people.

use std::num::NonZeroU64;

use super::*;
use crate::keys::{Kept, PrivateKeyError, Release, show, write_development, write_release};

const PHRASE: &str = "correct horse battery";

fn moment() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn rotation(names: &[&str]) -> Rotation {
    Rotation {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        with: None,
        days: 10,
        now: moment(),
    }
}

fn release(with: Option<PathBuf>) -> Release {
    Release {
        owner: "Example".to_owned(),
        roots: NonZeroU64::new(2).unwrap(),
        threshold: NonZeroU64::new(2).unwrap(),
        with,
        days: 10,
        now: moment(),
    }
}

fn development() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    write_development(&place.path().join("keys"), false, &[]).unwrap();
    place
}

#[test]
fn a_replaced_key_is_in_the_next_root_in_every_role_it_had() {
    let place = development();
    let keys = place.path().join("keys");
    let none = Passphrase::known("");
    let first = Root::in_keys(&keys).unwrap().unwrap();
    let old = std::fs::read(keys.join("update-online.key")).unwrap();
    let standing = rotate(&keys, &rotation(&["update-online", "update-root-1"]), &none).unwrap();
    assert!(standing.is_complete(), "{standing:?}");
    // Of the new root's three keys each signs; of the old one's, the two that stayed and the retired one.
    assert_eq!(
        (standing.version, standing.found, standing.found_before),
        (2, 3, 3)
    );
    let second = Root::in_keys(&keys).unwrap().unwrap();
    first.check_next(&second).unwrap();
    assert!(second.is_development());
    assert_eq!(
        std::fs::read(keys.join("retired/update-online-1.key")).unwrap(),
        old
    );
    assert_eq!(
        std::fs::read(keys.join("roots/1.root.json")).unwrap(),
        first.bytes()
    );
    let new = &public_keys(&keys).unwrap()["update-online"];
    for role in [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp] {
        assert_eq!(second.content().keys(role).collect::<Vec<_>>(), [new]);
    }
    assert_eq!(second.content().keys.len(), 4);
    // Nothing but the keys' directory is there, and the next one follows.
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    rotate(&keys, &rotation(&[]), &none).unwrap();
    let third = Root::in_keys(&keys).unwrap().unwrap();
    second.check_next(&third).unwrap();
    assert!(matches!(
        first.check_next(&third),
        Err(RootError::Gap { before: 1, found: 3 })
    ));
    let error = rotate(&keys, &rotation(&["device"]), &none).unwrap_err();
    assert!(
        matches!(&error, KeysError::NoKey(name) if name == "device"),
        "{error}"
    );
}

#[test]
fn a_key_that_is_not_its_public_halfs_signs_nothing() {
    let place = development();
    let keys = place.path().join("keys");
    std::fs::copy(keys.join("update-root-3.key"), keys.join("update-root-1.key")).unwrap();
    let error = rotate(&keys, &rotation(&[]), &Passphrase::known("")).unwrap_err();
    assert!(
        matches!(&error, KeysError::Private(PrivateKeyError::Pair(path)) if path.ends_with("update-root-1.key"))
    );
    assert_eq!(Root::in_keys(&keys).unwrap().unwrap().version(), 1);
}

#[test]
fn keys_for_releases_are_encrypted_and_the_set_says_so() {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    let standing = write_release(&keys, &release(None), &Passphrase::known(PHRASE)).unwrap();
    assert!(standing.is_complete(), "{standing:?}");
    let root = Root::in_keys(&keys).unwrap().unwrap();
    assert!(!root.is_development());
    let shown = show(&keys).unwrap();
    assert!(!shown.waiting && shown.roles.len() == 8);
    assert!(
        shown
            .roles
            .iter()
            .flat_map(|role| &role.keys)
            .all(|key| key.kept == Kept::Encrypted),
        "{shown}"
    );
    assert!(
        shown
            .to_string()
            .contains("updates: root         2 of 2: update-root-1 (encrypted)"),
        "{shown}"
    );
    let again = write_release(&keys, &release(None), &Passphrase::known(PHRASE)).unwrap_err();
    assert!(matches!(again, KeysError::Exists { .. }));
    let wrong = rotate(&keys, &rotation(&[]), &Passphrase::known("wrong horse battery")).unwrap_err();
    assert!(
        matches!(&wrong, KeysError::Private(PrivateKeyError::Encrypted(path, _)) if path.ends_with("update-root-1.key"))
    );
    let mut named = release(None);
    named.owner = "DEVELOPMENT x".to_owned();
    let error = write_release(&place.path().join("other"), &named, &Passphrase::known(PHRASE)).unwrap_err();
    assert!(matches!(error, KeysError::Owner));
}

#[test]
fn root_keys_sit_with_different_people() {
    let place = tempfile::tempdir().unwrap();
    let (keys, other) = (place.path().join("keys"), place.path().join("other"));
    let phrase = Passphrase::known(PHRASE);
    write_release(&keys, &release(None), &phrase).unwrap();
    // The second root key moves to somebody else.
    std::fs::create_dir(&other).unwrap();
    for kind in ["key", "pub"] {
        std::fs::copy(
            keys.join(format!("update-root-2.{kind}")),
            other.join(format!("update-root-2.{kind}")),
        )
        .unwrap();
    }
    std::fs::copy(keys.join(ROOT_FILE), other.join(ROOT_FILE)).unwrap();
    std::fs::remove_file(keys.join("update-root-2.key")).unwrap();
    let standing = rotate(&keys, &rotation(&["update-timestamp"]), &phrase).unwrap();
    assert_eq!(
        (standing.found, standing.wanted, standing.is_complete()),
        (1, 2, false)
    );
    assert_eq!(Root::in_keys(&keys).unwrap().unwrap().version(), 1);
    assert!(matches!(
        rotate(&keys, &rotation(&[]), &phrase),
        Err(KeysError::Waiting(_))
    ));
    let letter = place.path().join("letter.json");
    std::fs::copy(keys.join(NEXT_ROOT), &letter).unwrap();
    assert!(sign_root(&other, &letter, &phrase).unwrap().is_complete());
    std::fs::copy(&letter, keys.join(NEXT_ROOT)).unwrap();
    assert!(
        sign_root(&keys, &keys.join(NEXT_ROOT), &phrase)
            .unwrap()
            .is_complete()
    );
    assert_eq!(Root::in_keys(&keys).unwrap().unwrap().version(), 2);
    assert!(!keys.join(NEXT_ROOT).exists());
    let stranger = development();
    std::fs::remove_file(stranger.path().join("keys/root.json")).unwrap();
    let error = sign_root(&stranger.path().join("keys"), &letter, &phrase).unwrap_err();
    assert!(matches!(error, KeysError::NoneSigned(2)), "{error}");
}

#[test]
fn a_program_signs_in_a_keys_place_and_what_does_not_fit_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let with = place.path().join("with");
    std::fs::create_dir(&with).unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(with.join("update-root-1.pub"), pair.public_key_pem()).unwrap();
    // Its answer is that of another key: 64 bytes, and none of them right.
    std::fs::write(
        with.join("update-root-1.signer"),
        "/bin/sh\n-c\ncat >/dev/null; printf '%064d' 0",
    )
    .unwrap();
    let out = place.path().join("keys");
    let error = write_release(&out, &release(Some(with)), &Passphrase::known(PHRASE)).unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(
        text.contains("what the key update-root-1 signed does not fit its public key"),
        "{text}"
    );
    assert!(!out.exists());
}
