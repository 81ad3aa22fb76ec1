//! A box in namespaces, with every cable's far end in this program.
//!
//! `root` stands in for the box's root namespace; netfw makes the ports' itself. Everything runs on one processor and
//! in one thread, so that packets are taken in in the order in which they were sent.

mod sessions;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netfw::Machine;
use netfw::model::{Addressing, Ipv6, Opening, PortName};
use netfw::netns::Namespace;
use netfw::plan::{NetPlan, TUNNEL, UPLINK};
use netfw::policy::Moment;
use netfw::ruleset::{ENDPOINTS, Element, Key};
use rustix::io::Errno;

use crate::case::{From, Word};
use crate::inside::Inside;
use crate::packet::{Heard, Live};
use crate::site::{self, ENGINEER, Site, TUNNEL_END, link_local};
use crate::sys::{self, Cable};
use crate::wire::{Arrival, EVERYBODY, Host, Moods, Wire};

/// Every port number somebody listens on, in every namespace of the box, whether the description has it or not.
pub(crate) const LISTENED: [u16; 13] = [22, 53, 67, 68, 80, 123, 161, 443, 514, 1194, 3389, 5900, 8443];

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a session is open: longer than any test takes.
const OPEN_FOR: Duration = Duration::from_secs(3600);

/// The box, its cables and its ears.
#[derive(Debug)]
pub(crate) struct Lab {
    prefix: String,
    pub(crate) machine: Machine,
    pub(crate) plan: NetPlan,
    /// The uplink, the ports in their order, and last the tunnel.
    pub(crate) wires: Vec<Wire>,
    /// The root namespace, then the ports' in their order.
    pub(crate) insides: Vec<Inside>,
    /// What is open to remote sessions.
    open: Vec<(PortName, Opening)>,
    next: u16,
}

/// Something heard: in a namespace of the box, or on a wire.
#[derive(Debug)]
pub(crate) enum Event {
    Inside(usize, Heard),
    Wire(usize, Arrival),
}

/// Says why there can be no lab here; fails where tests must not be skipped.
pub(crate) fn possible() -> bool {
    let lacking = if !rustix::process::geteuid().is_root() {
        "root's rights"
    } else if !std::path::Path::new("/dev/net/tun").exists() {
        "/dev/net/tun"
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "needs {lacking}");
    println!("skipped: needs {lacking}");
    false
}

/// Whether this kernel can put a link into a VLAN (its module 8021q); says so if not.
pub(crate) fn has_vlans() -> bool {
    let script = "ip link add name card type dummy && ip link add link card name vlan type vlan id 7";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .output()
        .unwrap();
    if !output.status.success() {
        println!("this kernel has no VLANs: no site has one");
    }
    output.status.success()
}

impl Lab {
    /// Builds the site and applies it.
    pub(crate) fn new(site: &Site) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        stay_on_one_processor();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("matrix{}-{number}-", std::process::id());
        let root = Namespace::Named(format!("{prefix}root"));
        root.create::<netfw::netns::Error>(|| Ok(())).unwrap();
        let machine = Machine {
            root,
            prefix: prefix.clone(),
        };
        let mut lab = Self {
            prefix,
            machine,
            plan: NetPlan::new(&site.network),
            wires: Vec::new(),
            insides: Vec::new(),
            open: site.open().collect(),
            next: 1,
        };
        // Nobody else has the box's addresses; there is no second to wait until that is certain (RFC 4862 §5.4).
        lab.in_root(|| {
            for links in ["all", "default"] {
                std::fs::write(format!("/proc/sys/net/ipv6/conf/{links}/accept_dad"), "0").unwrap();
            }
        });
        lab.plug(site);
        lab.open(site);
        lab
    }

    fn plug(&mut self, site: &Site) {
        let vlan = site.network.uplink.vlan.map(netfw::model::VlanId::number);
        let uplink = self.wire("uplink", 0, vlan, site.hospital(), site.address.addr());
        self.wires.push(uplink);
        for (nth, port) in site.network.ports.iter().enumerate() {
            let own = port.address.addr();
            let wire = self.wire(port.name.as_str(), nth + 1, None, site.instrument(nth), own);
            self.wires.push(wire);
        }
        let tunnel = self.in_root(|| sys::open(Cable::Packets, TUNNEL).unwrap());
        let engineer = Host {
            name: "engineer",
            station: [0; 6],
            addresses: vec![ENGINEER.into()],
            routes: false,
        };
        self.wires.push(Wire::new(
            TUNNEL,
            tunnel,
            Cable::Packets,
            None,
            [0; 6],
            None,
            vec![engineer],
        ));
    }

    fn wire(&self, name: &str, number: usize, vlan: Option<u16>, hosts: Vec<Host>, own: Ipv4Addr) -> Wire {
        let card = format!("tap{number}");
        let file = self.in_root(|| sys::open(Cable::Frames, &card).unwrap());
        let station = site::card(number);
        self.ip(&format!("link set {card} address {}", site::text(station)));
        Wire::new(name, file, Cable::Frames, vlan, station, Some(own), hosts)
    }

    fn open(&mut self, site: &Site) {
        self.apply(site);
        self.ip(&format!("address add {TUNNEL_END}/24 dev {TUNNEL}"));
        self.ip(&format!("link set {TUNNEL} up"));
        // The kernel's own limits on ICMP (icmp(7)) are not what is tried here.
        self.in_root(|| {
            for (path, value) in [
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv4/icmp_msgs_per_sec", "1000000"),
                ("ipv4/icmp_msgs_burst", "100000"),
                ("ipv6/icmp/ratelimit", "0"),
            ] {
                // Absent in a namespace before Linux 6.11.
                let _ = std::fs::write(format!("/proc/sys/net/{path}"), value);
            }
        });
        if site.network.uplink.addressing == Addressing::Dhcp {
            // What a DHCP client does with its lease.
            self.ip(&format!("address add {} dev {UPLINK}", site.address));
            self.ip(&format!("route add default via {} dev {UPLINK}", site.lan(1)));
        }
        for nth in &site.sessions {
            let port = &site.network.ports[*nth];
            netfw::session::open(&self.machine, &site.network, &port.name, &port.remote, OPEN_FOR).unwrap();
        }
        self.insides
            .push(Inside::new("root", self.machine.root.clone(), &LISTENED));
        for port in &site.network.ports {
            let namespace = self.machine.port(port.name.as_str());
            self.insides
                .push(Inside::new(port.name.as_str(), namespace, &LISTENED));
        }
        self.settle(&(0..0), &Moods::new());
        if site.network.uplink.ipv6 == Ipv6::Slaac {
            self.advertise(site);
        }
    }

    /// What a router of the hospital says now and then; then the box has its address.
    fn advertise(&mut self, site: &Site) {
        let router = self.wires[0].host("router").clone();
        for bytes in site.advertisement().bytes(0) {
            self.wires[0].send(router.station, [0x33, 0x33, 0, 0, 0, 1], &bytes);
        }
        self.settle(&(0..0), &Moods::new());
        let shown = self.in_root(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
        let wanted: String = site
            .own6()
            .octets()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(shown.contains(&wanted), "no address from the router: {shown}");
    }

    /// Applies the description, with every link as planned.
    pub(crate) fn apply(&self, site: &Site) {
        let report = netfw::apply_on(&self.machine, &site.network).unwrap();
        for link in report.ports.iter().chain([&report.uplink]) {
            if let Err(error) = &link.link {
                panic!(
                    "{}: {error:?}\nafter {:#?}\nseed {}",
                    link.name, report.changes, site
                );
            }
        }
    }

    /// Everything that came anywhere, until nothing more comes.
    pub(crate) fn hear(&mut self, live: &Live, moods: &Moods) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let before = events.len();
            for (nth, wire) in self.wires.iter_mut().enumerate() {
                let came = wire.take(live, moods);
                events.extend(came.into_iter().map(|arrival| Event::Wire(nth, arrival)));
            }
            for (nth, inside) in self.insides.iter_mut().enumerate() {
                events.extend(
                    inside
                        .hear(live)
                        .into_iter()
                        .map(|heard| Event::Inside(nth, heard)),
                );
            }
            if events.len() == before {
                return events;
            }
        }
    }

    /// The same, and then silence is certain: the last packet on each wire is a question that the box answers whatever
    /// its rules are (ARP for its own address), and what was sent before it has been taken in before it.
    pub(crate) fn settle(&mut self, live: &Live, moods: &Moods) -> Vec<Event> {
        let mut events = self.hear(live, moods);
        let deadline = Instant::now() + PATIENCE;
        let mut asked = Vec::new();
        for (nth, wire) in self.wires.iter_mut().enumerate() {
            let host = wire.hosts[0].clone();
            let Some(own) = wire.own else { continue };
            wire.arp.clear();
            wire.arp((host.station, host.ipv4()), (EVERYBODY, own), false);
            asked.push((nth, own));
        }
        loop {
            events.extend(self.hear(live, moods));
            asked.retain(|(nth, own)| !self.wires[*nth].arp.iter().any(|(address, _)| address == own));
            if asked.is_empty() {
                return events;
            }
            assert!(Instant::now() < deadline, "no answer from the box on {asked:?}");
            // The kernel may want the processor for what is on its way.
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Sends packets as they are; says what the sender is told at once.
    pub(crate) fn emit(&self, from: &From, packets: &[Vec<u8>]) -> Option<Word> {
        let mut told = None;
        for bytes in packets {
            match from {
                From::Wire {
                    wire,
                    station,
                    to,
                    astray: false,
                    ..
                } => self.wires[*wire].send(*station, *to, bytes),
                From::Wire {
                    wire, station, to, ..
                } => self.wires[*wire].send_astray(*station, *to, bytes),
                From::Inside { inside, via } => match self.insides[*inside].speak(*via, bytes) {
                    // That the rules forbid it (EPERM) is no answer yet.
                    Ok(()) | Err(Errno::PERM) => {}
                    Err(Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::HOSTUNREACH) => {
                        told = Some(Word::NoWay)
                    }
                    Err(error) => panic!("{from:?}: cannot send: {error}"),
                },
            }
        }
        told
    }

    /// Numbers for this many cases that no packet on its way has.
    pub(crate) fn number(&mut self, cases: usize) -> Live {
        let cases = u16::try_from(cases).unwrap();
        if self.next > 60_000 - cases {
            self.next = 1;
        }
        let live = self.next..self.next + cases;
        self.next = live.end;
        live
    }

    /// Tables as new, so that limits are full; connections forgotten; what comes and goes put in place.
    pub(crate) fn refresh(&mut self, site: &Site) {
        netfw::nft::load(&self.machine.root, &self.plan.root.table.json()).unwrap();
        for (plan, inside) in self.plan.ports.iter().zip(&self.insides[1..]) {
            netfw::nft::load(&inside.namespace, &plan.table.json()).unwrap();
        }
        self.fill(site);
        for inside in &self.insides {
            inside.netfilter.forget_connections();
        }
    }

    /// Gives the names of endpoints what they resolve to.
    pub(crate) fn fill(&self, site: &Site) {
        let elements: Vec<_> = site
            .resolved
            .iter()
            .map(|(nth, address)| {
                let endpoint = &site.network.endpoints[*nth];
                Element {
                    key: Key::Service(*address, endpoint.protocol, endpoint.port),
                    timeout: Some(Duration::from_secs(600)),
                    comment: format!("endpoints.{}", endpoint.name),
                }
            })
            .collect();
        netfw::fill(&self.machine, &site.network, ENDPOINTS, &elements).unwrap();
    }

    /// What is true besides the description.
    pub(crate) fn moment(&self, site: &Site) -> Moment {
        let resolved = site.resolved.iter().map(|(nth, address)| {
            let endpoint = &site.network.endpoints[*nth];
            (*address, endpoint.protocol, endpoint.port)
        });
        Moment {
            open: site.open().collect(),
            endpoints: resolved.collect(),
            dns: Vec::new(),
            own: self.own(site),
            tunnel: Some(Ipv4Net::new(TUNNEL_END, 24).unwrap()),
        }
    }

    /// The uplink's addresses as the kernel has them.
    fn own(&self, site: &Site) -> Vec<IpNet> {
        let mut own = vec![IpNet::V4(site.address)];
        if site.network.uplink.ipv6 != Ipv6::Off {
            let addresses = [link_local(site::card(0)), site.own6()];
            own.extend(addresses.map(|address| IpNet::V6(Ipv6Net::new(address, 64).unwrap())));
        }
        own
    }

    pub(crate) fn in_root<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.machine.root.run(work).unwrap()
    }

    /// Runs `ip` in the root namespace.
    pub(crate) fn ip(&self, arguments: &str) {
        let output = Command::new("ip")
            .args(["-n", &format!("{}root", self.prefix)])
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "ip {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for port in &self.plan.ports {
            let _ = self.machine.port(&port.name).remove();
        }
        let _ = self.machine.root.remove();
    }
}

/// Threads take turns with the processors; one that has its own keeps it.
fn stay_on_one_processor() {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    if allowed.count() == 1 {
        return;
    }
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % allowed.count();
    let mut processors = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let mut own = rustix::thread::CpuSet::new();
    own.set(processors.nth(usize::try_from(turn).unwrap()).unwrap());
    rustix::thread::sched_setaffinity(None, &own).unwrap();
}
