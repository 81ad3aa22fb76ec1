//! Whole-system tests: the image that is flashed, under real firmware, among real hosts.
//!
//! Each test boots a machine of its own. Without the image, the rights or the programs a test says so and is skipped
//! on a desk; with `CI` in the environment it fails instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod a_release;
mod boot;
mod ear;
mod files;
mod flap;
mod flash;
mod full;
mod hardening;
mod identity;
mod installer;
mod isolation;
mod lease;
mod network;
mod page;
mod path;
mod power;
mod proxy;
mod secure;
mod session;
mod site;
mod slow;
mod stranger;
mod trail;
mod trust;

use std::path::{Path, PathBuf};

use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab;
use rap_tests::instrument::{Agent, Target};
use rap_tests::keys::INGEST_NAME;
use rap_tests::system::{KEYS, SITE, Setup, System};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The quick start's system with `change` made to it; `None` when this machine cannot have one.
fn system_with(change: impl FnOnce(&mut Setup)) -> Option<System> {
    let system = System::new(&setup_with(change)?);
    Some(system.unwrap_or_else(|error| panic!("{error:#}")))
}

/// What such a system is made of; `None` when this machine cannot have one.
fn setup_with(change: impl FnOnce(&mut Setup)) -> Option<Setup> {
    let mut setup = Setup::below(&workspace());
    change(&mut setup);
    let needed = if !rap_qemu::lab::permitted() {
        "root, or a user namespace of one's own (scripts/test makes one)"
    } else if !setup.image.join("disk.img").is_file() {
        "the image (rap-image build), or with a shell (rap-image build --overlay debug --out target/image/qemu-debug)"
    } else {
        return Some(setup);
    };
    assert!(std::env::var_os("CI").is_none(), "this test needs {needed}");
    eprintln!("skipped: needs {needed}");
    None
}

/// The image with a shell, for `rapctl`.
fn debug_image() -> PathBuf {
    workspace().join("target/image/qemu-debug")
}

/// A system that is up; `None` when this machine cannot have one.
fn booted_with(change: impl FnOnce(&mut Setup)) -> Option<System> {
    let mut system = system_with(change)?;
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));
    Some(system)
}

/// An agent of this process' own, for the host that it is run on.
fn agent() -> Agent {
    let target = Target {
        url: format!("https://{}:{INGEST_TLS_PORT}", lab::GATEWAY),
        ca: Some(workspace().join(KEYS).join("centre-ca.crt")),
        server_name: Some(INGEST_NAME.to_owned()),
    };
    Agent::new(&target).unwrap()
}

/// Waits until every report that was acknowledged is at the centre.
fn deliver(system: &System) {
    let delivered = system.expect_delivered();
    delivered.unwrap_or_else(|error| panic!("{error:#}"));
}

/// [`SITE`] with the uplink's address fixed, and `more` lines for the uplink.
fn fixed_uplink(more: &str) -> String {
    let fixed = format!("address = \"10.9.0.2/24\"\ngateway = \"10.9.0.1\"\ndns = [\"10.9.0.1\"]\n{more}");
    SITE.replace("address = \"dhcp\"", &fixed)
}

/// [`SITE`] with the second port on a network of its own, and the uplink's address fixed.
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
