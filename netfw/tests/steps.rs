//! Applying as a sequence of steps: idempotent, reversible, and stopped anywhere without harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod lab;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use lab::dump::{differences, dump};
use lab::killed::Killed;
use lab::{GATEWAY, Lab, network, random};
use netfw::model::{Network, Protocol, Service};

/// Fails with what differs.
fn assert_same(before: &str, after: &str, what: &str) {
    assert!(before == after, "{what}:\n{}", differences(before, after));
}

#[test]
fn applied_twice_there_is_nothing_to_do_and_back_and_forth_is_exactly_back() {
    for seed in 1..=4 {
        let Some(lab) = Lab::new(&format!("r{seed}"), 4) else {
            return;
        };
        let (a, b) = (random::network(seed), random::network(seed + 100));
        let pristine = dump(&lab);

        assert_ne!(lab.apply(&a), Vec::<String>::new());
        let a_first = dump(&lab);
        assert_eq!(lab.apply(&a), Vec::<String>::new(), "seed {seed}");
        assert_same(&a_first, &dump(&lab), "applied twice");

        lab.apply(&b);
        assert_eq!(lab.apply(&b), Vec::<String>::new(), "seed {seed}");
        let b_after_a = dump(&lab);
        lab.apply(&a);
        assert_same(&a_first, &dump(&lab), &format!("seed {seed}: A, B, A"));

        netfw::remove(&lab.machine, &a).unwrap();
        assert_same(
            &without_settings(&pristine),
            &without_settings(&dump(&lab)),
            "removed",
        );
        lab.apply(&b);
        assert_same(
            &b_after_a,
            &dump(&lab),
            &format!("seed {seed}: B after A, and B alone"),
        );
    }
}

/// Settings of the root namespace stay closed, and its loopback stays on.
fn without_settings(dump: &str) -> String {
    let stays = |line: &&str| line.starts_with("/proc/sys/") || line.contains("\"lo\"");
    let lines = dump.lines().filter(|line| !stays(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn killed_between_any_two_steps_the_next_application_is_exactly_the_plan() {
    let Some(lab) = Lab::new("k", 3) else { return };
    let (a, b) = (network(2), random::moved(&network(3)));
    lab.apply(&a);
    let a_exactly = dump(&lab);
    lab.apply(&b);
    let b_exactly = dump(&lab);

    let from_nothing = || drop(netfw::remove(&lab.machine, &b).unwrap());
    let from_a = || drop(lab.apply(&a));
    kill_after_each_step(&lab, "b", &from_a, &b, &b_exactly);
    kill_after_each_step(&lab, "a", &from_nothing, &a, &a_exactly);
}

/// For every k: starts from `start`, has another process do k steps towards `goal` and kills it there, then applies
/// `goal`.
fn kill_after_each_step(lab: &Lab, name: &str, start: &dyn Fn(), goal: &Network, exactly: &str) {
    let mut k = 0;
    loop {
        start();
        let mut child = Killed::start(lab, name, Some(k));
        assert_eq!(child.wait(), "begun");
        let announced = child.wait();
        child.kill();
        lab.apply(goal);
        assert_same(exactly, &dump(lab), &format!("{name}, killed after {k} steps"));
        if announced == "done" {
            assert!(k > 10, "only {k} steps");
            return;
        }
        k += 1;
    }
}

#[test]
fn killed_at_any_moment_the_next_application_is_exactly_the_plan() {
    let Some(lab) = Lab::new("m", 3) else { return };
    let b = random::moved(&network(3));
    lab.apply(&b);
    let exactly = dump(&lab);
    for nth in 0..12 {
        netfw::remove(&lab.machine, &b).unwrap();
        let mut child = Killed::start(&lab, "b", None);
        assert_eq!(child.wait(), "begun");
        std::thread::sleep(Duration::from_micros(2_500 * nth));
        child.kill();
        lab.apply(&b);
        assert_same(&exactly, &dump(&lab), &format!("killed at moment {nth}"));
    }
}

/// Not a test by itself: what [`Killed`] runs.
#[test]
fn child_that_is_killed() {
    lab::killed::child();
}

#[test]
fn a_live_permitted_flow_survives_a_reload_of_the_policy() {
    let Some(lab) = Lab::new("l", 2) else { return };
    let mut wanted = network(2);
    lab.apply(&wanted);
    lab.wait_for_carrier(&["i1"]);
    let listener = lab
        .ns("port1")
        .run(|| TcpListener::bind((GATEWAY, 8443)).unwrap())
        .unwrap();
    let connect = || TcpStream::connect((GATEWAY, 8443)).unwrap();
    let mut stream = lab.ns("i1").run(connect).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    for nth in 0..5_u8 {
        wanted.ports[0].services.push(Service {
            name: "page",
            protocol: Protocol::Tcp,
            port: 9000 + u16::from(nth),
        });
        let changes = lab.apply(&wanted);
        assert_eq!(changes, ["port1: load table netfw"]);
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&[nth]).unwrap();
        let mut byte = [0];
        served.read_exact(&mut byte).unwrap();
        served.write_all(&byte).unwrap();
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [nth]);
    }
}

#[test]
fn a_port_that_fails_keeps_no_other_from_its_plan_and_says_why() {
    let Some(lab) = Lab::new("f", 2) else { return };
    // A link of the port's name that is no card stands in the card's way.
    lab.apply(&network(1));
    let mut wanted = network(2);
    let port1 = lab.full("port1");
    lab::ip(&format!("-n {port1} link set port1 down name other"));
    lab::ip(&format!("-n {port1} tuntap add port1 mode tun"));
    wanted.ports[0].services.clear();
    let report = netfw::apply_on(&lab.machine, &wanted).unwrap();
    let error = report.ports[0].link.as_ref().unwrap_err().to_string();
    assert!(
        error.contains("bring mac:02:00:00:00:00:11 here as port1"),
        "{error}"
    );
    assert!(report.ports[1].link.is_ok() && report.uplink.link.is_ok());
    lab::ip(&format!("-n {port1} link del port1"));
    lab.apply(&wanted);
}

#[test]
fn an_mtu_and_ipv6_come_and_go() {
    let Some(lab) = Lab::new("6", 1) else { return };
    let plain = network(1);
    lab.apply(&plain);
    let before = dump(&lab);
    let mut wanted = plain.clone();
    wanted.uplink.mtu = Some(random::mtu(1280));
    wanted.uplink.ipv6 = random::ipv6();
    lab.apply(&wanted);
    let link = lab::shown(&format!("-n {} addr show uplink", lab.full("root")));
    assert!(
        link.contains("mtu 1280") && link.contains("2001:db8::2/64"),
        "{link}"
    );
    assert_eq!(lab.apply(&wanted), Vec::<String>::new());
    lab.apply(&plain);
    assert_same(&before, &dump(&lab), "MTU and IPv6, and back");
}

#[test]
fn a_vlan_comes_changes_and_goes() {
    let Some(lab) = Lab::new("v", 1) else { return };
    if !random::kernel_has_vlans() {
        println!("skipped: this kernel has no VLANs");
        return;
    }
    let plain = network(1);
    lab.apply(&plain);
    let before = dump(&lab);
    let mut wanted = plain.clone();
    for id in [7, 8] {
        wanted.uplink.vlan = Some(random::vlan(id));
        lab.apply(&wanted);
        let root = lab.full("root");
        let link = lab::shown(&format!("-n {root} -d link show uplink"));
        assert!(
            link.contains("uplink@trunk") && link.contains(&format!("id {id}")),
            "{link}"
        );
        let trunk = lab::shown(&format!("-n {root} addr show trunk"));
        assert!(!trunk.contains("inet"), "{trunk}");
        assert_eq!(lab.apply(&wanted), Vec::<String>::new());
    }
    lab.apply(&plain);
    assert_same(&before, &dump(&lab), "VLAN and back");
}

#[test]
fn what_a_dhcp_client_put_on_the_uplink_is_its_own_and_what_we_put_there_is_not() {
    let Some(lab) = Lab::new("d", 1) else { return };
    let mut wanted = network(1);
    lab.apply(&wanted);
    wanted.uplink.addressing = netfw::model::Addressing::Dhcp;
    let changes = lab.apply(&wanted);
    assert!(
        changes.contains(&"root: remove address 10.9.0.2/24 from uplink".to_owned()),
        "{changes:?}"
    );
    let root = lab.full("root");
    lab::ip(&format!(
        "-n {root} addr add 10.9.0.77/24 dev uplink valid_lft 600 preferred_lft 600"
    ));
    lab::ip(&format!(
        "-n {root} route add default via 10.9.0.1 dev uplink proto dhcp"
    ));
    assert_eq!(lab.apply(&wanted), Vec::<String>::new());
    lab.apply(&network(1));
    let addresses = lab::shown(&format!("-n {root} -4 addr show uplink"));
    assert!(
        addresses.contains("10.9.0.2/24") && !addresses.contains("10.9.0.77"),
        "{addresses}"
    );
}
