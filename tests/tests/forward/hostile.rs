//! A client that wishes us ill: the forwarder in a process of its own stays small, and an honest agent is served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rap_core::forward::ingest::Limits;
use rap_core::forward::{Forwarder, Listener};
use rap_core::identity::Identity;
use rap_core::site::Ingest;
use rap_tests::instrument::{Agent, Plan};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::rig::*;

/// What the forwarder's memory stays under, whatever is done to it.
const MEMORY_KIB: u64 = 64 * 1024;
/// "Within seconds": what an honest agent waits at most, on a machine busy with other tests.
const SECONDS: Duration = Duration::from_secs(20);
const KIND: &str = "Content-Type: application/cloudevents+json\r\n";

/// The forwarder in a process of its own, on a TLS and on a plain port.
struct Victim {
    rig: Rig,
    process: std::process::Child,
    tls: SocketAddr,
    http: SocketAddr,
}

impl Victim {
    fn start() -> Self {
        let rig = Rig::new();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (tls, http) = (free(), free());
        let process = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::victim", "--nocapture"])
            .env("RAP_TEST_VICTIM", rig.path())
            .env("RAP_TEST_CENTRE", rig.centre.url())
            .env("RAP_TEST_LISTEN", format!("{tls},{http}"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until("it listens", || {
            TcpStream::connect(http).is_ok() && TcpStream::connect(tls).is_ok()
        });
        Self {
            rig,
            process,
            tls,
            http,
        }
    }

    fn agent(&self) -> Agent {
        agent(self.rig.path(), self.tls)
    }

    /// The most memory it ever used, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// An honest agent is served in time, and memory stayed within its bound.
    fn expect_well(&self, what: &str) {
        let start = Instant::now();
        let honest = Plan {
            deadline: SECONDS,
            ..plan(&format!("honest-{}", what.replace(' ', "-")), 3)
        };
        self.agent().run(&honest, &self.rig.path().join("acked")).unwrap();
        let peak = self.peak();
        println!(
            "{what}: an honest agent served in {:?}, {peak} KiB at most",
            start.elapsed()
        );
        assert!(start.elapsed() < SECONDS, "{what}: {:?}", start.elapsed());
        assert!(peak < MEMORY_KIB, "{what}: {peak} KiB");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test by itself: the process the tests here attack, with the limits the box has.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os("RAP_TEST_VICTIM").map(PathBuf::from) else {
        return;
    };
    let listen = std::env::var("RAP_TEST_LISTEN").unwrap();
    let (tls, http) = listen.split_once(',').unwrap();
    let mut config = config(
        &directory,
        std::env::var("RAP_TEST_CENTRE").unwrap(),
        "127.0.0.1:0".parse().unwrap(),
    );
    config.limits = Limits::default();
    config.listeners = [(tls, Ingest::Tls), (http, Ingest::Http)]
        .map(|(address, ingest)| Listener {
            source: format!("/lab/{}", if ingest == Ingest::Tls { "port1" } else { "port2" }),
            ingest,
            triggers: Vec::new(),
            socket: TcpListener::bind(address).unwrap(),
        })
        .into();
    let identity = Identity::load(&directory).unwrap();
    let _forwarder = Forwarder::start(config, &identity).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn ten_thousand_idle_connections() {
    const EACH: usize = 5000;
    let victim = Victim::start();
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = 2 * EACH as u64 + 500;
    if limit.maximum.is_some_and(|most| most < wanted) {
        limit.maximum = Some(wanted);
    }
    limit.current = limit.maximum;
    if rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_err() {
        assert!(std::env::var_os("CI").is_none(), "needs {wanted} open files");
        println!("skipped: needs {wanted} open files (ulimit -Hn)");
        return;
    }
    let idle: Vec<OwnedFd> = (0..EACH)
        .flat_map(|_| [victim.tls, victim.http])
        .map(|address| {
            let (kind, flags) = (SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
            let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None).unwrap();
            // Asked for and not waited for.
            let _ = rustix::net::connect(&socket, &address);
            socket
        })
        .collect();
    victim.expect_well("ten thousand idle connections");
    assert_eq!(idle.len(), 2 * EACH);
}

#[test]
fn heads_and_bodies_that_never_end() {
    let victim = Victim::start();
    let head = format!("POST /v1/status HTTP/1.1\r\nHost: x\r\n{KIND}");
    let body = format!("{{\"a\":\"{}", "x".repeat(255 * 1024));
    let slow: Vec<TcpStream> = (0..64)
        .map(|k| {
            let mut stream = TcpStream::connect(victim.http).unwrap();
            stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
            // As much of a body as is allowed and never its end; or half a head. Some are cut off meanwhile.
            let _ = if k % 2 == 0 {
                stream.write_all(format!("{head}Content-Length: 262144\r\n\r\n{body}").as_bytes())
            } else {
                stream.write_all(head.as_bytes())
            };
            stream
        })
        .collect();
    let mut stream = TcpStream::connect(victim.http).unwrap();
    let endless = "10000\r\n".to_owned() + &"x".repeat(0x10000) + "\r\n";
    stream
        .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
        .unwrap();
    let sent = (0..10_000)
        .take_while(|_| stream.write_all(endless.as_bytes()).is_ok())
        .count();
    assert!(sent < 10_000, "an endless body is cut off");
    let honest = super::ingest::raw(
        victim.http,
        "POST /v1/status",
        KIND,
        r#"{"specversion":"1.0","id":"1","type":"t"}"#,
    );
    assert!(honest.starts_with("HTTP/1.1 202"), "{honest}");
    victim.expect_well("slow bodies");
    drop(slow);
}

#[test]
fn bombs_of_every_kind_are_refused_and_cost_nothing() {
    let victim = Victim::start();
    let event = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","type":"t"{rest}}}"#).into_bytes();
    let mut twice = b"{".to_vec();
    for k in 0..20_000 {
        twice.extend_from_slice(format!("\"k{k}\":0,").as_bytes());
    }
    twice.extend_from_slice(b"\"k0\":0}");
    let fields: String = (0..100).map(|k| format!("x-{k}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(60_000));
    let gzip = format!("{KIND}Content-Encoding: gzip\r\n");
    let not_utf8 = [&event(",\"data\":\"")[..], b"\xc3\x28\"}"].concat();
    for (what, headers, body, status, word) in [
        ("deep", KIND, "[".repeat(200_000).into_bytes(), 400, "too-deep"),
        (
            "deep objects",
            KIND,
            "{\"a\":".repeat(50_000).into_bytes(),
            400,
            "too-deep",
        ),
        ("truncated JSON", KIND, event("")[..20].to_vec(), 400, "not-json"),
        ("not UTF-8", KIND, not_utf8, 400, "not-utf-8"),
        ("a name twice", KIND, twice, 400, "duplicate-name"),
        ("a number", KIND, event(",\"data\":1e999999999"), 400, "not-json"),
        (
            "many digits",
            KIND,
            event(&format!(",\"data\":{}", "9".repeat(200_000))),
            400,
            "not-json",
        ),
        (
            "compressed",
            &gzip,
            b"\x1f\x8b\x08".to_vec(),
            415,
            "content-encoding",
        ),
        ("large", KIND, vec![b' '; 300_000], 413, "too-large"),
        ("many fields", &fields, event(""), 431, ""),
        ("a long field", &long, event(""), 431, ""),
    ] {
        let answer = send(victim.http, headers, &body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {answer}"
        );
        assert!(answer.contains(word), "{what}: {answer}");
    }
    let many = format!("[{}]", vec!["{}"; 80_000].join(","));
    let batch = "Content-Type: application/cloudevents-batch+json\r\n";
    assert!(send(victim.http, batch, many.as_bytes()).contains("too-many-events"));
    victim.expect_well("bombs");
}

/// Posts and returns the answer, which may come before all was sent.
fn send(address: SocketAddr, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_that_breaks_off_is_no_report() {
    let victim = Victim::start();
    let mut stream = TcpStream::connect(victim.http).unwrap();
    let event = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let head = format!("POST /v1/status HTTP/1.1\r\nHost: x\r\n{KIND}Content-Length: 1000\r\n\r\n{event}");
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.starts_with("HTTP/1.1 202"), "{answer}");
    victim.expect_well("broken off");
    let arrived = victim.rig.delivered(3);
    assert!(arrived.iter().all(|id| id.starts_with("honest")), "{arrived:?}");
}

#[test]
fn one_who_never_reads_the_answers_is_given_up() {
    let mut rig = Rig::new();
    rig.start(|config| config.limits.answer = Duration::from_millis(300));
    let mut stream = TcpStream::connect(rig.address(1)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    let requests = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let error = loop {
        if let Err(error) = stream.write_all(requests.as_bytes()) {
            break error;
        }
    };
    // Not our own timeout: the box closed the connection.
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!([BrokenPipe, ConnectionReset].contains(&error.kind()), "{error}");
}
