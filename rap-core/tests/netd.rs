//! netd in a machine of namespaces, with a real DHCP client as the instrument.
//!
//! Needs root, `ip` (iproute2), `nft` (nftables) and `udhcpc` (busybox).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod netd_lab;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use netd_lab::{Lab, ip, possible};

const SITE: &str = r#"
version = 1
name = "test"
[uplink]
nic = "mac:02:00:00:00:00:01"
address = "10.9.0.2/24"
dns = ["10.9.0.1"]
[centre]
url = "https://10.9.0.10:8443"
[[port]]
name = "port1"
nic = "mac:02:00:00:00:00:11"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
mac = "06:00:00:00:00:11"
[[port]]
name = "port2"
nic = "mac:02:00:00:00:00:12"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
ingest = "http"
"#;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// Runs udhcpc at an instrument; what it was given, or none.
fn lease(lab: &Lab, instrument: &str) -> Option<String> {
    let script = lab.path("udhcpc.sh");
    let found = lab.path(&format!("{instrument}.lease"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip addr replace $ip/$mask dev $interface\necho $ip/$mask $router >{}\n",
        found.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = lab
        .ns(instrument)
        .run(|| {
            Command::new("busybox")
                .args([
                    "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "1", "-s",
                ])
                .arg(&script)
                .output()
        })
        .unwrap()
        .unwrap();
    output
        .status
        .success()
        .then(|| std::fs::read_to_string(found).unwrap().trim().to_owned())
}

fn reaches(lab: &Lab, instrument: &str, port: u16) -> bool {
    let target = (GATEWAY, port).into();
    lab.ns(instrument)
        .run(|| TcpStream::connect_timeout(&target, Duration::from_millis(700)).is_ok())
        .unwrap()
}

/// Not a test by itself: the lab's netd.
#[test]
fn netd_process() {
    netd_lab::be_netd();
}

#[test]
fn an_instrument_gets_its_lease_and_reaches_its_ingest_socket() {
    if !possible(&["/usr/bin/busybox"]) {
        return;
    }
    let mut lab = Lab::start("d", SITE);
    let status = lab.wait("applied", |status| status["problems"] == serde_json::json!([]));
    assert_eq!(
        status["ports"][0],
        serde_json::json!({
            "name": "port1", "nic": "mac:02:00:00:00:00:11", "link": "up", "address": "192.168.1.1/24",
        })
    );
    for instrument in ["i1", "i2"] {
        let lease = lease(&lab, instrument);
        assert_eq!(
            lease.as_deref(),
            Some("192.168.1.50/24 192.168.1.1"),
            "{instrument}"
        );
    }
    let names: Vec<_> = lab.sockets.keys().map(String::as_str).collect();
    assert_eq!(names, ["ingest@port1", "ingest@port2", "web@port1", "web@port2"]);
    assert!(reaches(&lab, "i1", 8443) && !reaches(&lab, "i1", 8080));
    assert!(reaches(&lab, "i2", 8080) && !reaches(&lab, "i2", 8443));
    assert!(reaches(&lab, "i1", 443) && reaches(&lab, "i2", 443));

    // What was connected is accepted from the socket that init keeps, though this process is outside.
    let socket = lab.sockets.remove("ingest@port1").unwrap();
    let (_, peer) = TcpListener::from(socket).accept().unwrap();
    assert_eq!(peer.ip(), Ipv4Addr::new(192, 168, 1, 50));
}

#[test]
fn a_pinned_port_gives_no_lease_to_another_station() {
    if !possible(&["/usr/bin/busybox"]) {
        return;
    }
    let mut lab = Lab::start("p", SITE);
    lab.wait("applied", |status| status["problems"] == serde_json::json!([]));
    ip(&format!(
        "-n {} link set eth0 address 06:00:00:00:00:99",
        lab.full("i1")
    ));
    assert_eq!(lease(&lab, "i1"), None);
    ip(&format!(
        "-n {} link set eth0 address 06:00:00:00:00:11",
        lab.full("i1")
    ));
    assert!(lease(&lab, "i1").is_some());
}

#[test]
fn a_pulled_cable_and_a_card_that_comes_back_are_mended() {
    if !possible(&["/usr/bin/busybox"]) {
        return;
    }
    let mut lab = Lab::start("f", SITE);
    lab.wait("applied", |status| status["problems"] == serde_json::json!([]));
    let (port1, i1) = (lab.full("port1"), lab.full("i1"));

    ip(&format!("-n {i1} link set eth0 down"));
    let status = lab.wait("without cable", |status| status["ports"][0]["link"] == "no cable");
    assert_eq!(
        status["problems"][0],
        "port1: no cable, or nothing at its other end"
    );
    ip(&format!("-n {i1} link set eth0 up"));
    lab.wait("with cable", |status| status["ports"][0]["link"] == "up");

    ip(&format!("-n {port1} link del port1"));
    let status = lab.wait("without card", |status| status["ports"][0]["link"] == "error");
    let problem = status["problems"][0].as_str().unwrap().to_owned();
    assert!(
        problem.starts_with("port1: no network card mac:02:00:00:00:00:11 found"),
        "{problem}"
    );
    assert_eq!(status["ports"][1]["link"], "up");

    lab.cable("eth9", "02:00:00:00:00:11", "i1");
    lab.wait("with card", |status| status["ports"][0]["link"] == "up");
    let pinned = ip(&format!("-n {port1} neigh show nud permanent"));
    assert!(pinned.contains("06:00:00:00:00:11"), "{pinned}");
    // The DHCP socket follows to the new card, the ingest socket was there all the time.
    assert!(lease(&lab, "i1").is_some());
    assert!(reaches(&lab, "i1", 8443));
}

#[test]
fn a_port_without_its_card_has_its_socket_and_works_once_the_card_is_there() {
    if !possible(&["/usr/bin/busybox"]) {
        return;
    }
    let mut lab = Lab::start("c", &SITE.replace("02:00:00:00:00:12", "02:00:00:00:00:77"));
    let status = lab.wait("applied", |status| status["ports"][0]["link"] == "up");
    assert_eq!(status["ports"][1]["link"], "error");
    assert_eq!(status["problems"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(lab.sockets.len(), 4);

    ip(&format!("-n {} link del eth2", lab.full("root")));
    lab.cable("eth7", "02:00:00:00:00:77", "i2");
    lab.wait("with card", |status| status["ports"][1]["link"] == "up");
    assert!(lease(&lab, "i2").is_some());
    assert!(reaches(&lab, "i2", 8080));
}
