//! Making the kernel look like the plan, changing only what differs.
//!
//! Order: every namespace denies everything before any link in it comes up: tables, then settings, then cards into
//! their places, then addresses, and last of all up. A port that fails does not keep the others from their plan; a root
//! namespace that cannot be closed stops everything.

mod link;
mod observe;
mod watch;

use crate::model::{Network, Nic};
use crate::netns::{self, Namespace};
use crate::nft;
use crate::plan::{NamespacePlan, NetPlan, Sysctl};
use crate::ruleset::{self, Element};

pub use observe::Link;
pub use watch::watch;

/// Where on this machine a network is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What serves as the root namespace; cards are looked for here first.
    pub root: Namespace,
    /// Comes before the names of the ports' namespaces.
    pub prefix: String,
}

/// What became of one application.
#[derive(Debug)]
pub struct Report {
    /// The uplink.
    pub uplink: LinkReport,
    /// The ports, in the order they were described.
    pub ports: Vec<LinkReport>,
    /// What was changed, in order, one sentence a step; empty when all was right already.
    pub changes: Vec<String>,
}

/// One link after an application.
#[derive(Debug)]
pub struct LinkReport {
    /// Its name.
    pub name: String,
    /// Its card.
    pub nic: Nic,
    /// The link as the kernel shows it, or why it is not as planned.
    pub link: Result<Link, Error>,
}

/// Why the kernel does not look like the plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such card.
    #[error(
        "no network card {nic} found; check that it is plugged in and that the description names the right one"
    )]
    Missing {
        /// The card.
        nic: Nic,
    },
    /// A netlink request failed.
    #[error("cannot {operation} in namespace {namespace}")]
    Netlink {
        /// What was to be done.
        operation: String,
        /// Where.
        namespace: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// No netlink socket.
    #[error("cannot open a netlink socket in namespace {0}")]
    Socket(String, #[source] std::io::Error),
    /// A setting could not be read or written.
    #[error("cannot set {path} to {value}")]
    Sysctl {
        /// Its path below `/proc/sys`.
        path: String,
        /// The wanted value.
        value: &'static str,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The firewall.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            root: Namespace::Current,
            prefix: String::new(),
        }
    }
}

impl Machine {
    /// The namespace of the port called `name`.
    #[must_use]
    pub fn port(&self, name: &str) -> Namespace {
        Namespace::Named(format!("{}{name}", self.prefix))
    }
}

/// Makes the kernel look like `network`, on the real root namespace.
///
/// # Errors
/// As [`apply_on`].
pub fn apply(network: &Network) -> Result<Report, Error> {
    apply_on(&Machine::default(), network)
}

/// Makes the kernel look like `network` on `machine`. Applied again, it changes nothing.
///
/// # Errors
/// When the root namespace cannot be closed. What is wrong with a single link is in the report.
pub fn apply_on(machine: &Machine, network: &Network) -> Result<Report, Error> {
    let plan = NetPlan::new(network);
    let mut changes = Vec::new();
    close(&machine.root, &plan.root, &mut changes)?;

    let ports: Vec<_> = plan
        .ports
        .iter()
        .map(|port| {
            let namespace = machine.port(&port.name);
            let closed = open_namespace(&namespace, port, &mut changes);
            (namespace, port, closed)
        })
        .collect();

    // A card may be in the root namespace or, after a change of the description, in another port's.
    let mut places = vec![machine.root.clone()];
    places.extend(ports.iter().map(|(namespace, ..)| namespace.clone()));

    let mut reports = Vec::new();
    for (namespace, port, closed) in ports {
        let link = closed.and_then(|()| link::settle(&port.link, &namespace, &places, &mut changes));
        reports.push(LinkReport {
            name: port.link.name.clone(),
            nic: port.link.nic.clone(),
            link,
        });
    }
    let uplink = &plan.root.link;
    Ok(Report {
        uplink: LinkReport {
            name: uplink.name.clone(),
            nic: uplink.nic.clone(),
            link: link::settle(uplink, &machine.root, &places, &mut changes),
        },
        ports: reports,
        changes,
    })
}

/// Gives the elements of a set their timeouts anew. Those the description itself names stay for ever.
///
/// # Errors
/// nft's.
pub fn fill(machine: &Machine, network: &Network, set: &str, elements: &[Element]) -> Result<(), Error> {
    let table = NetPlan::new(network).root.table;
    let permanent: Vec<_> = table
        .sets
        .iter()
        .filter(|known| known.name == set)
        .flat_map(|known| &known.elements)
        .map(|element| element.key)
        .collect();
    let timed: Vec<_> = elements
        .iter()
        .filter(|element| !permanent.contains(&element.key))
        .cloned()
        .collect();
    if timed.is_empty() {
        return Ok(());
    }
    Ok(nft::load(
        &machine.root,
        &ruleset::refill(ruleset::TABLE, set, &timed),
    )?)
}

fn open_namespace(
    namespace: &Namespace,
    plan: &NamespacePlan,
    changes: &mut Vec<String>,
) -> Result<(), Error> {
    if namespace.create()? {
        changes.push(format!("made namespace {}", namespace.name()));
    }
    close(namespace, plan, changes)
}

/// Deny-all, settings, loopback; touches no other link.
fn close(namespace: &Namespace, plan: &NamespacePlan, changes: &mut Vec<String>) -> Result<(), Error> {
    let listed = nft::list(namespace, ruleset::TABLE)?;
    let in_force = listed.is_some_and(|listing| ruleset::listed_summary(&listing) == plan.table.summary());
    if !in_force {
        nft::load(namespace, &plan.table.json())?;
        changes.push(format!("loaded the table of {}", namespace.name()));
    }
    set(namespace, &plan.sysctls, changes)?;
    link::raise_loopback(namespace, changes)
}

/// Writes those settings that differ. The kernel shows each namespace its own `/proc/sys/net`.
fn set(namespace: &Namespace, sysctls: &[Sysctl], changes: &mut Vec<String>) -> Result<(), Error> {
    let written = namespace.run(|| sysctls.iter().map(set_one).collect::<Result<Vec<_>, _>>())??;
    let name = namespace.name();
    changes.extend(
        written
            .into_iter()
            .flatten()
            .map(|text| format!("{name}: {text}")),
    );
    Ok(())
}

fn set_one(sysctl: &Sysctl) -> Result<Option<String>, Error> {
    let Sysctl { path, value } = sysctl;
    let file = std::path::Path::new("/proc/sys").join(path);
    let failed = |source| Error::Sysctl {
        path: path.clone(),
        value,
        source,
    };
    match std::fs::read_to_string(&file) {
        Ok(found) if found.trim() == *value => Ok(None),
        // A kernel without IPv6 has nothing to switch off.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.starts_with("net/ipv6/") => {
            Ok(None)
        }
        Ok(_) => {
            std::fs::write(&file, value).map_err(failed)?;
            Ok(Some(format!("set {path} to {value}")))
        }
        Err(error) => Err(failed(error)),
    }
}
