//! Whole-system tests: the image that is flashed, under real firmware, among real hosts.
//!
//! Each test boots a machine of its own. Without the image, the rights or the programs a test says so and is skipped
//! on a desk; with `CI` in the environment it fails instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod boot;
mod isolation;
mod network;
mod power;
mod proxy;
mod site;
mod trust;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rap_tests::system::{Setup, System};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The quick start's system with `change` made to it; `None` when this machine cannot have one.
fn system_with(change: impl FnOnce(&mut Setup)) -> Option<System> {
    let mut setup = Setup::below(&workspace());
    change(&mut setup);
    let needed = if !rap_qemu::lab::permitted() {
        "root, or a user namespace of one's own (scripts/test makes one)"
    } else if !setup.image.join("disk.img").is_file() {
        "the image (rap-image build)"
    } else {
        let system = System::new(&setup);
        return Some(system.unwrap_or_else(|error| panic!("{error:#}")));
    };
    assert!(std::env::var_os("CI").is_none(), "this test needs {needed}");
    eprintln!("skipped: needs {needed}");
    None
}

/// The quick start's system with the image that has a shell; `None` when this machine cannot have one.
fn system_with_shell() -> Option<System> {
    let debug = workspace().join("target/image/qemu-debug");
    system_with(|setup| {
        setup.image = if debug.join("disk.img").is_file() || std::env::var_os("CI").is_some() {
            debug
        } else {
            "the debug image (rap-image build --overlay debug --out target/image/qemu-debug)".into()
        };
    })
}

/// A system that is up; `None` when this machine cannot have one.
fn booted_with(change: impl FnOnce(&mut Setup)) -> Option<System> {
    let mut system = system_with(change)?;
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    Some(system)
}

/// [`SITE`](rap_tests::system::SITE) with the second port on a network of its own, and the uplink's address fixed.
const TWO_NETWORKS: &str = r#"
version = 1
name = "rap-two"

[uplink]
nic = "pci:0000:00:10.0"
address = "10.9.0.2/24"
gateway = "10.9.0.1"
dns = ["10.9.0.1"]

[centre]
url = "https://10.9.0.10:8443"

[[port]]
name = "port1"
nic = "pci:0000:00:11.0"
address = "192.168.1.1/24"
instrument = "192.168.1.50"

[[port]]
name = "port2"
nic = "pci:0000:00:12.0"
address = "192.168.2.1/24"
instrument = "192.168.2.50"
"#;

/// Moves the second instrument's host to the second network of [`TWO_NETWORKS`].
fn move_second_instrument(system: &System) {
    let host = system.lab.instrument(2);
    let network = || -> rap_qemu::Result<()> {
        host.ip("address flush dev eth0")?;
        host.configure(
            "eth0",
            [192, 168, 2, 50].into(),
            24,
            Some([192, 168, 2, 1].into()),
        )
    };
    network().unwrap();
}

/// Types `command` into the debug shell and returns what it printed.
fn shell(system: &System, command: &str) -> String {
    let mut serial = system.machine.debug_serial().unwrap();
    serial.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    serial
        .write_all(format!("{command}; echo end-of-answer-$((1+1))\n").as_bytes())
        .unwrap();
    let (begun, mut answer) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(30) {
        let mut buffer = [0; 4096];
        if let Ok(count @ 1..) = serial.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8_lossy(&answer).replace('\r', "");
        if text.contains("end-of-answer-2") {
            return text;
        }
    }
    panic!(
        "no answer to `{command}`: {}\n{}",
        String::from_utf8_lossy(&answer),
        system.machine.console().tail(40)
    );
}
