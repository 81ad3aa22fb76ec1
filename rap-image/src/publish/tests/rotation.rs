//! New roots: boxes that know an old one go on at every moment, also over two at once.

use super::*;
use crate::keys::{Rotation, rotate};

/// A desk with keys of its own, to replace them.
pub(super) fn desk() -> Desk {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    write_development(&keys, false, &[]).unwrap();
    Desk { place, keys }
}

/// Replaces these keys by new ones.
pub(super) fn replace(desk: &Desk, names: &[&str]) {
    let rotation = Rotation {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        with: None,
        days: 1000,
        now: Timestamp::now(),
    };
    assert!(rotate(&desk.keys, &rotation, &unneeded()).unwrap().is_complete());
}

#[test]
fn two_roots_come_at_once_and_no_box_is_left_behind_at_any_moment() {
    let desk = desk();
    let first = std::fs::read(desk.keys.join("root.json")).unwrap();
    desk.publish(desk.image("1.0.0"));
    replace(&desk, &["update-online"]);
    replace(&desk, &["update-root-1", "update-root-3"]);
    let now = desk.order(desk.image("1.0.0")).now;
    for left in 0.. {
        let here = tempfile::tempdir().unwrap();
        super::cuts::copy(&desk.repository(), here.path());
        let done = {
            let mut place = Place::take(here.path()).unwrap();
            place.left = Some(left);
            refresh_in(
                &mut place,
                &desk.keys,
                (now, Expiry::default(), false),
                &unneeded(),
                &|_| (),
            )
            .is_ok()
        };
        found(here.path(), &first).unwrap_or_else(|e| panic!("after {left} operations: {e}"));
        refresh(
            here.path(),
            &desk.keys,
            now,
            Expiry::default(),
            false,
            &unneeded(),
            &|_| (),
        )
        .unwrap();
        found(here.path(), &first).unwrap();
        if done {
            assert!(left > 20);
            assert!(here.path().join("metadata/3.root.json").exists());
            break;
        }
    }
}

#[test]
fn an_image_that_knows_an_older_root_can_still_be_published_and_a_key_that_is_gone_is_not_needed() {
    let desk = desk();
    let first = std::fs::read(desk.keys.join("root.json")).unwrap();
    let old = desk.image("1.0.0");
    desk.publish(desk.image("0.9.0"));
    replace(&desk, &["update-online"]);
    std::fs::remove_dir_all(desk.keys.join("retired")).unwrap();
    desk.publish(old);
    let manifest = found(&desk.repository(), &first).unwrap();
    assert_eq!((manifest.number, manifest.version.as_str()), (2, "1.0.0"));
    // Older keys than the repository's are refused.
    let keys = tempfile::tempdir().unwrap();
    for name in ["update-online.pub", "update-online.key"] {
        std::fs::copy(desk.keys.join(name), keys.path().join(name)).unwrap();
    }
    std::fs::write(keys.path().join("root.json"), &first).unwrap();
    let mut order = desk.order(desk.image("1.2.0"));
    order.keys = keys.path().to_owned();
    let error = publish(&order, None, &unneeded(), &|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::OlderKeys {
                repository: 2,
                keys: 1
            }
        ),
        "{error}"
    );
}

#[test]
fn a_root_between_two_cannot_be_left_out() {
    let desk = desk();
    desk.publish(desk.image("1.0.0"));
    replace(&desk, &["update-online"]);
    replace(&desk, &[]);
    std::fs::remove_file(desk.keys.join("roots/2.root.json")).unwrap();
    let error = publish(&desk.order(desk.image("2.0.0")), None, &unneeded(), &|_| ()).unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("roots/2.root.json"));
}

#[test]
fn keys_for_releases_publish_no_image_for_development() {
    use crate::keys::{Release, write_release};
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    let two = std::num::NonZeroU64::new(2).unwrap();
    let release = Release {
        owner: "Example".to_owned(),
        roots: two,
        threshold: two,
        with: None,
        days: 100,
        now: Timestamp::now(),
    };
    let phrase = Passphrase::known("correct horse battery");
    write_release(&keys, &release, &phrase).unwrap();
    let development = Desk::new();
    let refused = |image: Input| {
        let mut order = development.order(image);
        order.keys.clone_from(&keys);
        publish(&order, None, &phrase, &|_| ()).unwrap_err()
    };
    let image = development.image_with("1", |with| with.info.development = true);
    assert!(matches!(refused(image), PublishError::Development(_)));
    let image = development.image("2");
    let error = refused(image.clone());
    assert!(
        matches!(&error, PublishError::DevelopmentKey(_, name) if name == "DEVELOPMENT secure-boot-db"),
        "{error}"
    );
    // Unsigned, and still with the root of development.
    let signed = std::fs::read(image.path.join("rap.efi")).unwrap();
    let program = crate::uki::Program::parse(&signed).unwrap();
    let mut unsigned = signed[..signed.len() - program.signature_bytes().len()].to_vec();
    let entry = program.security_entry();
    unsigned[entry..entry + 8].fill(0);
    put(&image.path, &unsigned);
    let error = refused(image);
    assert!(
        matches!(&error, PublishError::DevelopmentKey(_, what) if what == "the root in it"),
        "{error}"
    );
}
