//! A hospital that lets nothing out but through its proxy: the box delivers through it, and sends no packet elsewhere.

use std::net::Ipv4Addr;
use std::process::Command;

use rap_qemu::lab::{BOX, CENTRE_NAME, Host, PROXY, ROUTER};
use rap_tests::proxy::{Kind, PASSWORD, Proxy, Setup, USER};
use rap_tests::system::{DELIVERY, KEYS, SITE};

use crate::{system_with, workspace};

#[test]
fn reports_go_through_squid_with_a_password_and_nothing_goes_past_it() {
    delivers_through(Kind::Squid);
}

#[test]
fn reports_go_through_dante_with_a_password_and_nothing_goes_past_it() {
    delivers_through(Kind::Dante);
}

fn delivers_through(kind: Kind) {
    if let Some(lacks) = kind.lacks() {
        assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
        return eprintln!("skipped: needs {lacks}");
    }
    let url = kind.url(PROXY);
    let identity = tempfile::tempdir().unwrap();
    let system = system_with(|setup| {
        for name in rap_core::provision::IDENTITY_FILES {
            std::fs::copy(workspace().join(KEYS).join(name), identity.path().join(name)).unwrap();
        }
        std::fs::write(
            identity.path().join("proxy-hospital.password"),
            format!("{PASSWORD}\n"),
        )
        .unwrap();
        setup.identity = identity.path().to_owned();
        setup.site = format!(
            "{}\n[[proxy]]\nname = \"hospital\"\nurl = \"{url}\"\nuser = \"{USER}\"\n[egress]\ndefault = \"hospital\"\n",
            SITE.replace("10.9.0.10", CENTRE_NAME)
        );
    });
    let Some(mut system) = system else { return };
    let at_centre = Witness::new(&system.lab.centre, "tcp dport 8443");
    let at_names = Witness::new(&system.lab.hospital, "udp dport 53");
    let host = system.lab.join("proxy", PROXY).unwrap();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));

    system.agents.post(&system.lab, 1, 3).unwrap();
    let down =
        format!("rap forward: warning: not delivering: proxy {url} refuses the connection: nothing listens");
    let said = system.machine.wait_for(&down, DELIVERY);
    said.unwrap_or_else(|error| panic!("{error}"));
    let setup = Setup {
        address: PROXY,
        out: "eth0",
        resolver: ROUTER,
        users: true,
        allowed: rap_qemu::lab::CENTRE.port(),
    };
    let _proxy = Proxy::start(kind, &host, &setup).unwrap_or_else(|error| panic!("{error:#}"));
    // By itself, within its pause.
    assert_eq!(system.expect_delivered().unwrap(), 3);

    // The proxy asked for the centre's name and connected to it; the box did neither.
    assert_eq!(at_centre.seen(&system.lab.centre), [PROXY]);
    let asked = at_names.seen(&system.lab.hospital);
    assert!(asked.contains(&PROXY) && !asked.contains(&BOX), "{asked:?}");
    let console = system.machine.console();
    assert!(console.first(PASSWORD).is_none(), "{}", console.tail(200));
}

/// Remembers who sends a host packets of a kind.
struct Witness;

impl Witness {
    /// On `host`, of the packets that nftables' `kind` matches.
    fn new(host: &Host, kind: &str) -> Self {
        let rules = format!(
            "table ip witness {{\nset seen {{ type ipv4_addr; flags dynamic; size 256; }}\n\
             chain input {{ type filter hook input priority -10; {kind} add @seen {{ ip saddr }}; }}\n}}"
        );
        nft(host, &[&rules]);
        Self
    }

    /// The senders so far, in order.
    fn seen(&self, host: &Host) -> Vec<Ipv4Addr> {
        let text = nft(host, &["--json", "list set ip witness seen"]);
        let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let objects = listed["nftables"].as_array().unwrap();
        let set = objects.iter().find_map(|object| object.get("set")).unwrap();
        let elements = set["elem"].as_array().cloned().unwrap_or_default();
        let address = |element: &serde_json::Value| {
            let plain = element.as_str().or_else(|| element["elem"]["val"].as_str());
            plain.unwrap().parse().unwrap()
        };
        let mut addresses: Vec<Ipv4Addr> = elements.iter().map(address).collect();
        addresses.sort_unstable();
        addresses
    }
}

fn nft(host: &Host, arguments: &[&str]) -> String {
    let mut command = Command::new("nft");
    command.args(arguments);
    let output = host.output(command).unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "nft: {words}");
    String::from_utf8(output.stdout).unwrap()
}
