//! Packages that are not what the lock says, by a store or a mirror that has the fault.

use crate::rig::{Outcome, Workshop};
use crate::testing::Server;

/// A small package of the image.
const NAME: &str = "nftables";

/// Takes [`NAME`] from the store, has a mirror serve `change` of it (nothing when `None`), and builds.
fn build_from_mirror(shop: &Workshop, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> Outcome {
    let package = shop.package(NAME);
    let mirror = Server::start();
    if let Some(served) = change(shop.take(&package.sha256)) {
        mirror.put(&format!("/debian/{}", package.path), &served);
    }
    let outcome = shop.run("build", &["--out", "out", "--mirror", &mirror.url("/debian")]);
    assert!(
        !shop.store.has(&package.sha256),
        "the store took it: {}",
        outcome.text
    );
    shop.expect_untouched();
    outcome
}

#[test]
fn a_package_with_a_wrong_hash_is_refused() {
    let Some(shop) = Workshop::open() else { return };
    let outcome = build_from_mirror(&shop, |mut content| {
        let middle = content.len() / 2;
        content[middle] ^= 1;
        Some(content)
    });
    outcome.expect_refused(&[
        &shop.package(NAME).path,
        &format!("expected {}", shop.package(NAME).sha256),
        "it was not used; try another mirror",
    ]);
}

#[test]
fn a_truncated_package_is_refused() {
    let Some(shop) = Workshop::open() else { return };
    let outcome = build_from_mirror(&shop, |content| Some(content[..content.len() / 2].to_vec()));
    let size = shop.package(NAME).size;
    outcome.expect_refused(&[
        &shop.package(NAME).path,
        &format!("has {} bytes, expected {size}", size / 2),
        "truncated or another file; try another mirror",
    ]);
}

#[test]
fn a_package_no_mirror_has_is_named_although_nothing_newer_can_be_told() {
    let Some(shop) = Workshop::open() else { return };
    let outcome = build_from_mirror(&shop, |_| None);
    outcome.expect_refused(&[
        &format!("{NAME} {}", shop.package(NAME).version),
        "no mirror has these locked packages",
        "another mirror",
        "InRelease",
    ]);
}

#[test]
fn a_package_changed_in_the_store_is_refused_and_removed() {
    let Some(shop) = Workshop::open() else { return };
    let package = shop.package(NAME);
    let mut content = shop.take(&package.sha256);
    content[100] ^= 1;
    std::fs::write(shop.store.path(&package.sha256), content).unwrap();
    let full_name = format!("{NAME} {}", package.version);

    let outcome = shop.run("build", &["--out", "out", "--offline"]);
    outcome.expect_refused(&[&full_name, "was damaged", "run again to fetch it anew"]);
    assert!(!shop.store.has(&package.sha256));
    shop.expect_untouched();

    let outcome = shop.run("build", &["--out", "out", "--offline"]);
    outcome.expect_refused(&[&full_name, "not in the store", "run once without --offline"]);
    shop.expect_untouched();
}

#[test]
fn an_unsigned_release_is_refused() {
    let Some(shop) = Workshop::open() else { return };
    let mirror = Server::start();
    let release = b"Codename: trixie\nDate: Sat, 21 Nov 2099 09:15:44 UTC\nSHA256:\n";
    mirror.put("/debian/dists/trixie/InRelease", release);
    let outcome = shop.run("lock", &["--mirror", &mirror.url("/debian")]);
    outcome.expect_refused(&[
        "trixie: the mirror's InRelease is not to be believed",
        "another mirror",
        "not signed",
    ]);
    shop.expect_untouched();
}
