//! Time to apply a network of eight ports and 500 rules: where only the rules are others, beside `nft -f` of the same
//! tables; on a machine without anything of it, beside what one would type there with `ip` and `nft`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use netfw::Machine;
use netfw::model::{
    Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
};
use netfw::netns::Namespace;
use netfw::plan::NetPlan;
use netfw::ruleset::Table;

use super::{ROUNDS, median};
use crate::bench::Figure;

const PORTS: u8 = 8;
/// At least so many in all tables.
const RULES: usize = 500;
/// Each makes three rules.
const SERVICES: [&str; 16] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
];
/// The largest ratio that counts as good.
const GOAL: f64 = 1.5;

/// Measures both.
///
/// # Errors
/// When the namespaces cannot be made or a side fails.
pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::new()?;
    let networks = [network(0)?, network(1)?];
    let rules = rules(&networks[0]);
    ensure!(rules >= RULES, "only {rules} rules");

    let (mut reload, mut nothing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let typed = lab.type_in(&networks[0])?;
        // A namespace that was removed goes in its own time, and takes the kernel's lock meanwhile.
        nothing.push((lab.apply(&networks[0])?, typed));
        let anew = lab.apply(&networks[1])?;
        let nft = lab.load(&networks[0])?;
        reload.push((anew, nft));
        // What nft loaded is what netfw would have: there is nothing to do.
        let again = netfw::apply_on(&lab.machine, &networks[0])?;
        ensure!(
            again.changes.is_empty(),
            "nft loaded something else: {:?}",
            again.changes
        );
        netfw::remove(&lab.machine, &networks[0])?;
    }
    let rules = format!("{PORTS} ports, {rules} rules");
    let mut figures = compare(&format!("{rules}, all rules anew"), "nft -f", &reload);
    figures.extend(compare(&format!("{rules}, from nothing"), "ip and nft", &nothing));
    Ok(figures)
}

/// The middle times, and the middle of the ratios in each round: whatever else the machine does slows both.
fn compare(name: &str, peer: &str, rounds: &[(f64, f64)]) -> Vec<Figure> {
    let (ours, theirs) = rounds.iter().copied().unzip();
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs).collect());
    vec![
        Figure::number(name, median(ours), "ms").beside(peer, median(theirs)),
        Figure::number(format!("{name}, over {peer}"), ratio, "×").at_most(GOAL),
    ]
}

/// A machine with cards whose other ends are on nobody's desk.
struct Lab {
    machine: Machine,
}

impl Lab {
    fn new() -> anyhow::Result<Self> {
        let prefix = format!("bench{}-", std::process::id());
        let root = format!("{prefix}root");
        let machine = Machine {
            root: Namespace::Named(root.clone()),
            prefix,
        };
        machine.root.create(|| Ok::<_, netfw::netns::Error>(()))?;
        let lab = Self { machine };
        for card in 0..=PORTS {
            let mac = mac(card);
            ip(&format!(
                "-n {root} link add eth{card} address {mac} type veth peer name far{card}"
            ))?;
            ip(&format!("-n {root} link set far{card} up"))?;
        }
        Ok(lab)
    }

    /// Milliseconds to apply `network`.
    fn apply(&self, network: &Network) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let report = netfw::apply_on(&self.machine, network)?;
        let took = begun.elapsed();
        for link in report.ports.into_iter().chain([report.uplink]) {
            link.link
                .with_context(|| format!("{} is not as planned", link.name))?;
        }
        Ok(took.as_secs_f64() * 1000.0)
    }

    /// Milliseconds for making the same namespaces, rules, links and addresses with the programs `ip` and `nft`, without
    /// any settings, looking or checking. Everything is taken away again.
    fn type_in(&self, network: &Network) -> anyhow::Result<f64> {
        let root = self.machine.root.name().to_owned();
        let texts: Vec<_> = places(&self.machine, network)
            .map(|(place, tables)| (place, texts(&tables)))
            .collect();
        let begun = Instant::now();
        for (nth, (place, text)) in texts.iter().enumerate() {
            let (name, link) = (place.name(), format!("port{nth}"));
            if nth > 0 {
                ip(&format!("netns add {name}"))?;
                ip(&format!("-n {root} link set eth{nth} netns {name} name {link}"))?;
                ip(&format!("-n {name} link set lo up"))?;
                ip(&format!("-n {name} addr add 192.168.1.1/24 dev {link}"))?;
                ip(&format!("-n {name} link set {link} up"))?;
            }
            place.run(|| nft(text))??;
        }
        let took = begun.elapsed();
        for (nth, (place, _)) in texts.iter().enumerate().skip(1) {
            let name = place.name();
            ip(&format!("-n {name} link set port{nth} down"))?;
            ip(&format!(
                "-n {name} link set port{nth} netns {root} name eth{nth}"
            ))?;
            ip(&format!("netns del {name}"))?;
        }
        ip(&format!("-n {root} link set lo up"))?;
        Ok(took.as_secs_f64() * 1000.0)
    }

    /// Milliseconds for `nft -f` of the tables of `network` where they belong, one namespace after the other.
    fn load(&self, network: &Network) -> anyhow::Result<f64> {
        let texts: Vec<_> = places(&self.machine, network)
            .map(|(place, tables)| (place, texts(&tables)))
            .collect();
        let begun = Instant::now();
        for (place, text) in &texts {
            place.run(|| nft(text))??;
        }
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ports = (1..=PORTS).map(|number| self.machine.port(&format!("port{number}")));
        for namespace in ports.chain([self.machine.root.clone()]) {
            if let Err(error) = namespace.remove() {
                log::warn!("{error}");
            }
        }
    }
}

fn places(machine: &Machine, network: &Network) -> impl Iterator<Item = (Namespace, Vec<Table>)> {
    let plan = NetPlan::new(network);
    let sessions = plan.sessions.clone();
    let root = sessions.as_ref().map(|sessions| sessions.root_table.clone());
    let root = (
        machine.root.clone(),
        [Some(plan.root.table), root].into_iter().flatten().collect(),
    );
    let ports = plan.ports.into_iter().map(move |port| {
        let planned = sessions.iter().flat_map(|sessions| &sessions.ports);
        let session = planned
            .into_iter()
            .find(|session| session.port.as_str() == port.name);
        let tables = [Some(port.table), session.map(|session| session.table.clone())];
        (port.name, tables.into_iter().flatten().collect())
    });
    let ports: Vec<_> = ports
        .map(|(name, tables)| (machine.port(&name), tables))
        .collect();
    [root].into_iter().chain(ports)
}

fn rules(network: &Network) -> usize {
    let count = |table: &Table| table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
    places(&Machine::default(), network)
        .flat_map(|(_, tables)| tables)
        .map(|table| count(&table))
        .sum()
}

fn texts(tables: &[Table]) -> String {
    tables.iter().map(Table::text).collect()
}

fn nft(text: &str) -> anyhow::Result<()> {
    let mut nft = Command::new("/usr/sbin/nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run nft")?;
    nft.stdin
        .take()
        .context("nft has no input")?
        .write_all(text.as_bytes())?;
    ensure!(nft.wait()?.success(), "nft refused the rules");
    Ok(())
}

/// Runs `ip`.
pub(super) fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .context("cannot run ip")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {complaint}");
    Ok(())
}

/// The address of a card; 0 is the uplink's.
pub(super) fn mac(card: u8) -> String {
    format!("02:00:00:00:00:{card:02x}")
}

/// Eight ports with so many services each that there are enough rules; networks of different `variant` differ in every
/// table.
fn network(variant: u16) -> anyhow::Result<Network> {
    let service = |(name, port): (&'static str, u16)| Service {
        name,
        protocol: Protocol::Tcp,
        port: port + 100 * variant,
    };
    let ports = (1..=PORTS).map(|number| {
        let services = SERVICES.into_iter().zip(9000..).map(service).collect();
        port(number, services)
    });
    let ports = ports.collect::<anyhow::Result<_>>()?;
    let mut uplink = uplink()?;
    uplink.dns = vec![[10, 9, 0, 1 + variant.to_le_bytes()[0]].into()];
    Ok(Network::new(
        uplink,
        ports,
        vec![centre()?],
        Some("10.200.0.0/24".parse()?),
    )?)
}

/// Port `number` on the card of that number.
pub(super) fn port(number: u8, services: Vec<Service>) -> anyhow::Result<Port> {
    Ok(Port {
        name: format!("port{number}").parse()?,
        nic: format!("mac:{}", mac(number)).parse()?,
        address: "192.168.1.1/24".parse()?,
        instrument: "192.168.1.50".parse()?,
        dhcp: true,
        mac: None,
        services,
        remote: vec![Opening {
            protocol: Protocol::Tcp,
            port: 80,
        }],
        limits: Limits::default(),
    })
}

/// A static uplink on card 0.
pub(super) fn uplink() -> anyhow::Result<Uplink> {
    Ok(Uplink {
        nic: format!("mac:{}", mac(0)).parse()?,
        vlan: None,
        mtu: None,
        addressing: Addressing::Static {
            address: "10.9.0.2/24".parse()?,
            gateway: Some([10, 9, 0, 1].into()),
        },
        ipv6: Ipv6::Off,
        dns: Vec::new(),
        search: Vec::new(),
    })
}

/// Some endpoint.
pub(super) fn centre() -> anyhow::Result<Endpoint> {
    Ok(Endpoint {
        name: "centre".to_owned(),
        host: Host::Ip("10.9.0.10".parse()?),
        protocol: Protocol::Tcp,
        port: 8443,
    })
}
