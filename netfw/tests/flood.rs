//! While networks are applied, changed, reloaded and half applied, everybody around floods the machine with what is
//! forbidden; none of it may be delivered or forwarded at any moment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod lab;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::killed::Killed;
use lab::{CENTRE, GATEWAY, INSTRUMENT, Lab, UPLINK, UPLINK_MAC, card_mac, ip, network, random};
use netfw::model::{Protocol, Service};
use netfw::netns::Namespace;

/// A port that nothing in any description opens.
const CLOSED: u16 = 9999;
/// A service address of a session that nobody opened, and a port that one could be opened to.
const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 200, 0, 1), 80);
/// Between two rounds of one flooder.
const PAUSE: Duration = Duration::from_micros(300);
/// How many port cards the lab has.
const CARDS: u8 = 3;

/// UDP and TCP from the hospital and from every instrument to everything forbidden, until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(lab: &Lab) -> Self {
        let mut flood = Self {
            stop: Arc::default(),
            sent: Arc::default(),
            threads: Vec::new(),
        };
        let from_lan = [(UPLINK, CLOSED), (GATEWAY, CLOSED), (INSTRUMENT, CLOSED), SERVICE];
        let lan = lab.full("lan");
        // No question to be asked before the first packet goes.
        ip(&format!(
            "-n {lan} neigh replace {UPLINK} lladdr {UPLINK_MAC} dev eth0 nud permanent"
        ));
        for network in ["192.168.0.0/16", "10.200.0.0/24"] {
            ip(&format!("-n {lan} route add {network} via {UPLINK}"));
        }
        flood.from(&lab.ns("lan"), from_lan);
        for number in 1..=CARDS {
            let host = lab.full(&format!("i{number}"));
            let mac = card_mac(number);
            ip(&format!(
                "-n {host} neigh replace {GATEWAY} lladdr {mac} dev eth0 nud permanent"
            ));
            ip(&format!("-n {host} route add default via {GATEWAY}"));
            let targets = [(GATEWAY, CLOSED), (UPLINK, CLOSED), (CENTRE, CLOSED), SERVICE];
            flood.from(&Namespace::Named(host), targets);
        }
        flood
    }

    fn from(&mut self, host: &Namespace, targets: [(Ipv4Addr, u16); 4]) {
        let socket = host.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
        let (stop, sent) = (Arc::clone(&self.stop), Arc::clone(&self.sent));
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for target in targets {
                    // A cable that is not plugged in at the moment, or a refusal that came back.
                    if socket.send_to(b"forbidden", target).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(PAUSE);
            }
        }));
        let (stop, host) = (Arc::clone(&self.stop), host.clone());
        self.threads.push(std::thread::spawn(move || {
            let knock = || {
                for target in targets.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = TcpStream::connect_timeout(&SocketAddr::from(*target), Duration::from_millis(1));
                }
            };
            host.run(knock).unwrap();
        }));
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The kernel's own counters (`/proc/net/snmp`, RFC 4293) of a namespace: they count what has passed the firewall, whether
/// somebody listens or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Passed {
    /// Packets of any protocol for this host.
    delivered: u64,
    /// Packets through it.
    forwarded: u64,
    /// Datagrams among those delivered.
    datagrams: u64,
}

/// Those of the calling thread's namespace.
fn passed() -> Passed {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut found = BTreeMap::new();
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.chunks(2) {
        for (name, value) in pair[0].split(' ').zip(pair[1].split(' ')).skip(1) {
            let protocol = pair[0].split(':').next().unwrap();
            found.insert(format!("{protocol} {name}"), value.parse().unwrap_or(0));
        }
    }
    let udp = found["Udp InDatagrams"] + found["Udp NoPorts"] + found["Udp InErrors"];
    Passed {
        delivered: found["Ip InDelivers"],
        forwarded: found["Ip ForwDatagrams"],
        datagrams: udp,
    }
}

/// Watches every place a forbidden packet could get to, and keeps what it saw there.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeMap<String, Passed>>>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(lab: &Lab) -> Self {
        let (stop, seen) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<BTreeMap<_, _>>>::default(),
        );
        let ports = (1..=CARDS).map(|number| format!("port{number}"));
        let places: Vec<_> = ports
            .chain(["root".to_owned()])
            .map(|name| (lab.ns(&name), name))
            .collect();
        let (stopped, kept) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (namespace, name) in &places {
                    // A namespace may go between the question and the answer.
                    if namespace.exists()
                        && let Ok(now) = namespace.run(passed)
                    {
                        let mut kept = kept.lock().unwrap();
                        let most = kept.entry(name.clone()).or_insert(now);
                        *most = Passed {
                            delivered: most.delivered.max(now.delivered),
                            forwarded: most.forwarded.max(now.forwarded),
                            datagrams: most.datagrams.max(now.datagrams),
                        };
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, seen, thread }
    }

    fn end(self) -> BTreeMap<String, Passed> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        Arc::try_unwrap(self.seen).unwrap().into_inner().unwrap()
    }
}

#[test]
fn nothing_forbidden_passes_at_any_moment_of_boot_change_reload_or_crash() {
    let Some(lab) = Lab::new("fl", CARDS) else { return };
    let (watch, flood) = (Watch::start(&lab), Flood::start(&lab));
    let (a, b) = (network(2), random::moved(&network(3)));
    // Boot, and the end of everything.
    for _ in 0..2 {
        lab.apply(&a);
        netfw::remove(&lab.machine, &a).unwrap();
    }
    // Crashes: from nothing, and from one description to another.
    for k in (0..30).step_by(4) {
        for name in ["a", "b"] {
            let mut child = Killed::start(&lab, name, Some(k));
            assert_eq!(child.wait(), "begun");
            child.wait();
            child.kill();
            if k % 8 == 0 {
                lab.apply(if name == "a" { &a } else { &b });
            }
        }
        if k % 12 == 0 {
            netfw::remove(&lab.machine, &b).unwrap();
        }
    }
    // Change and reload, with cables that work.
    lab.apply(&a);
    lab.wait_for_carrier(&["lan", "i1", "i2"]);
    for nth in 0..4_u16 {
        let mut reloaded = a.clone();
        for port in &mut reloaded.ports {
            port.services.push(Service {
                name: "page",
                protocol: Protocol::Tcp,
                port: 9000 + nth,
            });
        }
        lab.apply(&reloaded);
        lab.apply(&b);
        lab.apply(&a);
        lab.wait_for_carrier(&["lan", "i1", "i2"]);
    }
    let sent = flood.end();
    for (place, counts) in watch.end() {
        assert_eq!(counts, Passed::default(), "{place}; {sent} sent");
    }
    for host in ["i1", "i2", "i3", "lan"] {
        let Passed { datagrams, .. } = lab.ns(host).run(passed).unwrap();
        assert_eq!(datagrams, 0, "{host} got what was for somebody else");
    }
    assert!(sent > 10_000, "only {sent} packets were sent");
}

#[test]
fn the_same_flood_arrives_where_there_is_no_firewall() {
    let Some(lab) = Lab::new("fc", CARDS) else { return };
    let (root, port1) = (lab.full("root"), lab.full("port1"));
    let watch = Watch::start(&lab);
    ip(&format!("netns add {port1}"));
    ip(&format!("-n {root} link set eth1 netns {port1} name port1"));
    ip(&format!("-n {port1} addr add {GATEWAY}/24 dev port1"));
    ip(&format!("-n {port1} link set port1 up"));
    ip(&format!("-n {root} addr add {UPLINK}/24 dev up0"));
    ip(&format!("-n {root} link set up0 up"));
    ip(&format!("-n {root} addr add {GATEWAY}/24 dev eth2"));
    ip(&format!("-n {root} link set eth2 up"));
    let route = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    lab.ns("root").run(route).unwrap();
    let flood = Flood::start(&lab);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = watch.seen.lock().unwrap().clone();
        let all = |place: &str| seen.get(place).copied().unwrap_or_default();
        let lan = lab.ns("lan").run(passed).unwrap().datagrams;
        let arrived = all("port1").datagrams > 100
            && all("root").datagrams > 100
            && all("root").forwarded > 100
            && lan > 100;
        if arrived {
            break;
        }
        assert!(Instant::now() < deadline, "{seen:?}, lan {lan}");
        std::thread::sleep(Duration::from_millis(20));
    }
    flood.end();
    watch.end();
}

/// Not a test by itself: what [`Killed`] runs.
#[test]
fn child_that_is_killed() {
    lab::killed::child();
}
