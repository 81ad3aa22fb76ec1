//! The forwarder between an instrument and the service centre, in one process, over real TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rap_core::forward::uplink::Patience;
use rap_core::forward::{Config, Forwarder, Lane, Listener};
use rap_core::identity::Identity;
use rap_core::site::Ingest;
use rap_tests::centre::{Centre, Fault, Store};
use rap_tests::instrument::{Agent, Plan, Target, report};
use rap_tests::keys;
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

/// A box and a service centre with keys of one family.
struct Rig {
    directory: tempfile::TempDir,
    centre: Centre,
    forwarder: Option<Forwarder>,
}

impl Rig {
    fn new() -> Self {
        listen_to_log();
        let directory = tempfile::tempdir().unwrap();
        keys::write(directory.path()).unwrap();
        let centre = Centre::quiet(directory.path(), &directory.path().join("centre.db")).unwrap();
        Self {
            directory,
            centre,
            forwarder: None,
        }
    }

    fn started() -> Self {
        let mut rig = Self::new();
        rig.start(|_| {});
        rig
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn start(&mut self, adjust: impl FnOnce(&mut Config)) {
        let identity = Identity::load(self.path()).unwrap();
        let mut config = config(self.path(), self.centre.url(), "127.0.0.1:0".parse().unwrap());
        adjust(&mut config);
        self.forwarder = Some(Forwarder::start(config, &identity).unwrap());
    }

    fn address(&self, port: usize) -> SocketAddr {
        self.forwarder.as_ref().unwrap().addresses()[port]
    }

    fn agent(&self) -> Agent {
        agent(self.path(), self.address(0))
    }

    fn post(&self, plan: &Plan) {
        self.agent().run(plan, &self.path().join("acked")).unwrap();
    }

    fn waiting(&self) -> u64 {
        let status = self.forwarder.as_ref().unwrap().status();
        status.routine.waiting + status.alert.waiting
    }

    fn delivered(&self, count: usize) -> Vec<String> {
        let events = self.centre.store().unwrap().wait_for(count, LONG).unwrap();
        assert_eq!(
            self.centre.store().unwrap().order_errors().unwrap(),
            Vec::<String>::new()
        );
        events.into_iter().map(|e| e.id).collect()
    }
}

fn config(directory: &Path, centre: String, listen: SocketAddr) -> Config {
    let mut config = Config::new(&directory.join("log"), centre);
    config.log.segment = 64 * 1024;
    config.log.total = 16 * 64 * 1024;
    config.patience = Patience {
        step: Duration::from_secs(5),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
    };
    for (ingest, listen) in [
        (Ingest::Tls, listen),
        (Ingest::Http, "127.0.0.1:0".parse().unwrap()),
    ] {
        config.listeners.push(Listener {
            source: format!("/lab/port{}", config.listeners.len() + 1),
            ingest,
            socket: TcpListener::bind(listen).unwrap(),
        });
    }
    config
}

fn agent(keys: &Path, address: SocketAddr) -> Agent {
    let target = Target {
        url: format!("https://{address}"),
        ca: Some(keys.join("centre-ca.crt")),
        server_name: Some(keys::INGEST_NAME.to_owned()),
    };
    Agent::new(&target).unwrap()
}

fn plan(source: &str, count: u64) -> Plan {
    Plan {
        source: source.to_owned(),
        count,
        start: 1,
        interval: Duration::ZERO,
        alert_every: None,
        deadline: LONG,
    }
}

fn ids(source: &str, count: u64) -> Vec<String> {
    (1..=count).map(|k| format!("{source}-{k}")).collect()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("rap") {
            LINES
                .get_or_init(Mutex::default)
                .lock()
                .unwrap()
                .push(record.args().to_string());
        }
    }
    fn flush(&self) {}
}

fn listen_to_log() {
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

fn lines_with(text: &str) -> Vec<String> {
    let lines = LINES.get_or_init(Mutex::default).lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}

#[test]
fn reports_of_two_instruments_arrive_once_and_in_order() {
    let rig = Rig::started();
    let plain = Agent::new(&Target {
        url: format!("http://{}", rig.address(1)),
        ca: None,
        server_name: None,
    });
    plain
        .unwrap()
        .run(&plan("b", 20), &rig.path().join("acked-b"))
        .unwrap();
    rig.post(&Plan {
        alert_every: Some(5),
        ..plan("a", 20)
    });
    rig.delivered(40);
    let events = rig.centre.store().unwrap().events().unwrap();
    for (source, name) in [("/lab/port1", "a"), ("/lab/port2", "b")] {
        let mut of_port: Vec<_> = events.iter().filter(|e| e.source == source).collect();
        of_port.sort_by_key(|e| e.event["data"]["k"].as_u64());
        let found: Vec<_> = of_port.iter().map(|e| e.id.clone()).collect();
        assert_eq!(found, ids(name, 20));
    }
    assert_eq!(events.iter().filter(|e| e.lane == "alert").count(), 4);
    wait_until("the log is empty", || rig.waiting() == 0);
}

#[test]
fn a_killed_forwarder_loses_nothing_it_acknowledged() {
    let rig = Rig::new();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let acked = rig.path().join("acked");
    let mut child = Child::start(&rig, listen);
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            let plan = Plan {
                interval: Duration::from_millis(5),
                ..plan("a", 200)
            };
            agent(rig.path(), listen).run(&plan, &acked)
        });
        for kill_at in [30, 80, 150] {
            wait_until("enough is acknowledged", || {
                std::fs::read_to_string(&acked)
                    .unwrap_or_default()
                    .lines()
                    .count()
                    >= kill_at
                    || posting.is_finished()
            });
            child.kill();
            child = Child::start(&rig, listen);
        }
        posting.join().unwrap().unwrap();
    });
    assert_eq!(rig.delivered(200), ids("a", 200));
}

/// Not a test by itself: the process the test above kills.
#[test]
fn child_forwarder() {
    let Some(directory) = std::env::var_os("RAP_TEST_CHILD").map(PathBuf::from) else {
        return;
    };
    let centre = std::env::var("RAP_TEST_CENTRE").unwrap();
    let listen = std::env::var("RAP_TEST_LISTEN").unwrap().parse().unwrap();
    let identity = Identity::load(&directory).unwrap();
    let _forwarder = Forwarder::start(config(&directory, centre, listen), &identity).unwrap();
    loop {
        std::thread::park();
    }
}

struct Child(std::process::Child);

impl Child {
    fn start(rig: &Rig, listen: SocketAddr) -> Self {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_forwarder", "--nocapture"])
            .env("RAP_TEST_CHILD", rig.path())
            .env("RAP_TEST_CENTRE", rig.centre.url())
            .env("RAP_TEST_LISTEN", listen.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_restarted_forwarder_delivers_what_the_one_before_took() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|_| {});
    rig.post(&plan("a", 10));
    rig.forwarder = None;
    rig.centre.fault(None);
    rig.start(|_| {});
    assert_eq!(rig.delivered(10), ids("a", 10));
}

#[test]
fn the_box_refuses_a_centre_of_another_ca_and_says_so_once() {
    let mut rig = Rig::new();
    let other = tempfile::tempdir().unwrap();
    keys::write(other.path()).unwrap();
    std::fs::copy(
        other.path().join("centre-ca.crt"),
        rig.path().join("centre-ca.crt"),
    )
    .unwrap();
    rig.start(|_| {});
    let plain = Agent::new(&Target {
        url: format!("http://{}", rig.address(1)),
        ca: None,
        server_name: None,
    });
    plain
        .unwrap()
        .run(&plan("a", 3), &rig.path().join("acked"))
        .unwrap();
    wait_until("the centre was tried a few times", || {
        rig.centre.refusals().len() >= 4
    });
    let said = lines_with("certificate is refused");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(
        said[0],
        "not delivering: the service centre's certificate is refused: it was not issued by the CA in centre-ca.crt; \
         reports are kept and sent when it works again"
    );
    assert_eq!(rig.waiting(), 3);
    assert!(rig.centre.store().unwrap().arrivals().unwrap().is_empty());
}

#[test]
fn the_centre_refuses_a_box_of_another_ca_and_both_say_so() {
    let mut rig = Rig::new();
    let other = tempfile::tempdir().unwrap();
    keys::write(other.path()).unwrap();
    for name in ["device.crt", "device.key"] {
        std::fs::copy(other.path().join(name), rig.path().join(name)).unwrap();
    }
    rig.start(|_| {});
    rig.post(&plan("a", 1));
    wait_until("the box was refused a few times", || {
        rig.centre.refusals().len() >= 4
    });
    wait_until("the box says so", || {
        !lines_with("refuses this box's certificate").is_empty()
    });
    let said = lines_with("refuses this box's certificate");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("its CA did not issue device.crt"), "{said:?}");
    assert!(rig.centre.refusals()[0].contains("its client certificate is not ours"));
}

#[test]
fn the_centre_refuses_a_client_without_a_certificate() {
    let rig = Rig::new();
    let target = Target {
        url: rig.centre.url(),
        ca: Some(rig.path().join("centre-ca.crt")),
        server_name: None,
    };
    assert!(Agent::new(&target).unwrap().post(&json!({})).is_err());
    wait_until("the centre says so", || !rig.centre.refusals().is_empty());
    assert_eq!(
        rig.centre.refusals(),
        ["refused 127.0.0.1: it has no client certificate"]
    );
}

#[test]
fn a_captive_portals_200_is_not_a_receipt() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::CaptivePortal));
    rig.post(&plan("a", 5));
    wait_until("the portal answered three times", || rig.centre.shown() >= 3);
    assert_eq!(rig.waiting(), 5);
    let trouble = rig.forwarder.as_ref().unwrap().status().trouble.unwrap();
    assert!(trouble.contains("not a receipt"), "{trouble}");
    rig.centre.fault(None);
    assert_eq!(rig.delivered(5), ids("a", 5));
}

#[test]
fn a_reply_lost_after_the_commit_makes_duplicates_but_no_second_event() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::DropReply));
    rig.post(&plan("a", 5));
    wait_until("replies were dropped", || rig.centre.shown() >= 3);
    rig.centre.fault(None);
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(rig.delivered(5), ids("a", 5));
    assert!(rig.centre.store().unwrap().duplicates().unwrap() > 0);
}

#[test]
fn when_full_routine_waits_outside_and_alerts_are_taken() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|_| {});
    let agent = rig.agent();
    let large = |id: String, priority: &str| json!({"specversion": "1.0", "id": id, "type": "t", "priority": priority, "data": "x".repeat(20_000)});
    let taken = (0..1000)
        .take_while(|k| agent.post(&large(format!("r{k}"), "routine")).unwrap().status == 202)
        .count();
    assert!((10..900).contains(&taken), "{taken}");
    let refused = agent.post(&large("late".to_owned(), "routine")).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(
        agent.post(&large("alarm".to_owned(), "alert")).unwrap().status,
        202
    );
    rig.centre.fault(None);
    let arrived = rig.delivered(taken + 1);
    assert!(arrived.contains(&"alarm".to_owned()));
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(
        agent.post(&large("late".to_owned(), "routine")).unwrap().status,
        202
    );
    assert!(rig.delivered(taken + 2).contains(&"late".to_owned()));
}

#[test]
fn the_same_report_again_is_accepted_again_and_stored_once() {
    let rig = Rig::started();
    let agent = rig.agent();
    let mut event = report(&plan("a", 1), "a-1", 1);
    let answers: Vec<_> = (0..3).map(|_| agent.post(&event).unwrap()).collect();
    assert_eq!(
        (answers[0].status, answers[0].body.as_str()),
        (202, r#"{"accepted":["a-1"]}"#)
    );
    assert!(answers.iter().all(|a| *a == answers[0]));
    event["data"] = json!("another");
    assert_eq!(agent.post(&event).unwrap().status, 409);
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(rig.delivered(1), ["a-1"]);
    assert_eq!(rig.centre.store().unwrap().duplicates().unwrap(), 0);
}

#[test]
fn the_boxs_own_report_comes_first() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.hello = Some(rap_core::forward::log::NewRecord {
            source: "/lab".to_owned(),
            id: "hello".to_owned(),
            received: 0,
            event: br#"{"specversion":"1.0","id":"hello","source":"/lab","type":"rap.box.started"}"#.to_vec(),
        });
    });
    rig.post(&plan("a", 1));
    assert_eq!(rig.delivered(2), ["hello", "a-1"]);
}

#[test]
fn wrong_requests_are_answered_as_the_protocol_says() {
    let rig = Rig::started();
    let event = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let kind = "Content-Type: application/cloudevents+json\r\n";
    for (line, headers, body, status) in [
        ("POST /", kind, event, 404),
        ("GET /v1/status", "", "", 405),
        ("POST /v1/status", "", event, 415),
        ("POST /v1/status", "Content-Type: text/plain\r\n", event, 415),
        (
            "POST /v1/status",
            &format!("{kind}Content-Encoding: gzip\r\n"),
            event,
            415,
        ),
        ("POST /v1/status", kind, "{", 400),
        ("POST /v1/status", kind, &"[".repeat(1000), 400),
        ("POST /v1/status", kind, &" ".repeat(300_000), 413),
        ("POST /v1/status", kind, event, 202),
    ] {
        let answer = raw(rig.address(1), line, headers, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {headers}: {answer}"
        );
        assert_eq!(
            answer.contains("application/problem+json"),
            status != 202,
            "{answer}"
        );
        assert_eq!(
            answer.to_lowercase().contains("allow: post"),
            status == 405,
            "{answer}"
        );
    }
}

fn raw(address: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The answer to a body that is too large may come before all of it is sent.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_slow_client_is_cut_off_and_the_next_one_served() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.limits.connections = 2;
        config.limits.head = Duration::from_millis(300);
        config.limits.body = Duration::from_millis(300);
    });
    let head = "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n";
    let slow: Vec<_> = [head.to_owned(), format!("{head}Content-Length: 100\r\n\r\n{{")]
        .iter()
        .map(|start| {
            let mut stream = TcpStream::connect(rig.address(1)).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            stream
        })
        .collect();
    let body = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let answer = raw(
        rig.address(1),
        "POST /v1/status",
        "Content-Type: application/cloudevents+json\r\n",
        body,
    );
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    for mut stream in slow {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut rest = Vec::new();
        // Ends, whether by an orderly close or a reset.
        let _ = stream.read_to_end(&mut rest);
    }
}

#[test]
fn the_store_can_be_read_while_the_centre_writes() {
    let rig = Rig::started();
    let store = Store::open(&rig.path().join("centre.db")).unwrap();
    rig.post(&plan("a", 3));
    assert_eq!(store.wait_for(3, LONG).unwrap().len(), 3);
    assert_eq!(Lane::ALL[0].as_str(), "alert");
}
