//! TCP throughput from an engineer at the end of a tunnel to an instrument, through root and port as a session goes,
//! beside the same four hosts in a row that forward without any rule.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use netfw::Machine;
use netfw::model::{Network, Opening, Protocol};
use netfw::netns::Namespace;
use netfw::session;

use super::apply::{centre, ip, mac, port, uplink};
use super::{ROUNDS, median};
use crate::bench::Figure;

/// The smallest ratio that counts as good.
const GOAL: f64 = 0.9;
/// One run.
const TIME: Duration = Duration::from_millis(800);
const INSTRUMENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
const DOOR: Opening = Opening {
    protocol: Protocol::Tcp,
    port: 80,
};

/// Measures both ways.
///
/// # Errors
/// When the namespaces cannot be made, or nothing gets through.
pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let (session, plain) = (Row::session()?, Row::plain()?);
    let mut figures = Vec::new();
    for (direction, to_instrument) in [("to the instrument", true), ("from the instrument", false)] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let through = session.throughput(SERVICE, to_instrument)?;
            rounds.push((through, plain.throughput(INSTRUMENT, to_instrument)?));
        }
        let (with, without) = rounds.iter().copied().unzip();
        let ratio = median(rounds.iter().map(|(with, without)| with / without).collect());
        let name = format!("TCP through a session, {direction}");
        figures.push(Figure::number(&name, median(with), "Gbit/s").beside("no rules", median(without)));
        figures.push(Figure::number(format!("{name}, over no rules"), ratio, "×").at_least(GOAL));
    }
    Ok(figures)
}

/// Engineer, root, port, instrument.
struct Row {
    prefix: String,
}

impl Row {
    /// As netfw makes it, with the instrument's port open.
    fn session() -> anyhow::Result<Self> {
        let row = Self::new("s")?;
        let (root, engineer, instrument) = (row.full("root"), row.full("engineer"), row.full("instrument"));
        for (card, other) in [(0, "engineer"), (1, "instrument")] {
            let (mac, other) = (mac(card), row.full(other));
            ip(&format!(
                "link add eth{card} netns {root} address {mac} type veth peer name eth0 netns {other}"
            ))?;
        }
        ip(&format!(
            "link add tunnel netns {root} type veth peer name tunnel netns {engineer}"
        ))?;
        ip(&format!("-n {root} addr add 10.8.0.1/24 dev tunnel"))?;
        ip(&format!("-n {root} link set tunnel up"))?;
        ip(&format!("-n {engineer} addr add 10.8.0.6/24 dev tunnel"))?;
        ip(&format!("-n {engineer} link set tunnel up"))?;
        ip(&format!("-n {engineer} route add 10.200.0.0/24 via 10.8.0.1"))?;
        ip(&format!("-n {instrument} addr add {INSTRUMENT}/24 dev eth0"))?;
        ip(&format!("-n {instrument} link set eth0 up"))?;

        let mut described = port(1, Vec::new())?;
        // The rules are measured, not the limit for a noisy instrument, which is far below what memory carries.
        described.limits.packets_per_second = 1_000_000;
        let name = described.name.clone();
        let prefix = Some("10.200.0.0/24".parse()?);
        let network = Network::new(uplink()?, vec![described], vec![centre()?], prefix)?;
        let machine = Machine {
            root: Namespace::Named(root),
            prefix: row.prefix.clone(),
        };
        let report = netfw::apply_on(&machine, &network)?;
        for link in report.ports {
            link.link
                .with_context(|| format!("{} is not as planned", link.name))?;
        }
        session::open(&machine, &network, &name, &[DOOR], Duration::from_secs(3600))?;
        Ok(row)
    }

    /// The same hosts and cables, and forwarding.
    fn plain() -> anyhow::Result<Self> {
        let row = Self::new("p")?;
        row.make("port1")?;
        let hosts = ["engineer", "root", "port1", "instrument"];
        for (nth, pair) in hosts.windows(2).enumerate() {
            let (near, far) = (row.full(pair[0]), row.full(pair[1]));
            ip(&format!(
                "link add right netns {near} type veth peer name left netns {far}"
            ))?;
            let network = if nth == 2 {
                "192.168.1".to_owned()
            } else {
                format!("10.{nth}.0")
            };
            let last = if nth == 2 { 50 } else { 2 };
            ip(&format!("-n {near} addr add {network}.1/24 dev right"))?;
            ip(&format!("-n {far} addr add {network}.{last}/24 dev left"))?;
            ip(&format!("-n {near} link set right up"))?;
            ip(&format!("-n {far} link set left up"))?;
        }
        for (host, gateway) in [
            ("engineer", "10.0.0.2"),
            ("root", "10.1.0.2"),
            ("port1", "10.1.0.1"),
            ("instrument", "192.168.1.1"),
        ] {
            ip(&format!("-n {} route add default via {gateway}", row.full(host)))?;
        }
        for host in ["root", "port1"] {
            row.ns(host)
                .run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
        }
        Ok(row)
    }

    fn new(kind: &str) -> anyhow::Result<Self> {
        let row = Self {
            prefix: format!("bench{}{kind}-", std::process::id()),
        };
        for host in ["engineer", "root", "instrument"] {
            row.make(host)?;
        }
        Ok(row)
    }

    fn make(&self, host: &str) -> Result<(), netfw::netns::Error> {
        self.ns(host).create(|| Ok(()))
    }

    fn full(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    fn ns(&self, host: &str) -> Namespace {
        Namespace::Named(self.full(host))
    }

    /// Gigabits a second that arrive of one connection of the engineer to `address`.
    fn throughput(&self, address: Ipv4Addr, to_instrument: bool) -> anyhow::Result<f64> {
        let bind = || TcpListener::bind((INSTRUMENT, DOOR.port));
        let listener = self.ns("instrument").run(bind)??;
        let engineer = self.connect(address)?;
        let (instrument, _) = listener.accept()?;
        let (from, to) = if to_instrument {
            (engineer, instrument)
        } else {
            (instrument, engineer)
        };
        transfer(from, to)
    }

    /// The kernel lets packets through a link a moment after its other end has come up.
    fn connect(&self, address: Ipv4Addr) -> anyhow::Result<TcpStream> {
        let target = SocketAddr::from((address, DOOR.port));
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let connect = || TcpStream::connect_timeout(&target, Duration::from_millis(300));
            match self.ns("engineer").run(connect)? {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("{}: nothing gets through", self.prefix));
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        for host in ["port1", "engineer", "root", "instrument"] {
            if let Err(error) = self.ns(host).remove() {
                log::warn!("{error}");
            }
        }
    }
}

fn transfer(mut from: TcpStream, mut to: TcpStream) -> anyhow::Result<f64> {
    let writer = std::thread::spawn(move || {
        let (begun, block) = (Instant::now(), [0; 128 * 1024]);
        while begun.elapsed() < TIME {
            from.write_all(&block)?;
        }
        std::io::Result::Ok(())
    });
    let (begun, mut received, mut buffer) = (Instant::now(), 0_u64, vec![0; 256 * 1024]);
    loop {
        match to.read(&mut buffer)? {
            0 => break,
            read => received += read as u64,
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let written = writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer ended in a panic"))?;
    written.context("cannot write")?;
    ensure!(received > 0, "nothing arrived");
    let megabits = f64::from(u32::try_from(received * 8 / 1_000_000)?);
    Ok(megabits / 1000.0 / seconds)
}
