//! Timed openings with real connections: from a tunnel to an instrument, and nowhere else, and no longer than said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod lab;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::{GATEWAY, INSTRUMENT, Lab, ip, machine, network, tcp};
use netfw::model::{Network, Opening, PortName, Protocol};
use netfw::session::{self, Error};

/// The service addresses of the instruments at ports 1 and 2.
const SERVICE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 0, 1), Ipv4Addr::new(10, 200, 0, 3)];
/// Who the engineer is, in the tunnel.
const ENGINEER: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 6);
/// Long enough for a test.
const LONG: Duration = Duration::from_secs(600);
/// How long what was closed may still get through.
const AT_ONCE: Duration = Duration::from_secs(1);

struct Sessions {
    lab: Lab,
    network: Network,
}

impl Sessions {
    /// Two ports and a tunnel: the engineer is at its other end.
    fn new(test: &str) -> Option<Self> {
        let lab = Lab::new(test, 2)?;
        let mut network = network(2);
        network.ports[0].remote.push(UDP);
        lab.apply(&network);
        let (root, lan) = (lab.full("root"), lab.full("lan"));
        ip(&format!(
            "link add tunnel netns {root} type veth peer name tunnel netns {lan}"
        ));
        ip(&format!("-n {root} addr add 10.8.0.1/24 dev tunnel"));
        ip(&format!("-n {root} link set tunnel up"));
        ip(&format!("-n {lan} addr add {ENGINEER}/24 dev tunnel"));
        ip(&format!("-n {lan} link set tunnel up"));
        ip(&format!("-n {lan} route add 10.200.0.0/24 via 10.8.0.1"));
        lab.wait_for_carrier(&["i1", "i2"]);
        Some(Self { lab, network })
    }

    fn open(&self, port: &str, openings: &[Opening], time: Duration) {
        self.try_open(port, openings, time).unwrap();
    }

    fn try_open(&self, port: &str, openings: &[Opening], time: Duration) -> Result<(), Error> {
        session::open(&self.lab.machine, &self.network, &name(port), openings, time)
    }

    fn close(&self, port: &str) {
        session::close(&self.lab.machine, &self.network, &name(port)).unwrap();
    }

    /// A connection from the engineer that the instrument `host` has taken at TCP port 80, and who it comes from there.
    fn connected(&self, host: &str, service: Ipv4Addr) -> (TcpStream, TcpStream, IpAddr) {
        let bind = || TcpListener::bind((INSTRUMENT, 80)).unwrap();
        let listener = self.lab.ns(host).run(bind).unwrap();
        let target = SocketAddr::from((service, 80));
        // The links of the session came up a moment ago (`net/core/link_watch.c`).
        let deadline = Instant::now() + Duration::from_secs(10);
        let engineer = loop {
            let connect = || TcpStream::connect_timeout(&target, Duration::from_millis(500));
            match self.lab.ns("lan").run(connect).unwrap() {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let (instrument, from) = listener.accept().unwrap();
        (engineer, instrument, from.ip())
    }
}

fn name(port: &str) -> PortName {
    port.parse().unwrap()
}

const UDP: Opening = Opening {
    protocol: Protocol::Udp,
    port: 5000,
};

/// Keeps writing to `from`; says when the last byte came out of `to`, once nothing has come for two seconds.
fn last_byte(mut from: TcpStream, mut to: TcpStream) -> std::thread::JoinHandle<Instant> {
    from.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    to.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let writer = std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(30);
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
        drop(to);
        drop(writer);
        last
    })
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    from.write_all(b"!").unwrap();
    to.read_exact(&mut [0]).unwrap();
}

#[test]
fn what_is_open_is_reached_and_nothing_else() {
    let Some(it) = Sessions::new("so") else { return };
    let lab = &it.lab;
    for instrument in ["i1", "i2"] {
        lab.listen(instrument, INSTRUMENT, 81);
        lab.listen(instrument, INSTRUMENT, 22);
    }
    assert!(lab.connect("lan", SERVICE[0], 81).is_err(), "closed");
    it.open("port1", &[tcp(80), tcp(81)], LONG);
    let (mut engineer, mut instrument, from) = it.connected("i1", SERVICE[0]);
    // The instrument needs no route: it is the gateway that talks to it.
    assert_eq!(from, IpAddr::V4(GATEWAY));
    passes(&mut engineer, &mut instrument);
    passes(&mut instrument, &mut engineer);
    assert_eq!(lab.connect("lan", SERVICE[0], 81).unwrap(), "i1");

    // Another port of it, another instrument, the box itself at either end.
    assert!(lab.connect("lan", SERVICE[0], 22).is_err());
    assert!(lab.connect("lan", SERVICE[1], 81).is_err());
    assert!(lab.connect("lan", Ipv4Addr::new(10, 200, 0, 0), 81).is_err());
    assert!(lab.connect("lan", GATEWAY, 8443).is_err());
    // The instrument cannot open anything the other way.
    lab.listen("lan", ENGINEER, 80);
    ip(&format!("-n {} route add default via {GATEWAY}", lab.full("i1")));
    assert!(lab.connect("i1", ENGINEER, 80).is_err());

    // Both at once are different instruments.
    it.open("port2", &[tcp(81)], LONG);
    lab.wait_for_carrier(&["i2"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while lab.connect("lan", SERVICE[1], 81).ok().as_deref() != Some("i2") {
        assert!(Instant::now() < deadline, "instrument 2 is not reached");
    }
    assert_eq!(lab.connect("lan", SERVICE[0], 81).unwrap(), "i1");
}

#[test]
fn closing_stops_streams_in_both_directions_within_a_second_and_takes_the_links_away() {
    let Some(it) = Sessions::new("sc") else { return };
    it.open("port1", &[tcp(80)], LONG);
    let (engineer, instrument, _) = it.connected("i1", SERVICE[0]);
    let out = last_byte(engineer.try_clone().unwrap(), instrument.try_clone().unwrap());
    let back = last_byte(instrument, engineer);
    std::thread::sleep(Duration::from_millis(200));
    let closed = Instant::now();
    it.close("port1");
    for (last, direction) in [(out, "to the instrument"), (back, "from the instrument")] {
        let last = last.join().unwrap();
        assert!(
            last > closed - Duration::from_millis(150),
            "{direction}: nothing passed before"
        );
        assert!(last < closed + AT_ONCE, "{direction}: {:?} after", last - closed);
    }
    assert_eq!(session::list(&it.lab.machine, &it.network).unwrap(), []);
    let links = lab::shown(&format!("-n {} link", it.lab.full("root")));
    assert!(!links.contains("s-port1"), "{links}");
    let forwards = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/port1/forwarding").unwrap();
    assert_eq!(it.lab.ns("port1").run(forwards).unwrap(), "0\n");
}

#[test]
fn connections_of_a_session_that_ended_are_forgotten_and_no_others() {
    let Some(it) = Sessions::new("sf") else { return };
    it.open("port1", &[tcp(80)], LONG);
    it.open("port2", &[tcp(80)], LONG);
    let _first = it.connected("i1", SERVICE[0]);
    let (mut engineer, mut instrument, _) = it.connected("i2", SERVICE[1]);
    let known = |place: &str, service: Ipv4Addr| {
        let table = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
        let table = it.lab.ns(place).run(table).unwrap();
        table
            .lines()
            .filter(|line| line.contains(&format!("dst={service} ")))
            .count()
    };
    for place in ["root", "port1"] {
        assert_eq!(known(place, SERVICE[0]), 1, "{place}");
    }
    it.close("port1");
    for place in ["root", "port1"] {
        assert_eq!(known(place, SERVICE[0]), 0, "{place}");
    }
    assert_eq!((known("root", SERVICE[1]), known("port2", SERVICE[1])), (1, 1));
    passes(&mut engineer, &mut instrument);
}

#[test]
fn one_opening_can_be_closed_while_another_goes_on() {
    let Some(it) = Sessions::new("s1") else { return };
    it.lab.listen("i1", INSTRUMENT, 81);
    it.open("port1", &[tcp(80), tcp(81)], LONG);
    let (mut engineer, mut instrument, _) = it.connected("i1", SERVICE[0]);
    session::close_one(&it.lab.machine, &it.network, &name("port1"), tcp(81)).unwrap();
    assert!(it.lab.connect("lan", SERVICE[0], 81).is_err());
    passes(&mut engineer, &mut instrument);
    let open = session::list(&it.lab.machine, &it.network).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].opening, open[0].service), (tcp(80), SERVICE[0]));
    assert!(open[0].remaining <= LONG && open[0].remaining > LONG - Duration::from_secs(60));
    // The last one closed, the way is gone.
    session::close_one(&it.lab.machine, &it.network, &name("port1"), tcp(80)).unwrap();
    assert!(!lab::shown(&format!("-n {} link", it.lab.full("root"))).contains("s-port1"));
}

#[test]
fn the_kernel_ends_a_session_on_time_while_the_program_that_opened_it_is_stopped() {
    let Some(it) = Sessions::new("st") else { return };
    let time = Duration::from_secs(3);
    let opener = Opener::start(&it.lab, time);
    let opened = Instant::now();
    let (engineer, instrument, _) = it.connected("i1", SERVICE[0]);
    let out = last_byte(engineer.try_clone().unwrap(), instrument.try_clone().unwrap());
    let back = last_byte(instrument, engineer);
    let noise = UdpStream::start(&it, "i1");
    for (last, direction) in [(out, "to the instrument"), (back, "from the instrument")] {
        let lasted = last.join().unwrap() - opened;
        assert!(lasted < time + AT_ONCE, "{direction}: {lasted:?}");
        assert!(
            lasted > time - Duration::from_millis(1500),
            "{direction}: {lasted:?}"
        );
    }
    // A stream that nobody has to acknowledge.
    let lasted = noise.last.join().unwrap() - opened;
    assert!(lasted < time + AT_ONCE, "UDP from the instrument: {lasted:?}");
    assert!(
        lasted > time - Duration::from_millis(1500),
        "UDP from the instrument: {lasted:?}"
    );
    assert!(opener.is_stopped());
    // The rest is tidied up by whoever comes next.
    let done = session::tidy(&it.lab.machine, &it.network).unwrap();
    assert!(done.contains(&"root: delete s-port1".to_owned()), "{done:?}");
    assert_eq!(
        session::tidy(&it.lab.machine, &it.network).unwrap(),
        Vec::<String>::new()
    );
}

/// An instrument that answers one datagram of the engineer with many.
struct UdpStream {
    last: std::thread::JoinHandle<Instant>,
}

impl UdpStream {
    fn start(it: &Sessions, host: &str) -> Self {
        let bind = |address: Ipv4Addr, port: u16| move || UdpSocket::bind((address, port)).unwrap();
        let instrument = it.lab.ns(host).run(bind(INSTRUMENT, 5000)).unwrap();
        let engineer = it.lab.ns("lan").run(bind(ENGINEER, 0)).unwrap();
        engineer.send_to(b"?", (SERVICE[0], 5000)).unwrap();
        std::thread::spawn(move || {
            let (_, asker) = instrument.recv_from(&mut [0; 8]).unwrap();
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                let _ = instrument.send_to(b"noise", asker);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        engineer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let last = std::thread::spawn(move || {
            let mut last = Instant::now();
            while engineer.recv(&mut [0; 8]).is_ok() {
                last = Instant::now();
            }
            last
        });
        Self { last }
    }
}

/// Another process that opens a session and is stopped then: this test program, with only [`child_that_opens`] to run.
struct Opener(Child);

impl Opener {
    fn start(lab: &Lab, time: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_opens", "--nocapture", "--test-threads=1"])
            .env("NETFW_CHILD", format!("{} {}", lab.prefix, time.as_secs()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().ends_with("child: opened")));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        Self(child)
    }

    fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        status.contains(") T ")
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: what [`Opener`] runs.
#[test]
fn child_that_opens() {
    let Ok(order) = std::env::var("NETFW_CHILD") else {
        return;
    };
    let (prefix, seconds) = order.split_once(' ').unwrap();
    let mut network = network(2);
    network.ports[0].remote.push(UDP);
    let time = Duration::from_secs(seconds.parse().unwrap());
    session::open(&machine(prefix), &network, &name("port1"), &[tcp(80), UDP], time).unwrap();
    println!("child: opened");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_reload_of_the_policy_leaves_sessions_alone_and_a_moved_address_ends_them() {
    let Some(mut it) = Sessions::new("sr") else { return };
    it.open("port1", &[tcp(80)], LONG);
    let (mut engineer, mut instrument, _) = it.connected("i1", SERVICE[0]);
    it.network.ports[0].services.clear();
    it.network.endpoints.clear();
    let changes = it.lab.apply(&it.network);
    assert_eq!(changes, ["root: load table netfw", "port1: load table netfw"]);
    passes(&mut engineer, &mut instrument);
    passes(&mut instrument, &mut engineer);
    assert_eq!(it.lab.apply(&it.network), Vec::<String>::new());

    it.network.sessions = Some("10.201.0.0/24".parse().unwrap());
    it.lab.apply(&it.network);
    assert_eq!(session::list(&it.lab.machine, &it.network).unwrap(), []);
    assert!(!lab::shown(&format!("-n {} link", it.lab.full("root"))).contains("s-port1"));
    assert_eq!(it.lab.apply(&it.network), Vec::<String>::new());
}

#[test]
fn what_the_description_does_not_name_is_refused_before_anything_is_changed() {
    let Some(it) = Sessions::new("sn") else { return };
    let error = it.try_open("port1", &[tcp(80), tcp(23)], LONG).unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }));
    assert_eq!(
        error.to_string(),
        "tcp/23 of port port1 may not be opened; the description allows tcp/80, tcp/81, udp/5000"
    );
    assert!(matches!(
        it.try_open("port1", &[], LONG),
        Err(Error::Nothing { .. })
    ));
    assert!(matches!(
        it.try_open("port7", &[tcp(80)], LONG),
        Err(Error::NoRemote { .. })
    ));
    // Less than a second would be for ever.
    let short = it.try_open("port1", &[tcp(80)], Duration::from_millis(900));
    assert!(matches!(short, Err(Error::TooShort(_))));
    let mut other = it.network.clone();
    other.ports[0].services.clear();
    let error = session::open(&it.lab.machine, &other, &name("port1"), &[tcp(80)], LONG).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the rules of port1 are not in force; apply the network first"
    );
    assert_eq!(session::list(&it.lab.machine, &it.network).unwrap(), []);
    assert!(!lab::shown(&format!("-n {} link", it.lab.full("root"))).contains("s-port1"));
}
