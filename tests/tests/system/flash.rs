//! A disk flashed by `rap-image flash` onto a real block device boots, with the site and keys it was given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rap_image::staging::DISK;
use rap_tests::loop_device::Loop;
use rap_tests::system::{KEYS, SITE, program};

use crate::{booted_with, deliver, workspace};

const DEVICE_BYTES: u64 = 2 << 30;

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn flash(device: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(program("rap-image").unwrap());
    let image = workspace().join("target/image/qemu").join(DISK);
    command.arg("flash").arg(image).arg(device).args(more);
    command
}

/// A file full of what somebody else left.
fn used_disk(place: &Path) -> PathBuf {
    let path = place.join(DISK);
    let file = std::fs::File::create_new(&path).unwrap();
    file.set_len(DEVICE_BYTES).unwrap();
    let old = vec![0xA5; 1 << 20];
    for at in (0..DEVICE_BYTES)
        .step_by(64 << 20)
        .chain([DEVICE_BYTES - (1 << 20)])
    {
        std::os::unix::fs::FileExt::write_all_at(&file, &old, at).unwrap();
    }
    path
}

#[test]
fn a_flashed_disk_boots_with_the_site_and_keys_it_was_given() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return eprintln!("skipped: needs root, for a loop device");
    }
    let place = tempfile::tempdir().unwrap();
    let disk = used_disk(place.path());
    let site = place.path().join("site.toml");
    std::fs::write(&site, SITE).unwrap();
    let firmware = workspace().join("target/image/qemu/ovmf");
    std::os::unix::fs::symlink(firmware, place.path().join("ovmf")).unwrap();
    let system = booted_with(|setup| {
        let device = Loop::of(&disk).unwrap();
        let refused = flash(device.path(), &["--yes"]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            refused.status.code() == Some(2) && said.contains("--internal"),
            "{said}"
        );
        let nobody = flash(device.path(), &["--internal"]).output().unwrap();
        let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
        assert!(
            nobody.status.code() == Some(2) && said.contains("give --yes"),
            "{said}"
        );

        let mut command = flash(device.path(), &["--internal", "--yes", "--json"]);
        command
            .arg("--site")
            .arg(&site)
            .arg("--identity")
            .arg(workspace().join(KEYS));
        let output = run(&mut command);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["verified"], true, "{told}");
        assert!(told["bytes-written"].as_u64().unwrap() < 256 << 20, "{told}");
        drop(device);
        setup.image = place.path().to_owned();
        setup.provisioned = false;
    });
    let Some(mut system) = system else { return };
    system.agents.post(&system.lab, 1, 1).unwrap();
    deliver(&system);
}

#[test]
fn a_mounted_device_is_refused_and_untouched() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return eprintln!("skipped: needs root, for a loop device");
    }
    let place = tempfile::tempdir().unwrap();
    let disk = used_disk(place.path());
    run(Command::new("mke2fs").args(["-q", "-F"]).arg(&disk));
    let device = Loop::of(&disk).unwrap();
    let point = place.path().join("point");
    std::fs::create_dir(&point).unwrap();
    run(Command::new("mount").arg(device.path()).arg(&point));
    std::fs::write(point.join("kept"), "x").unwrap();
    let refused = flash(device.path(), &["--internal", "--yes"]).output();
    let kept = std::fs::read_to_string(point.join("kept"));
    run(Command::new("umount").arg(&point));
    let refused = refused.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && said.contains("is in use as"),
        "{said}"
    );
    assert_eq!(kept.unwrap(), "x");
}
