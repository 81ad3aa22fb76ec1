use super::*;
use crate::lab::Lab;
use std::path::PathBuf;

const PATIENCE: Duration = Duration::from_secs(120);

/// A machine with an empty disk: its firmware finds nothing to boot, says so, and tries the network.
fn machine(lab: Option<&Lab>) -> Option<(tempfile::TempDir, Machine)> {
    let firmware = match Firmware::find(&PathBuf::from("../target/image/qemu")) {
        Ok(firmware) => firmware,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "firmware is needed in CI: {error}"
            );
            eprintln!("skipped: {error}");
            return None;
        }
    };
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::create(&place.path().join("disk"), 16 << 20).unwrap();
    let mut options = Options::new(firmware, Accelerator::Tcg, disk);
    options.memory_mib = 256;
    options.network_boot = true;
    options.cables = lab.map(Lab::cables).unwrap_or_default();
    Some((place, Machine::new(options).unwrap()))
}

#[test]
fn firmware_speaks_resets_and_is_cut_off() {
    let Some((_place, mut machine)) = machine(None) else {
        return;
    };
    machine.power_on().unwrap();
    let first = machine.wait_for("BdsDxe", PATIENCE).unwrap();
    assert!(
        first.cpu > Duration::ZERO && first.at > Duration::ZERO,
        "{first:?}"
    );
    assert_eq!(machine.status().unwrap(), "running");

    machine.reset().unwrap();
    assert_eq!(machine.wait_for("BdsDxe", PATIENCE).unwrap().boot, 2);

    machine.power_cut().unwrap();
    assert!(!machine.is_on());
    let error = machine.wait_for("Linux", PATIENCE).unwrap_err();
    assert!(
        matches!(&error, Error::Ended { tail, .. } if tail.contains("BdsDxe")),
        "{error}"
    );

    machine.power_on().unwrap();
    assert_eq!(machine.wait_for("BdsDxe", PATIENCE).unwrap().boot, 3);
}

#[test]
fn packets_cross_the_cable_until_it_is_pulled() {
    let Some(lab) = crate::lab::tests::lab(1) else {
        return;
    };
    let Some((_place, mut machine)) = machine(Some(&lab)) else {
        return;
    };
    let carrier = || {
        let mut show = std::process::Command::new("ip");
        show.args(["-o", "link", "show", "dev", "eth0"]);
        let output = lab.instrument(1).output(show).unwrap();
        !String::from_utf8_lossy(&output.stdout).contains("NO-CARRIER")
    };
    assert!(!carrier(), "a machine that is off gives no carrier");
    machine.power_on().unwrap();
    assert!(carrier());

    // The firmware asks for an address to boot from the network, is offered one, takes it, and is told so.
    let begun = Instant::now();
    while !lab.leases().contains("52:54:00:00:00:10") {
        assert!(
            begun.elapsed() < PATIENCE,
            "{}",
            machine.console().in_vain("a lease", PATIENCE)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    machine.pull_cable(Card::Port(1)).unwrap();
    assert!(!carrier());
    machine.plug_cable(Card::Port(1)).unwrap();
    assert!(carrier());
    assert!(machine.pull_cable(Card::Port(2)).is_err());
    machine.power_cut().unwrap();
    assert!(!carrier());
}

#[test]
fn a_qemu_that_does_not_start_says_why() {
    let Some((_place, mut machine)) = machine(None) else {
        return;
    };
    machine.options.memory_mib = 0;
    machine.options.firmware.code = PathBuf::from("/nonexistent/code.fd");
    let error = machine.power_on().unwrap_err().to_string();
    assert!(
        error.contains("QEMU ended") && error.contains("/nonexistent/code.fd"),
        "{error}"
    );
}
