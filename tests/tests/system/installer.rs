//! The medium of `rap-image installer` in a USB port: firmware starts it, it asks, writes the disk inside, and that starts
//! without the medium; unattended it asks nobody, and never replaces an appliance.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rap_core::boot::disk::Table;
use rap_core::flash::mark;
use rap_image::staging::DISK;
use rap_tests::system::{BOOT, KEYS, READY, SITE, System, program};

use crate::{deliver, system_with, workspace};

const DISK_BYTES: u64 = 2 << 30;
/// From power-on to the installer's question: firmware reads some 75 MB from the stick.
const START: Duration = Duration::from_secs(300);
/// How long writing and reading back may take.
const WORK: Duration = Duration::from_secs(300);

/// A medium for the quick start's box.
fn medium(place: &Path, more: &[&str]) -> PathBuf {
    let site = place.join("site.toml");
    std::fs::write(&site, SITE).unwrap();
    let out = place.join("installer.img");
    let keys = workspace().join(KEYS);
    let mut command = Command::new(program("rap-image").unwrap());
    command.arg("installer");
    command.arg(workspace().join("target/image/qemu").join(DISK));
    command.arg(&out).arg("--site").arg(&site);
    command.arg("--identity").arg(&keys).arg("--keys").arg(&keys);
    let output = command.args(more).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["bytes"], out.metadata().unwrap().len(), "{told}");
    assert_eq!(told["provisioned"], true, "{told}");
    out
}

/// A system whose disk is empty, with a medium in its USB port.
fn computer(place: &Path, secure_boot: bool, more: &[&str]) -> Option<(System, PathBuf)> {
    let firmware = workspace().join("target/image/qemu/ovmf");
    std::os::unix::fs::symlink(firmware, place.join("ovmf")).unwrap();
    let disk = File::create_new(place.join(DISK)).unwrap();
    disk.set_len(DISK_BYTES).unwrap();
    let mut stick = PathBuf::new();
    let mut system = system_with(|setup| {
        if setup.image.join(DISK).is_file() {
            stick = medium(place, more);
            setup.image = place.to_owned();
        }
        setup.provisioned = false;
        setup.secure_boot = secure_boot;
    })?;
    system.machine.put_stick(Some(&stick)).unwrap();
    Some((system, stick))
}

fn wait(system: &System, words: &str, deadline: Duration) {
    let found = system.machine.wait_for(words, deadline);
    found.unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn it_asks_for_the_disk_by_its_name_and_begins_anew_after_a_power_cut() {
    let place = tempfile::tempdir().unwrap();
    let Some((mut system, _stick)) = computer(place.path(), false, &[]) else {
        return;
    };
    system.machine.power_on().unwrap();
    wait(&system, "Everything on vda will be lost. Type vda", START);
    let console = system.machine.console();
    for words in ["1  vda  2.15 GB", ": empty", "is the medium of this installer"] {
        assert!(console.first(words).is_some(), "{words}: {}", console.tail(40));
    }
    system.machine.type_line("yes").unwrap();
    wait(&system, "That is not vda: nothing was written", WORK);
    let (disk, mut beginning) = (File::open(system.disk()).unwrap(), vec![0; 1 << 20]);
    disk.read_exact_at(&mut beginning, 0).unwrap();
    assert!(beginning.iter().all(|byte| *byte == 0));
    assert_eq!(system.machine.disk().unflushed(), 0);

    // The second question. The name is typed on the keyboard this time, and the power goes while it is written.
    let asked_again = system.machine.mark();
    let console = system.machine.console();
    let question = console.wait_for_since(asked_again, "Everything on vda will be lost", WORK);
    question.unwrap_or_else(|error| panic!("{error:#}"));
    system.machine.press_keys("vda").unwrap();
    wait(&system, "writing", WORK);
    system.machine.power_cut().unwrap();
    assert!(Table::read(&disk, DISK_BYTES).is_err(), "it would boot");
    assert!(mark::find(&disk).unwrap().is_some());

    system.machine.power_on().unwrap();
    wait(&system, "an installation of it was interrupted", START);
    wait(&system, "Type vda", WORK);
    system.machine.type_line("vda").unwrap();
    wait(&system, "The appliance is installed to vda and read back", WORK);
    wait(&system, "Pull the medium out", WORK);
    system.machine.type_line("off").unwrap();
    system
        .machine
        .wait_off(WORK)
        .unwrap_or_else(|error| panic!("{error:#}"));

    system.machine.put_stick(None).unwrap();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    system.agents.post(&system.lab, 1, 1).unwrap();
    deliver(&system);
}

#[test]
fn unattended_it_installs_goes_off_and_with_secure_boot_on_replaces_nothing() {
    let place = tempfile::tempdir().unwrap();
    let keys = workspace().join(KEYS);
    let more = ["--unattended", "--secure-boot", keys.to_str().unwrap()];
    let Some((mut system, stick)) = computer(place.path(), true, &more) else {
        return;
    };
    system.machine.power_on().unwrap();
    wait(&system, "Writing to vda", START);
    wait(&system, "The appliance is installed to vda and read back", WORK);
    system
        .machine
        .wait_off(WORK)
        .unwrap_or_else(|error| panic!("{error:#}"));

    // The appliance gives firmware the keys. From then on firmware starts the installer because it is signed.
    system.machine.put_stick(None).unwrap();
    system.machine.power_on().unwrap();
    wait(&system, "Secure Boot's keys are enrolled", BOOT);
    wait(&system, "rap init: Secure Boot is on", BOOT);
    wait(&system, READY, BOOT);
    system.machine.power_cut().unwrap();
    let disk = File::open(system.disk()).unwrap();
    let before = Table::read(&disk, DISK_BYTES).unwrap();
    assert!(before.file_system_made());

    system.machine.put_stick(Some(&stick)).unwrap();
    system.machine.power_on().unwrap();
    wait(
        &system,
        "Nothing was written: vda has an appliance already",
        START,
    );
    let console = system.machine.console();
    let lockdown = console.first("locked down from EFI Secure Boot");
    assert!(lockdown.is_some(), "{}", console.tail(60));
    system.machine.type_line("off").unwrap();
    system
        .machine
        .wait_off(WORK)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(Table::read(&disk, DISK_BYTES).unwrap(), before);
}
