//! The plan on a real kernel: namespaces stand in for the machine, the hospital and the instruments; packets decide.
//!
//! Needs root, `ip` (iproute2) and `nft` (nftables).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod lab;

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{CENTRE, GATEWAY, INSTRUMENT, Lab, ip, network};
use netfw::model::{Addressing, Protocol};
use netfw::ruleset::{ENDPOINTS, Element, Key};

/// Applies the network of two ports, and waits until packets go through.
fn apply(lab: &Lab) -> Vec<String> {
    let changes = lab.apply(&network(2));
    lab.wait_for_carrier(&["lan", "i1", "i2"]);
    changes
}

fn refused(result: std::io::Result<String>) -> std::io::ErrorKind {
    result.expect_err("the connection was accepted").kind()
}

#[test]
fn applied_twice_changes_nothing_and_what_was_disturbed_is_mended() {
    let Some(lab) = Lab::new("a", 2) else { return };
    assert_ne!(apply(&lab), Vec::<String>::new());
    assert_eq!(apply(&lab), Vec::<String>::new());

    let port1 = lab.full("port1");
    ip(&format!("-n {port1} addr add 192.168.1.9/24 dev port1"));
    ip(&format!("-n {port1} link set port1 down"));
    lab.ns("port1")
        .run(|| {
            let flushed = Command::new("nft")
                .args(["flush", "chain", "inet", "netfw", "input"])
                .status();
            assert!(flushed.unwrap().success());
        })
        .unwrap();
    assert_eq!(
        apply(&lab),
        [
            "port1: load table netfw",
            "port1: remove address 192.168.1.9/24 from port1",
            "port1: switch port1 on",
            "port1: pin 192.168.1.50 to 06:00:00:00:00:11",
        ]
    );
    assert_eq!(apply(&lab), Vec::<String>::new());
}

#[test]
fn a_missing_card_is_reported_and_the_others_work() {
    let Some(lab) = Lab::new("m", 2) else { return };
    ip(&format!("-n {} link del eth1", lab.full("root")));
    let report = netfw::apply_on(&lab.machine, &network(2)).unwrap();
    let missing = report.ports[0].link.as_ref().unwrap_err().to_string();
    assert!(
        missing.starts_with("no network card mac:02:00:00:00:00:11 found"),
        "{missing}"
    );
    assert!(report.ports[1].link.is_ok() && report.uplink.link.is_ok());
    // Plugged in later, it is taken in.
    lab.ns("i1").run(|| ()).unwrap();
    lab.cable("eth7", "02:00:00:00:00:11", "i1", &["192.168.1.50/24"]);
    apply(&lab);
}

#[test]
fn an_instrument_reaches_its_ports_service_and_nothing_else() {
    let Some(lab) = Lab::new("r", 2) else { return };
    apply(&lab);
    for port in ["port1", "port2"] {
        lab.listen(port, GATEWAY, 8443);
        lab.listen(port, GATEWAY, 22);
    }
    lab.listen("lan", CENTRE, 8443);
    lab.listen("i2", INSTRUMENT, 80);
    // Same address, other instrument, other answer.
    assert_eq!(lab.connect("i1", GATEWAY, 8443).unwrap(), "port1");
    assert_eq!(lab.connect("i2", GATEWAY, 8443).unwrap(), "port2");
    // A port that is open in the kernel but not in the description.
    assert_eq!(
        refused(lab.connect("i1", GATEWAY, 22)),
        std::io::ErrorKind::TimedOut
    );

    // The instrument thinks the box is its router: the box routes nothing, not even to its own other addresses.
    ip(&format!("-n {} route add default via {GATEWAY}", lab.full("i1")));
    for (address, port) in [
        (CENTRE, 8443),
        ([10, 9, 0, 2].into(), 8443),
        ([127, 0, 0, 1].into(), 8443),
    ] {
        assert!(lab.connect("i1", address, port).is_err(), "{address}:{port}");
    }
    // The box opens nothing towards the instrument by itself.
    assert!(lab.connect("port2", INSTRUMENT, 80).is_err());
}

#[test]
fn a_spoofed_source_is_dropped() {
    let Some(lab) = Lab::new("s", 2) else { return };
    apply(&lab);
    lab.listen("port1", GATEWAY, 8443);
    lab.listen("port2", GATEWAY, 8443);
    assert!(lab.connect("i1", GATEWAY, 8443).is_ok());
    // Another address of the same network.
    let i2 = lab.full("i2");
    ip(&format!("-n {i2} addr del 192.168.1.50/24 dev eth0"));
    ip(&format!("-n {i2} addr add 192.168.1.51/24 dev eth0"));
    assert!(lab.connect("i2", GATEWAY, 8443).is_err());
    // The right address of another station than the pinned one.
    let i1 = lab.full("i1");
    ip(&format!("-n {i1} link set eth0 address 06:00:00:00:00:99"));
    assert!(lab.connect("i1", GATEWAY, 8443).is_err());
}

/// What nft lists, without what differs from load to load.
fn listed(lab: &Lab, place: &str) -> String {
    let mut listing = netfw::nft::list(&lab.ns(place), "netfw").unwrap().unwrap();
    strip(&mut listing);
    listing.to_string()
}

fn strip(value: &mut serde_json::Value) {
    if let Some(object) = value.as_object_mut() {
        object.remove("handle");
        object.remove("packets");
        object.remove("bytes");
    }
    match value {
        serde_json::Value::Object(object) => object.values_mut().for_each(strip),
        serde_json::Value::Array(array) => array.iter_mut().for_each(strip),
        _ => {}
    }
}

#[test]
fn the_text_for_reading_is_the_ruleset_that_is_loaded() {
    let Some(lab) = Lab::new("x", 2) else { return };
    apply(&lab);
    let mut network = network(2);
    let plan = netfw::plan::NetPlan::new(&network);
    network.uplink.addressing = Addressing::Dhcp;
    let dhcp = netfw::plan::NetPlan::new(&network);
    let tables = [&plan.root, &plan.ports[0], &plan.ports[1], &dhcp.root].map(|planned| &planned.table);
    for table in tables {
        netfw::nft::load(&lab.ns("lan"), &table.json()).unwrap();
        let from_json = listed(&lab, "lan");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), table.text()).unwrap();
        let load = || Command::new("nft").arg("-f").arg(file.path()).output();
        let output = lab.ns("lan").run(load).unwrap().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(listed(&lab, "lan"), from_json);
    }
}

#[test]
fn what_nft_refuses_leaves_the_old_table_in_force_and_says_why() {
    let Some(lab) = Lab::new("w", 2) else { return };
    apply(&lab);
    let before = listed(&lab, "port1");
    let mut broken = netfw::plan::NetPlan::new(&network(2)).ports[0].table.json();
    let commands = broken["nftables"].as_array_mut().unwrap();
    commands.push(serde_json::json!({"add": {"rule": {
        "family": "inet", "table": "netfw", "chain": "nowhere", "expr": [{"accept": null}],
    }}}));
    let complaint = netfw::nft::load(&lab.ns("port1"), &broken)
        .unwrap_err()
        .to_string();
    assert!(complaint.contains("No such file or directory"), "{complaint}");
    assert_eq!(listed(&lab, "port1"), before);
}

#[test]
fn ipv6_is_off_everywhere() {
    let Some(lab) = Lab::new("6", 2) else { return };
    apply(&lab);
    for place in ["root", "port1", "port2"] {
        let output = Command::new("ip")
            .args(["-n", &lab.full(place), "-6", "addr", "show"])
            .output();
        assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), "", "{place}");
    }
}

#[test]
fn the_uplink_is_told_no_and_the_box_reaches_its_endpoints_only() {
    let Some(lab) = Lab::new("u", 2) else { return };
    apply(&lab);
    let box_address = Ipv4Addr::new(10, 9, 0, 2);
    lab.listen("root", box_address, 8443);
    assert_eq!(
        refused(lab.connect("lan", box_address, 8443)),
        std::io::ErrorKind::ConnectionRefused
    );
    lab.listen("lan", CENTRE, 8443);
    lab.listen("lan", CENTRE, 22);
    assert_eq!(lab.connect("root", CENTRE, 8443).unwrap(), "lan");
    // Refused at once, on the box itself.
    let start = Instant::now();
    assert!(lab.connect("root", CENTRE, 22).is_err());
    assert!(
        start.elapsed() < Duration::from_millis(600),
        "{:?}",
        start.elapsed()
    );
    // UDP to the box is refused in words, and the socket hears of it.
    let answer = lab
        .ns("lan")
        .run(|| {
            let socket = UdpSocket::bind((CENTRE, 0)).unwrap();
            socket.connect((box_address, 161)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.send(b"?").unwrap();
            socket.recv(&mut [0; 8]).unwrap_err().kind()
        })
        .unwrap();
    assert!(
        matches!(
            answer,
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::ConnectionRefused
        ),
        "{answer:?}"
    );
}

#[test]
fn a_resolved_endpoint_is_open_for_its_time() {
    let Some(lab) = Lab::new("t", 2) else { return };
    apply(&lab);
    let address = Ipv4Addr::new(10, 9, 0, 11);
    lab.listen("lan", address, 443);
    assert!(lab.connect("root", address, 443).is_err());
    let element = |address: Ipv4Addr, seconds| Element {
        key: Key::Service(
            address.into(),
            Protocol::Tcp,
            if address == CENTRE { 8443 } else { 443 },
        ),
        timeout: Some(Duration::from_secs(seconds)),
        comment: "endpoints.centre".to_owned(),
    };
    // Twice: what is there already is given its time anew, and the literal endpoint never gets one.
    for seconds in [600, 2] {
        let elements = [element(address, seconds), element(CENTRE, seconds)];
        netfw::fill(&lab.machine, &network(2), ENDPOINTS, &elements).unwrap();
    }
    assert!(lab.connect("root", address, 443).is_ok());
    let deadline = Instant::now() + Duration::from_secs(20);
    while lab.connect("root", address, 443).is_ok() {
        assert!(Instant::now() < deadline, "the element never went");
        std::thread::sleep(Duration::from_millis(200));
    }
    lab.listen("lan", CENTRE, 8443);
    assert!(lab.connect("root", CENTRE, 8443).is_ok());
    // Elements that come and go are no reason to load the table again.
    assert_eq!(apply(&lab), Vec::<String>::new());
}

#[test]
fn tables_are_checked_without_being_loaded() {
    let Some(lab) = Lab::new("n", 2) else { return };
    let mut network = network(2);
    netfw::check(&network).unwrap();
    let plan = netfw::plan::NetPlan::new(&network);
    let nft = || Command::new("/usr/sbin/nft");
    netfw::nft::check(nft(), &plan.root.table).unwrap();
    // Rules that speak of sets which are not there: only a hand-made table can have them.
    let mut broken = plan.root.table.clone();
    broken.sets.clear();
    let complaint = netfw::nft::check(nft(), &broken).unwrap_err().to_string();
    assert!(
        complaint.starts_with("nft refused the rules for namespace for a trial"),
        "{complaint}"
    );
    let nowhere = Command::new("/nowhere/nft");
    assert!(matches!(
        netfw::nft::check(nowhere, &broken),
        Err(netfw::nft::Error::Run(_))
    ));
    // Nothing was loaded anywhere.
    assert_eq!(netfw::nft::list(&lab.ns("root"), "netfw").unwrap(), None);
    network.ports.clear();
    netfw::check(&network).unwrap();
}

#[test]
fn a_reload_exchanges_the_rules_within_the_table_and_its_base_chains() {
    let Some(lab) = Lab::new("b", 2) else { return };
    apply(&lab);
    // A table that is deleted and added again has another handle, and other chains with it.
    let handle = || {
        let listing = netfw::nft::list(&lab.ns("port1"), "netfw").unwrap().unwrap();
        let objects = listing["nftables"].as_array().unwrap().clone();
        let table = objects.iter().find_map(|object| object.get("table"));
        table.unwrap()["handle"].to_string()
    };
    let before = handle();
    let mut network = network(2);
    network.ports[0].services.clear();
    let report = netfw::apply_on(&lab.machine, &network).unwrap();
    assert_eq!(report.changes, ["port1: load table netfw"]);
    assert_eq!(handle(), before);
    // One that lacks a base chain is replaced whole.
    let port1 = lab.ns("port1");
    for verb in ["flush", "delete"] {
        let spoil = || {
            Command::new("nft")
                .args([verb, "chain", "inet", "netfw", "forward"])
                .status()
        };
        assert!(port1.run(spoil).unwrap().unwrap().success());
    }
    netfw::apply_on(&lab.machine, &network).unwrap();
    assert_ne!(handle(), before);
}
