//! The audit trail leaves the box: the real rsyslog has it, the service centre has it, and each copy's chain holds. The
//! service that carries it is killed, the collector is away, is somebody else, breaks off in the middle of a record.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rap_core::audit::{self, Event, Kind, tell_at, verify_copy};
use rap_core::trail::{self, Patience, Status};
use rap_tests::centre::Centre;
use rap_tests::collector::{self, Collector, Driver, Setup};
use rap_tests::keys::Family;
use rustls::{ServerConfig, ServerConnection};

use crate::rig::{Rig, wait_until};

/// Set for the process that is the service: the lab's folder.
const SERVICE: &str = "RAP_TEST_TRAIL";

fn lacks() -> bool {
    let root = (!rustix::process::geteuid().is_root()).then_some("root");
    let Some(lacks) = root.or_else(collector::lacks) else {
        return false;
    };
    assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
    println!("skipped: needs {lacks}");
    true
}

/// A box's audit service, a service that carries its trail away, and the hospital's keys.
struct Lab {
    place: tempfile::TempDir,
    hospital: PathBuf,
    address: SocketAddr,
    told: usize,
    service: Option<Child>,
}

impl Lab {
    /// The box's identity is in `identity`; the site's `[audit]` has this, too.
    fn new(identity: &Path, more: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let hospital = at("hospital");
        for folder in ["hospital", "trail", "collected"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        Family::new().unwrap().write(&hospital).unwrap();
        std::fs::copy(hospital.join("centre-ca.crt"), identity.join("collector-ca.crt")).unwrap();
        std::os::unix::fs::symlink(identity, at("identity")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (table, site) = ("# [audit]\n", rap_core::site::EXAMPLE);
        assert!(site.contains(table));
        let audit = format!("[audit]\ncollector = \"{address}\"\n{more}\n");
        let site = site.replace(table, &audit);
        std::fs::write(at("site.toml"), site).unwrap();
        let audit = audit::Place {
            trail: at("trail"),
            socket: at("audit.sock"),
            records: at("records.sock"),
            status: at("status"),
        };
        std::thread::spawn(move || audit::run(&audit));
        let socket = at("records.sock");
        wait_until("the audit service listens", || socket.exists());
        Self {
            hospital,
            address,
            told: 0,
            service: None,
            place,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn tell(&mut self, count: usize) {
        for _ in 0..count {
            self.told += 1;
            let event = Event::new(Kind::SiteTried, format!("event {}", self.told));
            tell_at(&self.at("audit.sock"), event.with("file", "site.toml"));
        }
    }

    fn start(&mut self) {
        self.kill();
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.args(["--exact", "trail::is_the_service", "--nocapture"]);
        command.env(SERVICE, self.place.path()).stdout(Stdio::null());
        self.service = Some(command.spawn().unwrap());
    }

    /// As a power cut would end it.
    fn kill(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }

    fn collect(&self, driver: Driver, name: &str) -> Collector {
        let setup = Setup {
            address: self.address,
            driver,
            boxes: self.at("identity/centre-ca.crt"),
            name: name.to_owned(),
            pair: ["centre.crt", "centre.key"].map(|file| self.hospital.join(file)),
        };
        Collector::start(&self.at("collected"), &setup, None).unwrap()
    }

    fn trail(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.at("trail"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
        texts.collect::<String>().lines().map(str::to_owned).collect()
    }

    fn status(&self) -> Status {
        let text = std::fs::read(self.at("status/trail.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn expect_trouble(&self, words: &str) {
        wait_until(words, || {
            let trouble = self.status().collector.and_then(|copy| copy.trouble);
            trouble.is_some_and(|trouble| trouble.contains(words))
        });
        assert_eq!(self.status().collector.unwrap().carried, 0);
    }

    /// Waits until the collector has what the trail has, by its own file and by the service's status.
    fn expect_all(&self) {
        let trail = self.trail();
        assert_eq!(trail.len(), self.told);
        wait_until("the service says that all is there", || {
            let collector = self.status().collector.unwrap_or_default();
            (collector.carried, collector.waiting) == (trail.len() as u64, 0)
        });
        let collected = collector::records(&self.at("collected"));
        expect_same(&trail, &collected);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is in a copy is what is in the trail, each record at least once, and its chain holds.
fn expect_same(trail: &[String], copy: &str) {
    let mut lines: Vec<&str> = copy.lines().collect();
    let verdict = verify_copy(lines.iter().copied());
    assert_eq!(verdict.breaks, [""; 0]);
    assert_eq!(verdict.head, verify_copy(trail.iter().map(String::as_str)).head);
    let number = |line: &str| trail.iter().position(|other| other == line);
    lines.sort_by_key(|line| number(line));
    lines.dedup();
    assert_eq!(lines, trail);
}

#[test]
fn is_the_service() {
    let Some(folder) = std::env::var_os(SERVICE).map(PathBuf::from) else {
        return;
    };
    let at = |name: &str| folder.join(name);
    let place = trail::Place {
        site: at("site.toml"),
        identity: at("identity"),
        memory: at("memory"),
        records: at("records.sock"),
        socket: at("trail.sock"),
        status: at("status"),
        relay: None,
        patience: Patience {
            step: Duration::from_secs(5),
            whole: Duration::from_secs(20),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_millis(200),
        },
    };
    // As init does with a service that ended.
    let error = trail::run(&place).unwrap_err();
    eprintln!("started again after: {error:#}");
    let mut again = Command::new(std::env::current_exe().unwrap());
    panic!("{}", again.args(std::env::args().skip(1)).exec());
}

fn family() -> tempfile::TempDir {
    let identity = tempfile::tempdir().unwrap();
    Family::new().unwrap().write(identity.path()).unwrap();
    identity
}

/// The records that the centre has, in the order of their arrival.
fn at_the_centre(centre: &Centre) -> String {
    let events = centre.store().unwrap().events().unwrap();
    let records = events
        .iter()
        .filter(|event| event.event["type"] == "rap.audit.records");
    let mut text = String::new();
    for record in records.flat_map(|event| event.event["data"]["records"].as_array().unwrap()) {
        text.push_str(record.as_str().unwrap());
        text.push('\n');
    }
    text
}

#[test]
fn box_collector_and_centre_have_the_same_trail() {
    if lacks() {
        return;
    }
    let mut rig = Rig::new();
    let mut lab = Lab::new(rig.path(), "");
    let _collector = lab.collect(Driver::Ossl, "device");
    lab.tell(20);
    lab.start();
    let (socket, nobody) = (lab.at("trail.sock"), lab.at("no-session.sock"));
    rig.start(|config| {
        config.source = Some("/lab".to_owned());
        config.sessions = Some(nobody);
        config.trail = Some(socket);
    });
    lab.expect_all();
    lab.tell(5);
    lab.expect_all();
    let trail = lab.trail();
    wait_until("the centre has all of it", || {
        verify_copy(at_the_centre(&rig.centre).lines()).last == trail.len() as u64
    });
    expect_same(&trail, &at_the_centre(&rig.centre));
    wait_until("the service says so", || {
        let centre = lab.status().centre.unwrap_or_default();
        (centre.carried, centre.waiting) == (trail.len() as u64, 0)
    });
    assert_eq!(lab.status().trouble, None);
}

#[test]
fn nothing_is_lost_while_the_collector_is_away_and_the_sender_is_killed() {
    if lacks() {
        return;
    }
    let identity = family();
    let mut lab = Lab::new(identity.path(), "");
    lab.tell(10);
    lab.start();
    lab.expect_trouble("nothing listens there");
    for round in 0..4 {
        let collector = lab.collect(Driver::Ossl, "device");
        // Killed at some moment of its work, whatever that is.
        std::thread::sleep(Duration::from_millis(300 * round));
        lab.kill();
        lab.tell(3);
        lab.start();
        if round % 2 == 0 {
            drop(collector);
            lab.tell(3);
        }
        std::thread::sleep(Duration::from_millis(700));
    }
    let _collector = lab.collect(Driver::Ossl, "device");
    lab.expect_all();
}

#[test]
fn who_is_not_the_collector_gets_nothing() {
    if lacks() {
        return;
    }
    let another = "is for another name";
    let cases = [
        ("name = \"siem.hospital.example\"", another),
        ("", "was not issued by the CA in collector-ca.crt"),
        (
            "fingerprint = \"sha-256:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\"",
            "fingerprint is not the one in site.toml",
        ),
    ];
    for (more, words) in cases {
        let identity = family();
        let mut lab = Lab::new(identity.path(), more);
        if more.is_empty() {
            let stranger = identity.path().join("centre-ca.crt");
            std::fs::copy(stranger, identity.path().join("collector-ca.crt")).unwrap();
        }
        let collector = lab.collect(Driver::Ossl, "device");
        lab.tell(3);
        lab.start();
        lab.expect_trouble(words);
        assert_eq!(collector.records(), "");
    }
}

#[test]
fn a_collector_that_does_not_take_the_box_has_nothing_and_the_box_knows() {
    if lacks() {
        return;
    }
    let identity = family();
    let mut lab = Lab::new(identity.path(), "");
    let ours = lab.at("identity/centre-ca.crt");
    let another = lab.hospital.join("centre-ca.crt");
    let kept = std::fs::read(&ours).unwrap();
    std::fs::copy(another, &ours).unwrap();
    let collector = lab.collect(Driver::Ossl, "device");
    lab.tell(3);
    lab.start();
    lab.expect_trouble("its CA did not issue device.crt");
    assert_eq!(collector.records(), "");
    drop(collector);
    std::fs::write(&ours, kept).unwrap();
    let _collector = lab.collect(Driver::Ossl, "device");
    lab.expect_all();
}

#[test]
fn a_plain_end_is_no_word_unless_the_site_says_so() {
    if lacks() {
        return;
    }
    let identity = family();
    let mut lab = Lab::new(identity.path(), "");
    let _collector = lab.collect(Driver::Gtls, "device");
    lab.tell(3);
    lab.start();
    lab.expect_trouble("without close_notify");
    let site = std::fs::read_to_string(lab.at("site.toml")).unwrap();
    let collector = format!("collector = \"{}\"\n", lab.address);
    let site = site.replace(&collector, &format!("{collector}end-is-enough = true\n"));
    std::fs::write(lab.at("site.toml"), site).unwrap();
    lab.start();
    lab.expect_all();
}

#[test]
fn half_a_record_and_then_a_reset_is_sent_again() {
    if lacks() {
        return;
    }
    let identity = family();
    let mut lab = Lab::new(identity.path(), "");
    lab.tell(5);
    let listener = TcpListener::bind(lab.address).unwrap();
    lab.start();
    for bytes in [1, 100, 700] {
        assert_eq!(read_and_reset(&listener, &lab.hospital, bytes), bytes);
    }
    lab.expect_trouble("broke off");
    drop(listener);
    let _collector = lab.collect(Driver::Ossl, "device");
    lab.expect_all();
}

/// Plays a collector that reads so many bytes of records and then resets the connection.
fn read_and_reset(listener: &TcpListener, keys: &Path, bytes: usize) -> usize {
    let pair = rap_core::identity::Pair::load(&keys.join("centre.crt"), &keys.join("centre.key")).unwrap();
    let config = ServerConfig::builder_with_provider(rap_core::identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pair.chain, pair.key)
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let mut records = vec![0; bytes];
    let mut both = rustls::Stream::new(&mut tls, &mut stream);
    both.read_exact(&mut records).unwrap();
    let _ = both.flush();
    // What is not read when it is closed makes a reset of the close.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    records.len()
}
