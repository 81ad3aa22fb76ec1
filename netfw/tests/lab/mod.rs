//! A machine made of namespaces: a root with an uplink card and port cards, a hospital network, an instrument behind
//! each port. Needs root, `ip` (iproute2) and `nft` (nftables).

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message"
)]

pub(crate) mod dump;
pub(crate) mod killed;
pub(crate) mod random;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use netfw::Machine;
use netfw::model::{
    Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
};
use netfw::netns::Namespace;

/// The box's address at every port.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// Every instrument's.
pub(crate) const INSTRUMENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
/// The box's in the hospital.
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The service centre's.
pub(crate) const CENTRE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);

/// The machine and the hosts around it: `root`, `lan`, and `i1` and so on, one an instrument.
pub(crate) struct Lab {
    /// Before the names of all its namespaces.
    pub(crate) prefix: String,
    /// What networks are applied on.
    pub(crate) machine: Machine,
    instruments: u8,
}

impl Lab {
    /// With `instruments` port cards `eth1` and so on. None, and says so, where it cannot be built.
    pub(crate) fn new(test: &str, instruments: u8) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root");
            println!("skipped: needs root");
            return None;
        }
        let prefix = format!("nfk{}{test}-", std::process::id());
        let lab = Self {
            machine: machine(&prefix),
            prefix,
            instruments,
        };
        for name in lab.hosts() {
            ip(&format!("netns add {}", lab.full(&name)));
        }
        lab.cable("up0", UPLINK_MAC, "lan", &["10.9.0.10/24", "10.9.0.11/24"]);
        for number in 1..=instruments {
            lab.plug(number);
        }
        Some(lab)
    }

    /// Plugs in card and instrument `number`.
    pub(crate) fn plug(&self, number: u8) {
        let (card, instrument) = (format!("eth{number}"), format!("i{number}"));
        self.cable(&card, &card_mac(number), &instrument, &["192.168.1.50/24"]);
    }

    fn hosts(&self) -> Vec<String> {
        let instruments = (1..=self.instruments).map(|number| format!("i{number}"));
        ["root".to_owned(), "lan".to_owned()]
            .into_iter()
            .chain(instruments)
            .collect()
    }

    /// The namespace's full name.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The namespace.
    pub(crate) fn ns(&self, name: &str) -> Namespace {
        Namespace::Named(self.full(name))
    }

    /// A cable from a card of the machine to `eth0` of another host.
    pub(crate) fn cable(&self, end: &str, mac: &str, other: &str, addresses: &[&str]) {
        let (root, other) = (self.full("root"), self.full(other));
        ip(&format!(
            "link add {end} netns {root} address {mac} type veth peer name eth0 netns {other} address 06{}",
            &mac[2..]
        ));
        for address in addresses {
            ip(&format!("-n {other} addr add {address} dev eth0"));
        }
        ip(&format!("-n {other} link set lo up"));
        ip(&format!("-n {other} link set eth0 up"));
    }

    /// Applies `network`, with every link as planned; says what was changed.
    pub(crate) fn apply(&self, network: &Network) -> Vec<String> {
        let report = netfw::apply_on(&self.machine, network).unwrap();
        for link in report.ports.iter().chain([&report.uplink]) {
            if let Err(error) = &link.link {
                panic!("{}: {error:?}; done: {:#?}", link.name, report.changes);
            }
        }
        assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
        report.changes
    }

    /// The kernel takes up to a second to let packets through a link whose other end has come up
    /// (`net/core/link_watch.c`).
    pub(crate) fn wait_for_carrier(&self, names: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for name in names {
            while !shown(&format!("-n {} link show eth0", self.full(name))).contains("state UP") {
                assert!(Instant::now() < deadline, "{name}: no carrier");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Opens a listener that answers every connection with its own name.
    pub(crate) fn listen(&self, place: &str, address: Ipv4Addr, port: u16) {
        let answer = self.full(place);
        let bind = || TcpListener::bind((address, port)).unwrap();
        let listener = self.ns(place).run(bind).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(answer.as_bytes());
            }
        });
    }

    /// Who answers there, seen from `place`.
    pub(crate) fn connect(&self, place: &str, address: Ipv4Addr, port: u16) -> std::io::Result<String> {
        let target = SocketAddrV4::new(address, port).into();
        let talk = || {
            let mut stream = TcpStream::connect_timeout(&target, Duration::from_millis(700))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = self.ns(place).run(talk).unwrap()?;
        Ok(answer.replace(&self.prefix, ""))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ports = (1..=9).map(|number| format!("port{number}"));
        for name in ports.chain(self.hosts()) {
            let _ = self.ns(&name).remove();
        }
    }
}

/// The machine of the lab with this prefix.
pub(crate) fn machine(prefix: &str) -> Machine {
    Machine {
        root: Namespace::Named(format!("{prefix}root")),
        prefix: prefix.to_owned(),
    }
}

/// The uplink card's address.
pub(crate) const UPLINK_MAC: &str = "02:00:00:00:00:01";

/// The address of port card `number`.
pub(crate) fn card_mac(number: u8) -> String {
    format!("02:00:00:00:00:1{number}")
}

/// `port1` and so on with `eth1` and so on, the first pinned; a static uplink; a service centre.
pub(crate) fn network(ports: u8) -> Network {
    let ports = (1..=ports).map(|number| port(number, number)).collect();
    Network::new(
        uplink(),
        ports,
        vec![centre()],
        Some("10.200.0.0/24".parse().unwrap()),
    )
    .unwrap()
}

/// Port `number` on card `card`.
pub(crate) fn port(number: u8, card: u8) -> Port {
    Port {
        name: format!("port{number}").parse().unwrap(),
        nic: format!("mac:{}", card_mac(card)).parse().unwrap(),
        address: "192.168.1.1/24".parse().unwrap(),
        instrument: INSTRUMENT,
        dhcp: true,
        mac: (number == 1).then(|| format!("06{}", &card_mac(card)[2..]).parse().unwrap()),
        services: vec![Service {
            name: "ingest",
            protocol: Protocol::Tcp,
            port: 8443,
        }],
        remote: vec![tcp(80), tcp(81)],
        limits: Limits::default(),
    }
}

/// A TCP port of an instrument.
pub(crate) fn tcp(port: u16) -> Opening {
    Opening {
        protocol: Protocol::Tcp,
        port,
    }
}

/// The static uplink.
pub(crate) fn uplink() -> Uplink {
    Uplink {
        nic: format!("mac:{UPLINK_MAC}").parse().unwrap(),
        addressing: Addressing::Static {
            address: "10.9.0.2/24".parse().unwrap(),
            gateway: Some([10, 9, 0, 1].into()),
        },
        vlan: None,
        mtu: None,
        ipv6: Ipv6::Off,
        dns: vec![IpAddr::from([10, 9, 0, 1])],
        search: Vec::new(),
    }
}

/// The service centre.
pub(crate) fn centre() -> Endpoint {
    Endpoint {
        name: "centre".to_owned(),
        host: Host::Ip(CENTRE.into()),
        protocol: Protocol::Tcp,
        port: 8443,
    }
}

/// Runs `ip`, which has to succeed.
pub(crate) fn ip(arguments: &str) {
    shown(arguments);
}

/// What `ip` prints.
pub(crate) fn shown(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}
