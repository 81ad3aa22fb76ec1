//! Commit-confirm with a real netd in namespaces: applied, kept, undone, crashed, restarted.
//!
//! Needs root, `ip` (iproute2) and `nft` (nftables).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod netd_lab;

use std::time::{Duration, Instant};

use netd_lab::{Lab, ip, possible};
use rap_core::site::fingerprint;
use serde_json::{Value, json};

const SITE: &str = r#"
version = 1
name = "test"
[uplink]
nic = "mac:02:00:00:00:00:01"
address = "10.9.0.2/24"
[centre]
url = "https://10.9.0.10:8443"
[[port]]
name = "port1"
nic = "mac:02:00:00:00:00:11"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
"#;

/// The same box at another address of the hospital's network.
fn moved() -> String {
    SITE.replace("10.9.0.2/24", "10.9.0.3/24")
}

/// A lab with the first site in force, or none where it cannot be tried.
fn lab(test: &str, trial: Duration) -> Option<Lab> {
    if !possible(&[]) {
        return None;
    }
    let mut lab = Lab::build(test, SITE).with_trial(trial);
    lab.start_netd();
    at(&mut lab, "10.9.0.2/24");
    // The first site was news, too.
    lab.reloads = 0;
    Some(lab)
}

/// Waits until the box is at `address`, in the status and in the kernel.
fn at(lab: &mut Lab, address: &str) -> Value {
    let status = lab.wait(&format!("at {address}"), |status| {
        status["uplink"]["address"] == address
    });
    let found = ip(&format!("-n {} -o -4 addr show dev uplink", lab.full("root")));
    assert!(found.contains(address), "{found}");
    status
}

fn last_trial(status: &Value) -> Value {
    status["trials"]
        .as_array()
        .and_then(|all| all.last())
        .cloned()
        .unwrap_or_default()
}

fn file(lab: &Lab, name: &str) -> Option<String> {
    std::fs::read_to_string(lab.path(name)).ok()
}

fn try_site(lab: &Lab, site: &str) -> Value {
    lab.ask(&json!({ "do": "try", "file": "new.toml", "site": site }))
}

const LONG: Duration = Duration::from_secs(120);

#[test]
fn netd_process() {
    netd_lab::be_netd();
}

#[test]
fn a_confirmed_site_is_kept() {
    let Some(mut lab) = lab("k", LONG) else { return };
    assert_eq!(file(&lab, "site.toml").unwrap(), SITE);
    let answer = try_site(&lab, &moved());
    assert_eq!(answer["done"]["seconds"], 120, "{answer}");
    let status = at(&mut lab, "10.9.0.3/24");
    assert_eq!(status["on-trial"], true);
    assert_eq!(lab.reloads, 1);
    // What every service reads is the site on trial; what the box would start with is the last good one.
    assert_eq!(file(&lab, "site.toml").unwrap(), moved());
    assert_eq!(file(&lab, "config/site.toml").unwrap(), SITE);

    let again = try_site(&lab, SITE);
    assert!(
        again["refused"].as_str().unwrap().contains("a trial is running"),
        "{again}"
    );
    assert_eq!(
        lab.ask(&json!({ "do": "confirm", "by": "a test" })),
        json!({ "done": {} })
    );
    let status = lab.wait("kept", |status| status["on-trial"] == false);
    assert_eq!(last_trial(&status)["ended"]["outcome"], "kept", "{status:#}");
    assert_eq!(last_trial(&status)["ended"]["why"], "confirmed by a test");
    assert_eq!(file(&lab, "config/site.toml").unwrap(), moved());
    assert_eq!(file(&lab, "config/site.trial.toml"), None);
    assert_eq!(lab.reloads, 1, "nothing changed for the others");
    at(&mut lab, "10.9.0.3/24");
}

#[test]
fn a_reverted_site_is_gone() {
    let Some(mut lab) = lab("r", LONG) else { return };
    try_site(&lab, &moved());
    at(&mut lab, "10.9.0.3/24");
    let done = lab.ask(&json!({ "do": "revert", "by": "a\ntest" }));
    assert_eq!(done, json!({ "done": {} }));
    let status = at(&mut lab, "10.9.0.2/24");
    assert_eq!(last_trial(&status)["ended"]["why"], "reverted by atest");
    assert_eq!(file(&lab, "site.toml").unwrap(), SITE);
    assert_eq!(lab.reloads, 2);
    let again = lab.ask(&json!({ "do": "revert", "by": "a test" }));
    assert_eq!(again, json!({ "refused": "no trial is running" }));
}

#[test]
fn a_site_that_nobody_confirms_is_undone_in_time_and_says_why() {
    let Some(mut lab) = lab("t", Duration::from_secs(3)) else {
        return;
    };
    ip(&format!("-n {} link set eth0 down", lab.full("lan")));
    lab.wait("unplugged", |status| status["uplink"]["link"] == "no cable");
    let began = Instant::now();
    try_site(&lab, &moved());
    let status = lab.wait("undone", |status| {
        last_trial(status)["ended"]["outcome"] == "undone"
    });
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let why = last_trial(&status)["ended"]["why"].as_str().unwrap().to_owned();
    assert_eq!(
        why,
        "not confirmed within 3 s; uplink: no cable, or nothing at its other end"
    );
    at(&mut lab, "10.9.0.2/24");
    assert_eq!(file(&lab, "config/site.trial.toml"), None);
}

#[test]
fn a_tls_exchange_over_the_new_network_keeps_it() {
    let Some(mut lab) = lab("x", LONG) else { return };
    let since_boot = || u64::try_from(rap_core::moment::since_boot().as_millis()).unwrap();
    let say = |lab: &Lab, site: &str, exchanged: u64| {
        let said = json!({ "site": fingerprint(site.as_bytes()), "exchanged": exchanged });
        rap_core::status::write(&lab.path("status"), "forward", &said).unwrap();
    };
    let before = since_boot();
    try_site(&lab, &moved());
    // Neither an exchange before the trial, nor one over the old network's site counts.
    say(&lab, &moved(), before);
    let deadline = Instant::now() + Duration::from_millis(2500);
    lab.wait("looked twice", |_| Instant::now() > deadline);
    say(&lab, SITE, since_boot());
    let deadline = Instant::now() + Duration::from_millis(2500);
    let status = lab.wait("looked twice", |_| Instant::now() > deadline);
    assert_eq!(status["on-trial"], true, "{status:#}");

    say(&lab, &moved(), since_boot());
    let status = lab.wait("kept", |status| status["on-trial"] == false);
    assert_eq!(
        last_trial(&status)["ended"]["why"],
        "the box spoke TLS with its service centre"
    );
    assert_eq!(file(&lab, "config/site.toml").unwrap(), moved());
}

#[test]
fn a_crash_goes_on_with_the_trial_and_with_its_time() {
    let Some(mut lab) = lab("c", Duration::from_secs(8)) else {
        return;
    };
    let began = Instant::now();
    try_site(&lab, &moved());
    at(&mut lab, "10.9.0.3/24");
    for _ in 0..2 {
        lab.kill_netd();
        lab.start_netd();
        let status = at(&mut lab, "10.9.0.3/24");
        assert_eq!(status["on-trial"], true);
        assert_eq!(file(&lab, "site.toml").unwrap(), moved());
    }
    assert_eq!(lab.reloads, 1, "the others were not disturbed");
    let names: Vec<_> = lab.sockets.keys().cloned().collect();
    assert_eq!(names, ["ingest@port1", "web@port1"]);
    lab.wait("undone", |status| {
        last_trial(status)["ended"]["outcome"] == "undone"
    });
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(8) && took < Duration::from_secs(14),
        "{took:?}"
    );
    at(&mut lab, "10.9.0.2/24");
}

#[test]
fn a_trial_whose_time_is_over_before_netd_is_there_again_is_not_gone_on_with() {
    let Some(mut lab) = lab("l", Duration::from_secs(2)) else {
        return;
    };
    try_site(&lab, &moved());
    lab.kill_netd();
    // Time that has to pass, and nothing to wait for: netd is not there.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(file(&lab, "site.toml").unwrap(), moved());
    lab.start_netd();
    let status = at(&mut lab, "10.9.0.2/24");
    assert_eq!(last_trial(&status)["ended"]["why"], "not confirmed within 2 s");
    assert_eq!(file(&lab, "site.toml").unwrap(), SITE);
}

#[test]
fn a_restart_of_the_box_undoes_the_trial() {
    let Some(mut lab) = lab("b", LONG) else { return };
    try_site(&lab, &moved());
    at(&mut lab, "10.9.0.3/24");
    lab.kill_netd();
    std::fs::write(lab.path("boot-id"), "the second boot").unwrap();
    lab.start_netd();
    let status = at(&mut lab, "10.9.0.2/24");
    assert_eq!(status["on-trial"], false);
    assert_eq!(last_trial(&status)["ended"]["outcome"], "undone");
    let why = last_trial(&status)["ended"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("restarted, or its power cut"), "{why}");
    assert_eq!(file(&lab, "site.toml").unwrap(), SITE);
    assert_eq!(file(&lab, "config/site.trial.toml"), None);
}

#[test]
fn a_port_that_is_not_in_the_new_site_goes_and_comes_back() {
    let Some(mut lab) = lab("p", LONG) else { return };
    let port = SITE.split_at(SITE.find("[[port]]").unwrap()).1;
    let port2 = port.replace("port1", "port2").replace("00:11", "00:12");
    let namespaces = |lab: &Lab| ["port1", "port2"].map(|name| lab.ns(name).exists());
    let sockets = |lab: &Lab| lab.sockets.keys().cloned().collect::<Vec<_>>();

    try_site(&lab, &format!("{}{port2}", SITE.replace(port, "")));
    let status = lab.wait("another port", |status| status["ports"][0]["name"] == "port2");
    assert_eq!(status["ports"][0]["link"], "up", "{status:#}");
    assert_eq!(namespaces(&lab), [false, true]);
    assert_eq!(sockets(&lab), ["ingest@port2", "web@port2"]);
    lab.ask(&json!({ "do": "revert", "by": "a test" }));
    let status = lab.wait("the first port", |status| status["ports"][0]["name"] == "port1");
    assert_eq!(status["problems"], json!([]));
    assert_eq!(namespaces(&lab), [true, false]);
    assert_eq!(sockets(&lab), ["ingest@port1", "web@port1"]);
}

#[test]
fn a_socket_that_changes_its_address_is_replaced_and_one_that_does_not_is_kept() {
    let Some(mut lab) = lab("s", LONG) else { return };
    let inode = |lab: &Lab| rustix::fs::fstat(&lab.sockets["ingest@port1"]).unwrap().st_ino;
    let first = inode(&lab);
    try_site(&lab, &moved());
    at(&mut lab, "10.9.0.3/24");
    assert_eq!(inode(&lab), first);
    lab.ask(&json!({ "do": "confirm", "by": "a test" }));
    // A netd that is restarted goes on with the socket it gets back.
    lab.kill_netd();
    lab.start_netd();
    at(&mut lab, "10.9.0.3/24");
    assert_eq!(inode(&lab), first);

    try_site(&lab, &format!("{}ingest = \"http\"\n", moved()));
    lab.wait("another socket", |status| status["on-trial"] == true);
    let port = |lab: &Lab| {
        let copy = lab.sockets["ingest@port1"].try_clone().unwrap();
        std::net::TcpListener::from(copy).local_addr().unwrap().port()
    };
    assert_ne!(inode(&lab), first);
    assert_eq!(port(&lab), 8080);
    lab.ask(&json!({ "do": "revert", "by": "a test" }));
    lab.wait("the old socket", |status| status["on-trial"] == false);
    assert_eq!(port(&lab), 8443);
}

/// What `rapctl net` says in the lab, and its exit code.
fn rapctl(lab: &Lab, arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rap"))
        .args(["ctl", "net", "--socket"])
        .arg(lab.path("netd.sock"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn rapctl_tells_of_links_differences_and_trials() {
    let Some(mut lab) = lab("a", LONG) else { return };
    let (code, said) = rapctl(&lab, &["status"]);
    assert!(code == 0 && said.contains("all is well"), "{code}: {said}");
    let (code, said) = rapctl(&lab, &["status", "--json"]);
    let state: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &state["uplink"]["address"]), (0, &json!("10.9.0.2/24")));

    let (code, said) = rapctl(&lab, &["diff"]);
    assert!(code == 0 && said.contains("as planned"), "{code}: {said}");
    // netd mends it when it hears of it; a rule it hears nothing of.
    lab.nft("root", "flush chain inet netfw output");
    let (code, said) = rapctl(&lab, &["diff"]);
    assert!(
        code == 1 && said.contains("root: load table netfw"),
        "{code}: {said}"
    );

    let new = lab.path("new.toml");
    let new = new.to_str().unwrap();
    std::fs::write(new, "version = 2\n").unwrap();
    let (code, said) = rapctl(&lab, &["try", new]);
    assert!(
        code == 1 && said.contains("new.toml:1:11: version: found 2"),
        "{code}: {said}"
    );
    std::fs::write(new, moved()).unwrap();
    let (code, said) = rapctl(&lab, &["plan", new]);
    assert!(code == 0 && said.contains("IPv4 10.9.0.3/24"), "{code}: {said}");
    let (code, said) = rapctl(&lab, &["try", new]);
    assert!(
        code == 0 && said.starts_with("applied; undone in 120 s unless"),
        "{code}: {said}"
    );
    at(&mut lab, "10.9.0.3/24");
    let (_, said) = rapctl(&lab, &["status"]);
    assert!(said.contains("is on trial: undone in 1"), "{said}");
    let (code, said) = rapctl(&lab, &["confirm"]);
    assert!(code == 0 && said.starts_with("kept"), "{code}: {said}");
    let (code, said) = rapctl(&lab, &["revert"]);
    assert_eq!(
        (code, said.as_str()),
        (1, "rapctl: refused: no trial is running\n")
    );
    let (_, said) = rapctl(&lab, &["status"]);
    assert!(said.contains("confirmed by an operator (rapctl)"), "{said}");

    lab.kill_netd();
    let (code, said) = rapctl(&lab, &["confirm"]);
    assert!(code == 2 && said.contains("does netd run"), "{code}: {said}");
    let from = lab.path("status");
    let (code, said) = rapctl(&lab, &["status", "--from", from.to_str().unwrap()]);
    assert!(code == 0 && said.contains("netd was not asked"), "{code}: {said}");
}

#[test]
fn what_is_open_to_a_session_is_told_and_survives_a_trial_of_another_site() {
    let Some(mut lab) = lab("o", LONG) else { return };
    let sessions = "remote = [\"tcp/5900\"]\n[sessions]\nprefix = \"100.64.7.0/24\"\n";
    let with_sessions = format!("{SITE}{sessions}");
    try_site(&lab, &with_sessions);
    lab.ask(&json!({ "do": "confirm", "by": "a test" }));
    let site = rap_core::site::Site::parse(&with_sessions, std::path::Path::new("site.toml")).unwrap();
    let port = &site.ports[0];
    let opened = netfw::session::open(
        &lab.machine(),
        &site.network().unwrap(),
        &port.name,
        &port.remote,
        LONG,
    );
    opened.unwrap();
    let (code, said) = rapctl(&lab, &["status"]);
    assert!(
        code == 0 && said.contains("open: port1 tcp/5900 at 100.64.7.1 for 1"),
        "{said}"
    );
    try_site(&lab, &format!("{}{sessions}", moved()));
    at(&mut lab, "10.9.0.3/24");
    let (code, said) = rapctl(&lab, &["status"]);
    assert!(
        code == 0 && said.contains("open: port1 tcp/5900 at 100.64.7.1 for 1"),
        "{said}"
    );
}

#[test]
fn rapctl_waits_for_the_end_of_a_trial_and_packets_thrown_away_are_counted() {
    let Some(lab) = lab("v", Duration::from_secs(3)) else {
        return;
    };
    ip(&format!(
        "-n {} addr add 192.168.1.50/24 dev eth0",
        lab.full("i1")
    ));
    let door = "192.168.1.1:22".parse().unwrap();
    let knock = || std::net::TcpStream::connect_timeout(&door, Duration::from_millis(100)).is_err();
    assert!(lab.ns("i1").run(knock).unwrap());
    let (_, said) = rapctl(&lab, &["status"]);
    assert!(said.contains("port1 input: not allowed"), "{said}");

    let new = lab.path("new.toml");
    std::fs::write(&new, moved()).unwrap();
    let (code, said) = rapctl(&lab, &["try", "--wait", new.to_str().unwrap()]);
    assert!(
        code == 1 && said.contains("undone: not confirmed within 3 s"),
        "{code}: {said}"
    );
}

#[test]
fn what_cannot_work_is_refused_and_nothing_is_changed() {
    let Some(mut lab) = lab("n", LONG) else { return };
    let refused = |lab: &Lab, site: &str| try_site(lab, site)["refused"].as_str().unwrap().to_owned();
    let mistakes = refused(
        &lab,
        &SITE
            .replace("192.168.1.50", "192.168.2.50")
            .replace("10.9.0.2/24", "ten"),
    );
    assert!(
        mistakes.contains("new.toml:6:11: uplink.address: found \"ten\""),
        "{mistakes}"
    );
    assert!(mistakes.ends_with("new.toml: 2 mistakes"), "{mistakes}");
    assert!(refused(&lab, SITE).contains("in force already"));
    let card = refused(&lab, &SITE.replace("00:00:01", "00:00:99"));
    assert!(card.contains("no network card mac:02:00:00:00:00:99"), "{card}");
    let status = lab.status();
    assert_eq!(status["trials"], json!([]));
    assert_eq!((lab.reloads, status["on-trial"].clone()), (0, json!(false)));
    at(&mut lab, "10.9.0.2/24");
}

#[test]
fn a_box_without_a_usable_site_can_be_given_one() {
    if !possible(&[]) {
        return;
    }
    let mut lab = Lab::build("w", "version = 2\n").with_trial(LONG);
    lab.start_netd();
    let status = lab.wait("up", |status| status["trouble"].is_string());
    assert!(
        status["trouble"].as_str().unwrap().contains("version: found 2"),
        "{status:#}"
    );
    try_site(&lab, SITE);
    let status = at(&mut lab, "10.9.0.2/24");
    assert_eq!(status["trouble"], Value::Null);
    lab.ask(&json!({ "do": "revert", "by": "a test" }));
    lab.wait("without site", |status| status["trouble"].is_string());
    assert!(lab.sockets.is_empty());
    assert_eq!(file(&lab, "site.toml"), None);
}
