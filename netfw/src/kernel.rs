//! Making the kernel look like the plan, changing only what differs: observe → diff → execute → verify.
//!
//! Order: every namespace denies everything before any link in it comes up ([`diff`]). A port that fails does not keep
//! the others from their plan; a root namespace that cannot be closed stops everything. Stopped anywhere, by an error
//! or by the end of the process, the next application finds its way from there.

mod diff;
mod execute;
mod message;
mod netlink;
mod observe;
mod parallel;
mod replace;
mod report;
mod run;
mod seen;
mod step;
mod tables;
mod tracked;
mod watch;

use crate::model::{Network, Nic};
use crate::netns::{self, Namespace};
use crate::nft;
use crate::plan::NetPlan;
use crate::ruleset::{self, Element};

pub use diff::{diff, undo};
pub use execute::Executor;
pub use observe::observe;
pub use report::{Failures, LinkReport, Report};
pub use seen::{Address, Gateway, Kind, Link, Neighbour, Origin, Place, Seen, SeenPlace};
pub use step::{Action, Step};
pub use watch::watch;

pub(crate) use diff::{session_of, session_steps, tables_of};

/// Where on this machine a network is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What serves as the root namespace; cards come from here.
    pub root: Namespace,
    /// Comes before the names of the ports' namespaces. A namespace whose name begins with it, is a port's name
    /// besides, and carries netfw's table is taken for one of this machine.
    pub prefix: String,
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
        source: std::io::Error,
    },
    /// The kernel could not be asked.
    #[error("cannot read the {what} of namespace {namespace}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Where.
        namespace: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A namespace that could not be looked into is left as it is.
    #[error("left as it is: {0}")]
    Blind(String),
    /// Everything was done, and yet it is not as planned.
    #[error(
        "the kernel would not settle; still to do: {0}; another program changes the same links or tables"
    )]
    Unsettled(String),
    /// A setting could not be written.
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

    /// The namespace at `place`.
    #[must_use]
    pub fn place(&self, place: &Place) -> Namespace {
        match place {
            Place::Root => self.root.clone(),
            Place::Port(name) => self.port(name),
        }
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
    apply_plan(machine, &NetPlan::new(network))
}

/// Makes the kernel look like `plan` on `machine`: for who adds to a network's plan what is only known while it runs,
/// such as the address a DHCP server gave.
///
/// # Errors
/// As [`apply_on`].
pub fn apply_plan(machine: &Machine, plan: &NetPlan) -> Result<Report, Error> {
    let seen = observe(machine, plan)?;
    let steps = diff(plan, &seen);
    if steps.is_empty() {
        return Ok(Report::new(plan, &seen, report::Outcome::default(), &[]));
    }
    let outcome = run::run(machine, &steps)?;
    let seen = observe(machine, plan)?;
    Ok(Report::new(plan, &seen, outcome, &diff(plan, &seen)))
}

/// Undoes [`apply_on`]: every card back in the root namespace under its former name and switched off, no namespace, and
/// last of all no table. Kernel settings stay as they are, closed. Says what was done.
///
/// # Errors
/// Everything that could not be undone; the rest is.
pub fn remove(machine: &Machine, network: &Network) -> Result<Vec<String>, Failures> {
    let seen = observe(machine, &NetPlan::new(network)).map_err(Failures::one)?;
    let mut executor = Executor::new(machine);
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for step in undo(&seen) {
        match executor.execute(&step) {
            Ok(()) => done.push(step.to_string()),
            Err(error) => failures.push(error),
        }
    }
    failures.extend(seen.blind.into_values().map(Error::Blind));
    if failures.is_empty() {
        Ok(done)
    } else {
        Err(Failures(failures))
    }
}

/// Has `nft` say whether it and the kernel would take every table of `network`, without changing anything. Needs root's
/// rights.
///
/// # Errors
/// nft's complaint about the first table that is refused.
pub fn check(network: &Network) -> Result<(), Error> {
    let plan = NetPlan::new(network);
    let ports = plan.ports.iter().map(|port| Place::Port(port.name.clone()));
    for place in ports.chain([Place::Root]) {
        for table in diff::tables_of(&plan, &place) {
            nft::check(std::process::Command::new(nft::NFT), table)?;
        }
    }
    Ok(())
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

impl Error {
    /// For an answer that could not be had about `what` in `namespace`.
    fn read(what: &'static str, namespace: &Namespace) -> impl FnOnce(std::io::Error) -> Self {
        let namespace = namespace.name().to_owned();
        move |source| Self::Read {
            what,
            namespace,
            source,
        }
    }

    /// The error and its causes in one line.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }
}
