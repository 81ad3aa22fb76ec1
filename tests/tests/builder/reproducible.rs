//! The same commit, built here and by a stranger, gives the same bits.

use std::path::{Path, PathBuf};
use std::process::Command;

use rap_image::lock::Lock;

use crate::rig::{
    self, BUILD, clean, copy, full_store, in_mount_namespace, may_mount, rap_image, repository,
};

/// The stranger's number, for itself and its group.
const STRANGER: u32 = 1234;

/// Makes `$1` belong to the stranger, binds the registry `$2`, the packages `$3` and the toolchain `$4` into it, moves
/// it all to another place, and builds there as somebody else on another machine: `$5…` becomes the stranger.
const ELSEWHERE: &str = r#"
place=$1 registry=$2 packages=$3 rust=$4
shift 4
# As a clone has it under this umask.
chmod -R go= "$place/src"
chown -R "$1" "$place"
shift
mount --bind "$registry" "$place/cargo/registry"
mount --bind "$packages" "$place/cache/rap-image/sha256"
mount --bind "$rust" "$place/rust"
mount --rbind "$place" /mnt
echo elsewhere >/proc/sys/kernel/hostname
umask 077
cd /mnt/src
exec "$@" env -i PATH=/mnt/rust/bin:/usr/bin:/bin HOME=/mnt/home CARGO_HOME=/mnt/cargo XDG_CACHE_HOME=/mnt/cache \
    TMPDIR=/mnt/tmp TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 \
    /mnt/bin/rap-image build --offline --profile qemu --out /mnt/image
"#;

/// Another folder, user, group, umask, time zone, language, home, host name and time; no target folder, no build root,
/// nothing unpacked. Shared are only the packages as they were fetched, cargo's registry and the Rust toolchain.
#[test]
fn a_stranger_elsewhere_builds_the_same_bits() {
    let lock = Lock::read(&repository().join("overlays/image.lock")).unwrap();
    let Some(store) = full_store(&lock).filter(|_| may_mount()) else {
        return;
    };
    // Beside the repository's own build, which has gigabytes of room; a temporary folder may have none.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = folder.path().join("here");
    let mut build = rap_image();
    build
        .args(["build", "--offline", "--profile", "qemu", "--out"])
        .arg(&here);
    let outcome = rig::run(&mut build, BUILD, Some("here"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);

    let place = folder.path().join("elsewhere");
    furnish(&place);
    let mut command = clean(in_mount_namespace());
    command.args(["sh", "-euc", ELSEWHERE, "sh"]).arg(&place);
    command
        .arg(cargo_home().join("registry"))
        .arg(store.folder().join("sha256"));
    command.arg(toolchain()).args(becoming_the_stranger());
    let outcome = rig::run(&mut command, BUILD, Some("elsewhere"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);

    let there = place.join("image");
    assert_eq!(
        digest(&here),
        digest(&there),
        "the unsigned digests differ; the reports:\n{}\n{}",
        report(&here),
        report(&there)
    );
    for name in ["image.json", "disk.img"] {
        let same = std::fs::read(here.join(name)).unwrap() == std::fs::read(there.join(name)).unwrap();
        assert!(same, "{name} differs, although the unsigned digest is the same");
    }
}

/// The stranger's clone, and empty folders for what is bound or made there.
fn furnish(place: &Path) {
    copy(&repository(), &place.join("src"), &[".git", "target", "keys"]);
    for folder in [
        "rust",
        "home",
        "tmp",
        "bin",
        "cargo/registry",
        "cache/rap-image/sha256",
    ] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    let program = rap_tests::system::program("rap-image").unwrap();
    std::fs::copy(program, place.join("bin/rap-image")).unwrap();
}

/// For [`ELSEWHERE`]: whose the files are to be, and the command that becomes the stranger. Real root can; in a user
/// namespace with one user there is nobody else to become, so the stranger is the same user under another number.
fn becoming_the_stranger() -> Vec<String> {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let users: u32 = map.split_whitespace().nth(2).unwrap().parse().unwrap();
    let text = if rustix::process::geteuid().is_root() && users > STRANGER {
        format!("{STRANGER}:{STRANGER} setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups")
    } else {
        format!("0:0 unshare --user --map-user={STRANGER} --map-group={STRANGER} --")
    };
    text.split(' ').map(str::to_owned).collect()
}

fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"))
}

/// The folder of the toolchain that rust-toolchain.toml pins.
fn toolchain() -> String {
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--print", "sysroot"])
        .current_dir(repository())
        .env_remove("RUSTUP_TOOLCHAIN");
    let output = rustc.output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn report(image: &Path) -> String {
    std::fs::read_to_string(image.join("image.json")).unwrap()
}

fn digest(image: &Path) -> String {
    let report: serde_json::Value = serde_json::from_str(&report(image)).unwrap();
    report["unsigned-digest"].as_str().unwrap().to_owned()
}
