//! A disk without room: for the image, and for what is fetched.

use std::process::Command;

use rap_image::lock::Lock;

use crate::rig::{
    self, BUILD, Outcome, QUICK, Workshop, clean, full_store, may_mount, rap_image, repository,
};
use crate::testing::Server;

/// Mounts a disk of size `$1` on `$2`, does `$3` there, runs the rest, and lists every file with its size afterwards.
const ON_SMALL_DISK: &str = r#"
size=$1 place=$2 before=$3
shift 3
mount -t tmpfs -o "size=$size" tmpfs "$place"
(cd "$place" && eval "$before")
code=0
"$@" || code=$?
(cd "$place" && find . -type f -printf 'left: %P %s\n')
exit "$code"
"#;

fn on_small_disk(size: &str, place: &std::path::Path, before: &str, program: &Command) -> Command {
    let mut command = rig::in_mount_namespace();
    command
        .args(["sh", "-euc", ON_SMALL_DISK, "sh", size])
        .arg(place)
        .arg(before)
        .arg(program.get_program())
        .args(program.get_args());
    clean(command)
}

fn left(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.text.lines();
    lines.filter_map(|line| line.strip_prefix("left: ")).collect()
}

/// 6 MiB are too few for the firmware, 60 for the disk: the first and the last file that is written.
#[test]
fn no_room_for_the_image_leaves_the_old_one_as_it_was() {
    let lock = Lock::read(&repository().join("overlays/image.lock")).unwrap();
    if !may_mount() || full_store(&lock).is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut build = rap_image();
    build.args(["build", "--offline", "--out"]).arg(place.path());
    for (size, file) in [("6m", "OVMF_CODE.secboot.fd"), ("60m", "disk.img")] {
        let mut command = on_small_disk(size, place.path(), "printf old >disk.img", &build);
        let outcome = rig::run(&mut command, BUILD, Some("full disk"));
        outcome.expect_refused(&[
            "no room left to write",
            file,
            "free some and build again, nothing was left half-written",
        ]);
        assert_eq!(left(&outcome), ["disk.img 3"], "{}", outcome.text);
    }
}

#[test]
fn no_room_in_the_store_leaves_no_package_under_its_name() {
    let Some(shop) = Workshop::open().filter(|_| may_mount()) else {
        return;
    };
    let package = shop.package("binutils").clone();
    let mirror = Server::start();
    mirror.put(&format!("/debian/{}", package.path), &shop.take(&package.sha256));
    let small = Lock::new(shop.lock.suites.clone(), vec![package.clone()]);
    small.write(&shop.path("overlays/image.lock")).unwrap();
    std::fs::create_dir(shop.path("small")).unwrap();

    let mut build = rap_image();
    build.args(["build", "--out", "out", "--mirror", &mirror.url("/debian")]);
    let mut command = on_small_disk("128k", &shop.path("small"), "", &build);
    command
        .env("XDG_CACHE_HOME", shop.path("small"))
        .current_dir(shop.path(""));
    let outcome = rig::run(&mut command, QUICK, None);
    let hash = package.sha256.to_string();
    outcome.expect_refused(&["cannot write", &hash, "No space left on device", "fix: make room"]);
    let left = left(&outcome);
    assert!(
        left.iter().all(|file| file.contains(".part ")),
        "only what the next fetch goes on with: {left:?}"
    );
    assert!(!shop.path("out").exists());
}
