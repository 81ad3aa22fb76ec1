//! An uplink with the real dhcpcd among real DHCP servers, and this very program as dhcpcd's hook; therefore without the
//! test harness. The stories are told at the same time: each waits most of its time for a lease.
//!
//! Needs root, `ip`, `nft`, `unshare`, `dhcpcd` (dhcpcd-base), `dnsmasq` (dnsmasq-base) and `udhcpd` (udhcpd, or busybox
//! with that applet).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod netd_lab;

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netd_lab::{Lab, ip, possible};
use serde_json::{Value, json};

const SITE: &str = r#"
version = 1
name = "test"
[uplink]
nic = "mac:02:00:00:00:00:01"
address = "dhcp"
[centre]
url = "https://10.9.0.10:8443"
[[port]]
name = "port1"
nic = "mac:02:00:00:00:00:11"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
"#;

/// Every name of a test, and the test.
const STORIES: [(&str, fn()); 3] = [
    (
        "a_lease_is_used_survives_netd_and_its_change_is_followed",
        a_lease_is_used_survives_netd_and_its_change_is_followed,
    ),
    (
        "a_lease_in_an_instruments_network_is_refused_until_a_good_one_comes",
        a_lease_in_an_instruments_network_is_refused_until_a_good_one_comes,
    ),
    (
        "a_lease_that_runs_out_is_taken_off_and_had_again",
        a_lease_that_runs_out_is_taken_off_and_had_again,
    ),
];

fn main() {
    let name = std::env::args().next().unwrap_or_default();
    if name.ends_with(rap_core::netd::DHCP_HOOK) {
        return rap_core::netd::dhcp_hook().unwrap();
    }
    netd_lab::be_netd();
    let programs = [
        "/usr/sbin/dhcpcd",
        "/usr/sbin/udhcpd",
        "/usr/sbin/dnsmasq",
        "/usr/bin/unshare",
    ];
    if !possible(&programs) {
        return;
    }
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let told: Vec<_> = STORIES
        .into_iter()
        .filter(|(name, _)| wanted.starts_with('-') || name.contains(&wanted))
        .map(|(name, story)| (name, std::thread::spawn(story)))
        .collect();
    let failed: Vec<_> = told
        .into_iter()
        .filter_map(|(name, story)| {
            let ended = story.join();
            println!("{name} ... {}", if ended.is_ok() { "ok" } else { "FAILED" });
            ended.is_err().then_some(name)
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

fn a_lease_is_used_survives_netd_and_its_change_is_followed() {
    let mut lab = lab("u");
    let server = dnsmasq(
        &lab,
        "10.9.0.77",
        "10.9.0.1",
        "10.9.0.10",
        &["--dhcp-option=58,3", "--dhcp-option=59,6"],
    );
    leased(&mut lab, "10.9.0.77/24");
    assert_eq!(resolver(&lab), "nameserver 10.9.0.10\n");
    assert!(
        routes(&lab).contains("default via 10.9.0.1 dev uplink"),
        "{}",
        routes(&lab)
    );
    assert!(lab.nft("root", "list set inet netfw dns").contains("10.9.0.10"));

    // netd and its client are restarted, and another site is tried on the same uplink; the address is never away.
    let monitor = Program::in_lab(
        &lab,
        "root",
        Command::new("ip")
            .args(["monitor", "address"])
            .stdout(std::fs::File::create(lab.path("monitor")).unwrap()),
    );
    lab.kill_netd();
    let lease = lab.path("runtime/lease.json");
    let before = modified(&lease);
    lab.start_netd();
    lab.wait("leased again", |_| modified(&lease) > before);
    leased(&mut lab, "10.9.0.77/24");
    let before = modified(&lease);
    let other = SITE.replace("192.168.1.50", "192.168.1.51");
    let answer = lab.ask(&json!({ "do": "try", "file": "new.toml", "site": other }));
    assert_eq!(answer["done"]["problems"], json!([]), "{answer}");
    lab.wait("leased in the trial", |_| modified(&lease) > before);
    leased(&mut lab, "10.9.0.77/24");
    lab.ask(&json!({ "do": "confirm", "by": "a test" }));
    drop(monitor);
    let changes = std::fs::read_to_string(lab.path("monitor")).unwrap();
    assert!(!changes.contains("Deleted"), "{changes}");

    drop(server);
    let _server = dnsmasq(&lab, "10.9.0.88", "10.9.0.3", "10.9.0.20", &[]);
    leased(&mut lab, "10.9.0.88/24");
    assert_eq!(resolver(&lab), "nameserver 10.9.0.20\n");
    let routes = routes(&lab);
    assert!(
        routes.contains("default via 10.9.0.3") && !routes.contains("10.9.0.1 "),
        "{routes}"
    );
    assert!(!addresses(&lab).contains("10.9.0.77"), "{}", addresses(&lab));
}

fn a_lease_in_an_instruments_network_is_refused_until_a_good_one_comes() {
    let mut lab = lab("o");
    ip(&format!(
        "-n {} addr add 192.168.1.10/24 dev eth0",
        lab.full("lan")
    ));
    let server = dnsmasq(&lab, "192.168.1.77", "192.168.1.10", "192.168.1.10", &[]);
    let status = lab.wait("refused", |status| problems(status).contains("not used"));
    assert_eq!(
        status["problems"],
        json!([
            "uplink: the lease of 192.168.1.77/24 from the hospital's DHCP server is not used: expected a network that \
             does not overlap 192.168.1.0/24 of port port1; change the one or the other"
        ])
    );
    assert_eq!((addresses(&lab).as_str(), routes(&lab).as_str()), ("", ""));
    assert_eq!(resolver(&lab), "");
    // The port works and isolates as ever.
    assert_eq!(status["ports"][0]["link"], "up");
    ip(&format!(
        "-n {} addr add 192.168.1.50/24 dev eth0",
        lab.full("i1")
    ));
    assert!(reaches(&lab, "i1", "192.168.1.1:8443") && !reaches(&lab, "i1", "192.168.1.10:53"));

    drop(server);
    let _server = dnsmasq(&lab, "10.9.0.77", "10.9.0.1", "10.9.0.10", &[]);
    leased(&mut lab, "10.9.0.77/24");
    assert_eq!(resolver(&lab), "nameserver 10.9.0.10\n");
}

fn a_lease_that_runs_out_is_taken_off_and_had_again() {
    let mut lab = lab("e");
    let server = udhcpd(&lab);
    leased(&mut lab, "10.9.0.77/24");
    drop(server);
    let status = lab.wait("without lease", |status| problems(status).contains("has ended"));
    assert_eq!(
        status["problems"],
        json!([
            "uplink: the lease of 10.9.0.77/24 has ended, and the hospital's DHCP server gives no other yet; the box \
             keeps asking"
        ])
    );
    assert_eq!(status["uplink"]["address"], Value::Null);
    assert_eq!((addresses(&lab).as_str(), resolver(&lab).as_str()), ("", ""));
    let _server = udhcpd(&lab);
    leased(&mut lab, "10.9.0.77/24");
}

fn lab(name: &str) -> Lab {
    let mut lab = Lab::build(name, SITE).with_own_dhcpcd();
    lab.start_netd();
    lab
}

/// Waits until `address` is the uplink's, and all is well.
fn leased(lab: &mut Lab, address: &str) {
    lab.wait(&format!("leased {address}"), |status| {
        status["uplink"]["address"] == address && status["problems"] == json!([])
    });
    assert!(addresses(lab).contains(address), "{}", addresses(lab));
}

fn problems(status: &Value) -> String {
    status["problems"].to_string()
}

fn addresses(lab: &Lab) -> String {
    ip(&format!("-n {} -4 -o addr show dev uplink", lab.full("root")))
}

fn routes(lab: &Lab) -> String {
    ip(&format!("-n {} route", lab.full("root")))
}

fn resolver(lab: &Lab) -> String {
    std::fs::read_to_string(lab.path("runtime/resolv.conf")).unwrap()
}

/// When the hook last wrote a lease.
fn modified(lease: &Path) -> Option<std::time::SystemTime> {
    lease.metadata().ok()?.modified().ok()
}

fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    let to = to.parse().unwrap();
    lab.ns(from)
        .run(|| TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok())
        .unwrap()
}

/// A hospital's DHCP server with one address to give.
fn dnsmasq(lab: &Lab, address: &str, router: &str, dns: &str, options: &[&str]) -> Program {
    let leases = lab.path(&format!("dnsmasq-{address}.leases"));
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--user=root",
        ])
        .args([
            "--interface=eth0",
            "--bind-interfaces",
            "--dhcp-authoritative",
            "--log-facility=-",
        ])
        .arg(format!("--dhcp-range={address},{address},255.255.255.0,2m"))
        .args([
            format!("--dhcp-option=3,{router}"),
            format!("--dhcp-option=6,{dns}"),
        ])
        .arg(format!("--dhcp-leasefile={}", leases.display()))
        .arg(format!("--pid-file={}", lab.path("dnsmasq.pid").display()))
        .args(options);
    Program::in_lab(lab, "lan", &mut command)
}

/// Another one, whose leases are shorter than dnsmasq's can be.
fn udhcpd(lab: &Lab) -> Program {
    let configuration = lab.path("udhcpd.conf");
    let leases = lab.path("udhcpd.leases");
    std::fs::write(&leases, "").unwrap();
    let text = format!(
        "start 10.9.0.77\nend 10.9.0.77\ninterface eth0\nlease_file {}\npidfile {}\nmin_lease 10\n\
         option subnet 255.255.255.0\noption router 10.9.0.1\noption dns 10.9.0.10\noption lease 12\n",
        leases.display(),
        lab.path("udhcpd.pid").display()
    );
    std::fs::write(&configuration, text).unwrap();
    Program::in_lab(
        lab,
        "lan",
        Command::new("/usr/sbin/udhcpd").arg("-f").arg(&configuration),
    )
}

/// A program that runs until it is dropped.
struct Program(Child);

impl Program {
    fn in_lab(lab: &Lab, host: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Self(lab.ns(host).run(|| command.spawn()).unwrap().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
