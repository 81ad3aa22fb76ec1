//! Three hosts in a row: the box, the proxy, the service centre. The box has no route to the centre and no name server;
//! the proxy's host has both. `centre.test` is known to its name server alone.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rap_core::notify::SOCKETS;
use rap_qemu::lab::Host;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::{Running, spawn};
use rap_tests::centre::{Centre, Config};
use rap_tests::instrument::{Agent, Plan, Target};
use rap_tests::keys;
use rap_tests::proxy::{Kind, PASSWORD, Proxy, Setup, USER};
use rap_tests::system::program;
use serde_json::Value;

/// For everything that takes long only when it fails.
const LONG: Duration = Duration::from_secs(60);
pub(crate) const CENTRE_PORT: u16 = 8443;
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(10, 88, 1, 2);
const CENTRE: Ipv4Addr = Ipv4Addr::new(10, 88, 2, 2);
const INGEST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080);

/// The hosts and the programs on them.
pub(crate) struct Rig {
    place: tempfile::TempDir,
    site: String,
    posted: u64,
    hosts: Hosts,
    centre: Centre,
    names: Option<Running>,
    relay: Option<Running>,
    forward: Option<Running>,
}

struct Hosts {
    of_box: Host,
    proxy: Host,
    /// Keeps its namespace.
    _centre: Host,
}

impl Rig {
    /// A box whose proxy is `url`, with a user whose password is `password` if there is one; relay and forwarder run.
    /// `None` when this machine cannot have one.
    pub(crate) fn new(url: &str, password: Option<&str>) -> Option<Self> {
        if !rap_qemu::lab::permitted() {
            skip("root");
            return None;
        }
        let place = tempfile::Builder::new().prefix("rap-relay-").tempdir().unwrap();
        keys::write(place.path()).unwrap();
        let (hosts, centre) = world(place.path());
        let mut rig = Self {
            site: site(url, password.is_some()),
            place,
            posted: 0,
            hosts,
            centre,
            names: None,
            relay: None,
            forward: None,
        };
        if let Some(password) = password {
            rig.password(password);
        }
        rig.know_centre(true);
        rig.start_services();
        Some(rig)
    }

    /// Before a proxy of this kind, which does not run yet.
    pub(crate) fn before(kind: Kind, password: Option<&str>) -> Option<Self> {
        if let Some(lacks) = kind.lacks() {
            skip(&lacks);
            return None;
        }
        Self::new(&kind.url(PROXY), password)
    }

    /// Writes the password of the box's proxy.
    pub(crate) fn password(&self, password: &str) {
        std::fs::write(self.path().join("proxy-hospital.password"), password).unwrap();
    }

    /// Gives the box another proxy, and starts its services again.
    pub(crate) fn configure(&mut self, url: &str) {
        self.site = site(url, false);
        self.start_services();
    }

    fn start_services(&mut self) {
        std::fs::write(self.path().join("site.toml"), &self.site).unwrap();
        self.relay_runs(false);
        self.forward = None;
        self.relay_runs(true);
        // The forwarder gets its socket as init hands it down.
        let bind = || TcpListener::bind(INGEST);
        let socket = self.hosts.of_box.run(bind).unwrap().unwrap();
        let mut forward = self.program("rap-tls", "forward");
        forward.arg("--log").arg(self.path().join("log"));
        // Half a minute a pause is right for a box, and too long for a test.
        forward.args(["--longest-pause", "1"]);
        forward.env(SOCKETS, format!("ingest@port1={}", socket.as_raw_fd()));
        let place = Some(self.hosts.of_box.namespace());
        self.forward = Some(Running(spawn(forward, place, vec![socket.into()]).unwrap()));
    }

    /// Starts the relay, or kills it.
    pub(crate) fn relay_runs(&mut self, runs: bool) {
        self.relay = None;
        if !runs {
            return;
        }
        let mut relay = self.program("rap", "relay");
        relay.args(["--step", "1"]);
        self.relay = Some(self.hosts.of_box.start(relay).unwrap());
        let door: SocketAddrV4 = rap_core::relay::ADDRESS;
        wait("the relay listens", || {
            self.hosts.of_box.try_tcp(door, LONG).unwrap() == Verdict::Open
        });
    }

    fn program(&self, name: &str, service: &str) -> Command {
        let mut command = Command::new(program(name).unwrap_or_else(|error| panic!("{error:#}")));
        command
            .arg(service)
            .arg("--site")
            .arg(self.path().join("site.toml"));
        command.arg("--identity").arg(self.path());
        command.arg("--status").arg(self.path().join("status"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("output"))
            .unwrap();
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command
    }

    /// Starts the proxy with what the stories need.
    pub(crate) fn proxy(&self, kind: Kind, users: bool, allowed: u16) -> Proxy {
        let setup = Setup {
            address: PROXY,
            out: "centre",
            resolver: Ipv4Addr::LOCALHOST,
            users,
            allowed,
        };
        Proxy::start(kind, &self.hosts.proxy, &setup).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// (Re)starts the proxy's name server, which knows the centre or does not.
    pub(crate) fn know_centre(&mut self, known: bool) {
        self.names = None;
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        dnsmasq.args([
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--local=/test/",
        ]);
        if known {
            dnsmasq.arg(format!("--address=/centre.test/{CENTRE}"));
        }
        dnsmasq
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.names = Some(self.hosts.proxy.start(dnsmasq).unwrap());
        let door = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);
        wait("the name server serves", || {
            self.hosts.proxy.try_tcp(door, LONG).unwrap() == Verdict::Open
        });
    }

    /// Lets the instrument post one more report.
    pub(crate) fn post(&mut self) {
        self.posted += 1;
        let plan = Plan {
            source: "instrument".to_owned(),
            count: 1,
            start: self.posted,
            interval: Duration::ZERO,
            alert_every: None,
            noise: 0,
            deadline: LONG,
        };
        let acknowledged = self.path().join("acknowledged");
        let post = || {
            let target = Target {
                url: format!("http://{INGEST}"),
                ca: None,
                server_name: None,
            };
            Agent::new(&target)?.run(&plan, &acknowledged)
        };
        self.hosts.of_box.run(post).unwrap().unwrap();
    }

    /// Waits until everything posted so far is at the centre, each once and in order, and nobody has trouble any more.
    pub(crate) fn expect_delivered(&self) {
        let store = self.centre.store().unwrap();
        let begun = Instant::now();
        loop {
            let events = store.events().unwrap();
            let posted = events.iter().filter(|event| event.id.starts_with("instrument-"));
            let posted = posted.count() as u64;
            if posted == self.posted {
                break;
            }
            assert!(
                begun.elapsed() < LONG,
                "{posted} of {} reports are delivered; relay: {:#}\n{}",
                self.posted,
                self.status("relay"),
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(store.order_errors().unwrap(), Vec::<String>::new());
        wait("the forwarder's trouble is over", || {
            self.status("forward")["trouble"].is_null()
        });
        wait("the relay's problem is over", || {
            self.status("relay")["problems"].is_null()
        });
    }

    /// Waits until the forwarder says in its status that exactly this keeps it from delivering, and the relay, whose
    /// words they are, says so too.
    pub(crate) fn expect_trouble(&self, words: &str) {
        self.expect_one_trouble(&[words.to_owned()]);
    }

    /// The same, with one of these: not every release of a proxy says the same.
    pub(crate) fn expect_one_trouble(&self, words: &[String]) {
        let words = self.expect_forward_trouble(words);
        wait(&format!("the relay says: {words}"), || {
            let status = self.status("relay");
            let failure = &status["ways"][0]["last-failure"];
            failure["reason"] == words && failure["over"] == false && status["problems"].is_array()
        });
    }

    /// The same, of the forwarder alone.
    pub(crate) fn expect_forward_trouble(&self, words: &[String]) -> String {
        let mut seen = std::collections::BTreeSet::new();
        let begun = Instant::now();
        loop {
            let status = self.status("forward");
            let trouble = status["trouble"].as_str().unwrap_or_default();
            if words.iter().any(|words| words == trouble) {
                return trouble.to_owned();
            }
            seen.insert(trouble.to_owned());
            assert!(
                begun.elapsed() < LONG,
                "the forwarder says none of {words:#?}, only {seen:#?}\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the relay says that bytes went through a tunnel on this way.
    pub(crate) fn expect_way(&self, via: &str) {
        wait("the relay has counted the bytes", || {
            let way = &self.status("relay")["ways"][0];
            way["via"] == via && way["bytes-sent"].as_u64() > Some(500)
        });
    }

    /// A service's status; null before there is one.
    fn status(&self, service: &str) -> Value {
        let path = self.path().join("status").join(format!("{service}.json"));
        let content = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&content).unwrap_or_default()
    }

    /// Everything relay and forwarder wrote.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.path().join("output")).unwrap_or_default()
    }

    pub(crate) fn box_host(&self) -> &Host {
        &self.hosts.of_box
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let told = self.output() + &self.status("relay").to_string() + &self.status("forward").to_string();
        if !std::thread::panicking() {
            assert!(!told.contains(PASSWORD), "a password was told: {told}");
        }
    }
}

/// The hosts, their cables and the service centre.
fn world(place: &Path) -> (Hosts, Centre) {
    let host = |name: &str| Host::new(format!("{name} of relay-{}", std::process::id())).unwrap();
    let (of_box, proxy, centre) = (host("box"), host("proxy"), host("centre"));
    of_box.connect("uplink", &proxy, "box").unwrap();
    proxy.connect("centre", &centre, "eth0").unwrap();
    for (host, interface, address) in [
        (&of_box, "uplink", [10, 88, 1, 1]),
        (&proxy, "box", PROXY.octets()),
        (&proxy, "centre", [10, 88, 2, 1]),
        (&centre, "eth0", CENTRE.octets()),
    ] {
        host.configure(interface, address.into(), 24, None).unwrap();
    }
    let bind = || TcpListener::bind((CENTRE, CENTRE_PORT));
    let centre_runs = Centre::start(Config {
        socket: centre.run(bind).unwrap().unwrap(),
        tls: place.to_owned(),
        database: place.join("centre.db"),
        on_arrival: Box::new(|_| {}),
        on_refusal: Box::new(|_, _| {}),
    });
    let hosts = Hosts {
        of_box,
        proxy,
        _centre: centre,
    };
    (hosts, centre_runs.unwrap())
}

fn site(url: &str, user: bool) -> String {
    let user = if user {
        format!("user = \"{USER}\"\n")
    } else {
        String::new()
    };
    format!(
        "version = 1\nname = \"rap-relay\"\n\
         [uplink]\nnic = \"pci:0000:00:10.0\"\naddress = \"dhcp\"\n\
         [centre]\nurl = \"https://centre.test:{CENTRE_PORT}\"\n\
         [[proxy]]\nname = \"hospital\"\nurl = \"{url}\"\n{user}\
         [egress]\ndefault = \"hospital\"\n\
         [[port]]\nname = \"port1\"\nnic = \"pci:0000:00:11.0\"\naddress = \"192.168.1.1/24\"\n\
         instrument = \"192.168.1.50\"\ningest = \"http\"\n"
    )
}

/// Says that a test is skipped; with `CI` in the environment nothing may be.
fn skip(needed: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test needs {needed}");
    eprintln!("skipped: needs {needed}");
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
