//! Secure Boot on the whole box: keys enrolled on the first boot, and from then on nothing starts that is not signed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rap_core::boot::disk::{Place, Table};
use rap_tests::system::{READY, System};

use crate::{deliver, system_with};

/// How long firmware may take until it refuses.
const REFUSAL: Duration = Duration::from_secs(120);

#[test]
fn firmware_takes_our_keys_and_then_starts_only_what_they_signed() {
    let Some(mut system) = system_with(|setup| setup.secure_boot = true) else {
        return;
    };
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    let console = system.machine.console();
    for words in [
        "Secure Boot's keys are enrolled",
        "locked down from EFI Secure Boot",
        "rap init: Secure Boot is on",
    ] {
        assert!(
            console.first(words).is_some(),
            "no `{words}`:\n{}",
            console.tail(120)
        );
    }
    assert!(console.first("making the data file system").is_some());
    system.agents.post(&system.lab, 1, 1).unwrap();
    deliver(&system);

    // It stays on, and the keys are not asked for again.
    system.machine.power_cut().unwrap();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    let console = system.machine.console();
    assert!(
        console.first("Secure Boot is on").is_some(),
        "{}",
        console.tail(60)
    );
    assert!(console.first("are enrolled").is_none(), "{}", console.tail(60));

    system.machine.power_cut().unwrap();
    change_command_line(&system);
    system.machine.power_on().unwrap();
    let refused = system.machine.wait_for("Access Denied", REFUSAL);
    refused.unwrap_or_else(|error| panic!("{error:#}"));
    let console = system.machine.console();
    assert!(console.first("Linux version").is_none(), "{}", console.tail(60));
    assert!(console.first(READY).is_none());
}

/// One byte of the kernel's command line in slot A, as somebody with a screwdriver would.
fn change_command_line(system: &System) {
    let path = system.disk();
    let disk = File::options().read(true).write(true).open(&path).unwrap();
    let bytes = disk.metadata().unwrap().len();
    let slot = Table::read(&disk, bytes)
        .unwrap()
        .partition(Place::SlotA)
        .offset();
    let mut content = vec![0; 64 << 20];
    disk.read_exact_at(&mut content, slot).unwrap();
    let wanted = b"rootfstype=ramfs panic=-1";
    let at = content
        .windows(wanted.len())
        .position(|found| found == wanted)
        .unwrap();
    disk.write_all_at(b"rootfstype=ramfs panic=-2", slot + at as u64)
        .unwrap();
}
