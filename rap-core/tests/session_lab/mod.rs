//! A box in namespaces with netd, relay and session service as processes, a real OpenVPN server, and its engineer.
//!
//! The lab is netd's ([`super::netd_lab`]); the session service's socket is asked as the forwarder would. The service, and
//! with it OpenVPN, runs as on the box: as a user of its own, without any right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod keys;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rap_core::directive::{Envelope, signed_bytes};
use rap_core::{relay, session};
use rcgen::{KeyPair, SigningKey as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::netd_lab::{Lab, ip, possible};

/// What a process of the lab finds in its environment: what it is to be, and the lab's folder.
const ROLE: &str = "RAP_LAB_ROLE";
const FOLDER: &str = "RAP_LAB_FOLDER";
const OPENVPN: &str = "/usr/sbin/openvpn";
const TUN: &str = "/dev/net/tun";
/// The users of the session service and of the forwarder, who may ask it.
const USERS: &str = "rap-session:x:903:903::/:/none\nrap-forward:x:901:901::/:/none\n";
const SESSION: u32 = 903;
const FORWARD: u32 = 901;
/// How the service is started: as init does, and with nothing that could be had back.
const WITHOUT_RIGHTS: &str = "exec setpriv --reuid 903 --regid 903 --clear-groups --no-new-privs --bounding-set -all \
                              --inh-caps -all";
/// The service addresses of the instruments at ports 1 and 2.
pub(crate) const SERVICE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 0, 1), Ipv4Addr::new(10, 200, 0, 3)];
const INSTRUMENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const RELAY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);

const SITE: &str = r#"
version = 1
name = "ward-3"
[uplink]
nic = "mac:02:00:00:00:00:01"
address = "10.9.0.2/24"
[centre]
url = "https://10.9.0.10:8443"
[sessions]
prefix = "10.200.0.0/24"
tunnel = "10.9.0.10:443"
[[port]]
name = "port1"
nic = "mac:02:00:00:00:00:11"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
remote = ["tcp/5900"]
[[port]]
name = "port2"
nic = "mac:02:00:00:00:00:12"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
remote = ["tcp/5900"]
"#;

pub(crate) struct Story {
    lab: Lab,
    signer: KeyPair,
    number: u64,
    relay: Child,
    service: Child,
    server: Child,
}

/// The relay or the session service, when this process was started to be one; returns when it was not.
pub(crate) fn be_one() {
    let variable = |name| std::env::var(name).ok();
    let (Some(role), Some(folder)) = (variable(ROLE), variable(FOLDER).map(PathBuf::from)) else {
        return;
    };
    // Its lab may have gone without a word.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let (site, identity) = (folder.join("site.toml"), folder.join("identity"));
    if role == "relay" {
        rap_core::console::start("relay");
        let place = relay::Place {
            site,
            identity,
            status: folder.join("status"),
            listen: RELAY,
            ..relay::Place::default()
        };
        panic!("relay ended: {:?}", relay::run(&place));
    }
    rap_core::console::start("session");
    let place = session::Place {
        site,
        identity,
        memory: folder.join("memory"),
        run: folder.join("run"),
        page: folder.join("run/consent.sock"),
        status: folder.join("status"),
        netd: folder.join("sessions/netd.sock"),
        update: folder.join("update.sock"),
        relay: RELAY,
        openvpn: OPENVPN.into(),
    };
    panic!("session ended: {:?}", session::run(&place));
}

impl Story {
    /// Everything runs, nothing was asked for. None, and says so, where it cannot be tried.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !possible(&[OPENVPN, TUN]) {
            return None;
        }
        let mut lab = Lab::build(&format!("s{test}"), SITE).with_users(USERS);
        for (host, addresses) in [("i1", INSTRUMENT), ("i2", INSTRUMENT)] {
            ip(&format!("-n {} addr add {addresses}/24 dev eth0", lab.full(host)));
        }
        ip(&format!("-n {} link set lo up", lab.full("lan")));
        lab.start_netd();
        lab.wait("two ports", |status| {
            status["problems"].as_array().is_some_and(Vec::is_empty)
        });
        for folder in ["identity", "run", "server", "memory"] {
            std::fs::create_dir_all(lab.path(folder)).unwrap();
        }
        let mode = |path: &str, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(lab.path(path), mode).unwrap();
        };
        // As init makes them.
        chown(lab.path("memory"), Some(SESSION), Some(SESSION)).unwrap();
        chown(lab.path("run"), Some(SESSION), Some(FORWARD)).unwrap();
        mode("", 0o711);
        mode("run", 0o2750);
        mode("status", 0o1777);
        // As init does, and udev where there is one.
        std::fs::set_permissions(TUN, std::fs::Permissions::from_mode(0o666)).unwrap();
        let signer = keys::write(&lab.path("identity"), &lab.path("server"));
        for file in std::fs::read_dir(lab.path("identity")).unwrap() {
            let path = file.unwrap().path();
            chown(&path, None, Some(SESSION)).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
        }
        let server = server(&lab);
        let relay = start(&lab, "relay");
        let service = start(&lab, "session");
        let story = Self {
            lab,
            signer,
            number: 0,
            relay,
            service,
            server,
        };
        story.wait("the service answers", |story| {
            UnixStream::connect(story.lab.path("run/session.sock")).is_ok()
        });
        story.wait("the relay answers", |story| {
            story
                .lab
                .ns("root")
                .run(|| TcpStream::connect(RELAY).is_ok())
                .unwrap()
        });
        Some(story)
    }

    /// The service centre asks this.
    pub(crate) fn direct(&mut self, command: &Value) -> Value {
        self.number += 1;
        let status = self.session(&json!({ "do": "status" }));
        let now = jiff::Timestamp::now();
        let payload = json!({
            "version": 1, "box": "ward-3", "docket": status["done"]["docket"], "number": self.number,
            "issued": now.to_string(), "expires": (now + Duration::from_secs(600)).to_string(), "command": command,
        })
        .to_string();
        let signature = self.signer.sign(&signed_bytes(payload.as_bytes())).unwrap();
        let envelope = Envelope::new(payload.as_bytes(), Some(&signature));
        let envelope = serde_json::to_string(&envelope).unwrap();
        self.session(&json!({ "do": "exchange", "envelopes": [envelope], "there": null, "taken": [] }))
    }

    /// The engineer asks for the first instrument's screen.
    pub(crate) fn ask(&mut self, seconds: u64, idle: u64) {
        self.direct(&json!({
            "do": "open-session", "session": "s-1", "instrument": "port1", "services": ["tcp/5900"],
            "engineer": "Ada", "purpose": "The pump", "seconds": seconds, "idle-seconds": idle,
            "tunnel": "10.8.0.0/24",
        }));
        assert_eq!(self.state(), "asked");
    }

    /// Somebody at `port` says this.
    pub(crate) fn say(&self, port: &str, answer: &str) -> Value {
        let consent = json!({ "session": "s-1", "answer": answer, "by": "Bob" });
        self.session(&json!({ "do": "consent", "port": port, "consent": consent }))
    }

    /// Asks the session service.
    pub(crate) fn session(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.lab.path("run/session.sock")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn status(&self) -> Value {
        self.session(&json!({ "do": "status" }))["done"]["session"].clone()
    }

    fn state(&self) -> String {
        self.status()["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Why it ended.
    pub(crate) fn why(&self) -> String {
        self.status()["why"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a state of the session.
    pub(crate) fn until(&self, state: &str) {
        self.wait(state, |story| {
            let now = story.state();
            assert!(state == "ended" || now != "ended", "it ended: {}", story.why());
            now == state
        });
    }

    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !condition(self) {
            assert!(Instant::now() < deadline, "never: {what}; {}", self.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The engineer tries.
    pub(crate) fn connect(&self, to: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
        let to = SocketAddr::from((to, port));
        let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(700));
        self.lab.ns("lan").run(connect).unwrap()
    }

    /// A connection of the engineer's that the instrument has taken, and its other end.
    pub(crate) fn connected(&self) -> (TcpStream, TcpStream) {
        let listen = || TcpListener::bind((INSTRUMENT, 5900)).unwrap();
        let listener = self.lab.ns("i1").run(listen).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // The links of the session came up a moment ago.
        let engineer = loop {
            match self.connect(SERVICE[0], 5900) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        (engineer, listener.accept().unwrap().0)
    }

    /// What came of a look that the service centre asked for.
    pub(crate) fn look(&mut self, look: &Value) -> Value {
        let mut command = look.clone();
        command["do"] = json!("diagnose");
        self.direct(&command);
        let deadline = Instant::now() + Duration::from_secs(30);
        let nothing = json!({ "do": "exchange", "envelopes": [], "there": null, "taken": [] });
        loop {
            let exchanged = self.session(&nothing);
            let reports = exchanged["done"]["reports"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if let Some(report) = reports
                .iter()
                .find(|report| report["data"]["number"] == self.number)
            {
                return report["data"]["answer"].clone();
            }
            assert!(Instant::now() < deadline, "never told of {look}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The first instrument listens at some port.
    pub(crate) fn instrument_listens(&self) -> TcpListener {
        let listen = || TcpListener::bind((INSTRUMENT, 0)).unwrap();
        self.lab.ns("i1").run(listen).unwrap()
    }

    /// A program of the box tries to connect to it.
    pub(crate) fn box_connects(&self, port: u16) -> std::io::Result<TcpStream> {
        let to = SocketAddr::from((INSTRUMENT, port));
        let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(700));
        self.lab.machine().port("port1").run(connect).unwrap()
    }

    pub(crate) fn unplug_instrument(&self) {
        ip(&format!("-n {} link set eth0 down", self.lab.full("i1")));
    }

    pub(crate) fn has_tunnel(&self) -> bool {
        ip(&format!("-n {} -o link", self.lab.full("root"))).contains(" tunnel: ")
    }

    /// Whether no OpenVPN runs in the box.
    pub(crate) fn has_no_openvpn(&self) -> bool {
        self.openvpn().is_none()
    }

    /// It is another user with no capability it could ever have, and what its server pushed besides an address (a route to
    /// everything, a name server) came to nothing.
    pub(crate) fn openvpn_has_no_right_and_took_no_route(&self) {
        let pid = self.openvpn().unwrap().as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            "Uid:\t903\t903\t903\t903",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(status.contains(line), "{line}: {status}");
        }
        let routes = ip(&format!("-n {} route", self.lab.full("root")));
        let tunnel: Vec<_> = routes
            .lines()
            .filter(|line| line.contains("dev tunnel"))
            .collect();
        assert!(
            matches!(*tunnel, [only] if only.starts_with("10.8.0.0/24 ")),
            "{routes}"
        );
        assert!(
            !routes.contains("default") && !routes.contains("0.0.0.0/"),
            "{routes}"
        );
    }

    fn openvpn(&self) -> Option<Pid> {
        let pids = ip(&format!("netns pids {}", self.lab.full("root")));
        let mut pids = pids.split_whitespace().map(str::to_owned);
        let pid = pids.find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            name.trim() == "openvpn" && !state.contains(") Z ")
        });
        pid.and_then(|pid| Pid::from_raw(pid.parse().unwrap()))
    }

    /// Nothing of the session is left: no tunnel, no link to a port, nothing open, no OpenVPN, no tracked connection.
    pub(crate) fn closed(&self) {
        let root = self.lab.full("root");
        let links = ip(&format!("-n {root} -o link"));
        assert!(
            !links.contains(" tunnel: ") && !links.contains("s-port1"),
            "{links}"
        );
        let openings = self.lab.ask(&json!({ "do": "status" }))["done"]["openings"].clone();
        assert_eq!(openings, json!([]));
        assert!(self.has_no_openvpn());
        assert!(self.connect(SERVICE[0], 5900).is_err());
    }

    pub(crate) fn kill(&mut self, who: &str) {
        if who == "relay" {
            self.relay.kill().unwrap();
        } else {
            kill_process(self.openvpn().unwrap(), Signal::KILL).unwrap();
        }
    }

    /// The service hangs: it does nothing any more, and is not gone.
    pub(crate) fn stop_service(&self) {
        kill_process(Pid::from_child(&self.service), Signal::STOP).unwrap();
    }

    /// The service crashes and is started again, as init does.
    pub(crate) fn restart_service(&mut self) {
        self.service.kill().unwrap();
        self.service.wait().unwrap();
        let _ = std::fs::remove_file(self.lab.path("run/session.sock"));
        self.service = start(&self.lab, "session");
        self.wait("the service answers", |story| {
            UnixStream::connect(story.lab.path("run/session.sock")).is_ok()
        });
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        for child in [&mut self.service, &mut self.relay, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts this very program in the box, as the relay or the session service.
fn start(lab: &Lab, role: &str) -> Child {
    let mut words = if role == "session" {
        lab.knowing_users(WITHOUT_RIGHTS)
    } else {
        Vec::new()
    };
    words.push(std::env::current_exe().unwrap().to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["session_process", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, lab.path(""))
        .stdin(Stdio::piped());
    lab.ns("root").run(|| command.spawn().unwrap()).unwrap()
}

/// The service centre's OpenVPN server; the engineer is on the same host.
fn server(lab: &Lab) -> Child {
    let folder = lab.path("server");
    std::fs::create_dir(folder.join("clients")).unwrap();
    // What is behind which client.
    std::fs::write(folder.join("clients/box"), "iroute 10.200.0.0 255.255.255.0\n").unwrap();
    let mut command = Command::new(OPENVPN);
    command
        .args(["--cd", folder.to_str().unwrap()])
        .args("--mode server --tls-server --dev engineer --dev-type tun --topology subnet".split(' '))
        .args("--server 10.8.0.0 255.255.255.0 --route 10.200.0.0 255.255.255.0".split(' '))
        .args("--proto tcp-server --local 10.9.0.10 --port 443 --disable-dco --dh none".split(' '))
        .args("--client-config-dir clients --keepalive 5 20 --tls-groups secp384r1".split(' '))
        .args("--ca ca.crt --cert server.crt --key server.key --tls-crypt-v2 crypt.key".split(' '))
        .args("--tls-version-min 1.3 --data-ciphers AES-256-GCM --verb 3 --log server.log".split(' '))
        // What a server that was taken over would try: none of it may be taken.
        .args([
            "--push",
            "route 0.0.0.0 0.0.0.0",
            "--push",
            "dhcp-option DNS 10.8.0.1",
        ])
        .stdin(Stdio::null());
    lab.ns("lan").run(|| command.spawn().unwrap()).unwrap()
}

/// Keeps writing to `from`; says when the last byte came out of `to`, once nothing has come for two seconds.
pub(crate) fn dies(mut from: TcpStream, mut to: TcpStream) -> JoinHandle<Instant> {
    from.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    to.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    from.write_all(b"!").unwrap();
    to.read_exact(&mut [0]).unwrap();
    std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(40);
        while Instant::now() < end {
            match from.write(b"on and on") {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    std::thread::spawn(move || {
        let (mut last, mut buffer) = (Instant::now(), [0; 4096]);
        while to.read(&mut buffer).is_ok_and(|read| read > 0) {
            last = Instant::now();
        }
        last
    })
}

/// Runs OpenVPN to make a key.
fn openvpn(arguments: &[&str], file: &Path) {
    let output = Command::new(OPENVPN).args(arguments).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
