//! Timed openings: for a while, through the tunnel of a remote session, to named ports of one instrument.
//!
//! Invariants: what is open is an element with a timeout in a set of the session tables on both sides, so the kernel
//! alone ends it, whether this program runs or not; a packet passes only while both have it. The links of a session and
//! forwarding exist only while something is open, and come after the tables. Nothing opens that the description does not
//! name. Opening again gives the time anew. Nobody else may change the same machine at the same time.

mod listing;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::kernel::{
    self, Action, Executor, Machine, Place, Seen, Step, observe, session_of, session_steps, tables_of,
};
use crate::model::{Network, Opening, PortName};
use crate::nft;
use crate::plan::{NetPlan, PortSession, TUNNEL};
use crate::ruleset::{self, INSTRUMENTS, Key, OPEN, SESSION_TABLE};

/// The shortest time something can be open; the kernel counts an element's in seconds here, and none would be for ever.
const SHORTEST: Duration = Duration::from_secs(1);

/// One thing that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The instrument's port.
    pub port: PortName,
    /// The address it is reached at from the tunnel.
    pub service: Ipv4Addr,
    /// What is open there.
    pub opening: Opening,
    /// How long it stays so, as the kernel counts: in seconds.
    pub remaining: Duration,
}

/// Why a session could not be opened, closed or listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description lets nobody in there.
    #[error(
        "port {port} has no remote service: the description needs a session prefix, and names of what may be opened there"
    )]
    NoRemote {
        /// The port.
        port: PortName,
    },
    /// The description does not name it.
    #[error("{opening} of port {port} may not be opened; the description allows {allowed}")]
    NotAllowed {
        /// The port.
        port: PortName,
        /// What was asked for.
        opening: Opening,
        /// What may be, in words.
        allowed: String,
    },
    /// Nothing was named.
    #[error("nothing to open at port {port}")]
    Nothing {
        /// The port.
        port: PortName,
    },
    /// The time is too short.
    #[error("found a time of {0:?}, expected at least {SHORTEST:?}")]
    TooShort(Duration),
    /// The tables are not those of the description.
    #[error("the rules of {place} are not in force; apply the network first")]
    NotApplied {
        /// Where.
        place: Place,
    },
    /// What is open could not be read.
    #[error("cannot read what is open: {0}")]
    Listing(String),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The firewall.
    #[error(transparent)]
    Nft(#[from] nft::Error),
}

/// Opens `openings` of the instrument at `port` for `timeout`, in whole seconds. When it fails nothing of the port is
/// open.
///
/// # Errors
/// [`Error::NoRemote`], [`Error::NotAllowed`], [`Error::Nothing`], [`Error::TooShort`] before anything is changed; else
/// nft's or the kernel's.
pub fn open(
    machine: &Machine,
    network: &Network,
    port: &PortName,
    openings: &[Opening],
    timeout: Duration,
) -> Result<(), Error> {
    let plan = NetPlan::new(network);
    let place = Place::Port(port.to_string());
    let session = session_of(&plan, &place).ok_or_else(|| Error::NoRemote { port: port.clone() })?;
    permitted(session, openings, timeout)?;
    let seen = observe(machine, &plan)?;
    in_force(&plan, &seen, &Place::Root)?;
    in_force(&plan, &seen, &place)?;

    let before = list_of(machine, &plan)?;
    let opened = fill(machine, session, openings, timeout, &before);
    let opened = opened.and_then(|()| settle(machine, &plan, &seen));
    if opened.is_err() {
        // The first error is the one to tell; what stays open here ends by its timeout.
        let _ = close(machine, network, port);
    }
    opened.map(drop)
}

/// Closes everything of the instrument at `port`. What was not open is closed.
///
/// # Errors
/// nft's or the kernel's; [`Error::NoRemote`].
pub fn close(machine: &Machine, network: &Network, port: &PortName) -> Result<(), Error> {
    let plan = NetPlan::new(network);
    let session = session_of(&plan, &Place::Port(port.to_string()));
    let session = session.ok_or_else(|| Error::NoRemote { port: port.clone() })?;
    empty(machine, session, &session.allowed, true)?;
    settle(machine, &plan, &observe(machine, &plan)?).map(drop)
}

/// Closes one opening of the instrument at `port`; others stay.
///
/// # Errors
/// As [`close`].
pub fn close_one(
    machine: &Machine,
    network: &Network,
    port: &PortName,
    opening: Opening,
) -> Result<(), Error> {
    let plan = NetPlan::new(network);
    let session = session_of(&plan, &Place::Port(port.to_string()));
    let session = session.ok_or_else(|| Error::NoRemote { port: port.clone() })?;
    let others = list_of(machine, &plan)?;
    let last = !others
        .iter()
        .any(|open| open.port == *port && open.opening != opening);
    empty(machine, session, &[opening], last)?;
    settle(machine, &plan, &observe(machine, &plan)?).map(drop)
}

/// Gives the tunnel's link, which is there, its address, and switches it on: the tunnel's network is behind it then.
///
/// # Errors
/// The kernel's.
pub fn join(machine: &Machine, address: Ipv4Net) -> Result<(), Error> {
    let link = || TUNNEL.to_owned();
    let address = address.into();
    let actions = [
        Action::AddAddress {
            link: link(),
            address,
        },
        Action::SwitchOn { link: link() },
    ];
    let mut executor = Executor::new(machine);
    for action in actions {
        executor.execute(&Step {
            place: Place::Root,
            action,
        })?;
    }
    Ok(())
}

/// Takes the tunnel's link away, whoever holds it. One that is not there is away.
///
/// # Errors
/// The kernel's.
pub fn leave(machine: &Machine) -> Result<(), Error> {
    let action = Action::Delete {
        link: TUNNEL.to_owned(),
    };
    let step = Step {
        place: Place::Root,
        action,
    };
    Ok(Executor::new(machine).execute(&step)?)
}

/// What is open at this moment.
///
/// # Errors
/// nft's; [`Error::Listing`].
pub fn list(machine: &Machine, network: &Network) -> Result<Vec<Open>, Error> {
    list_of(machine, &NetPlan::new(network))
}

/// What is open according to what nft listed: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn listed(listing: &serde_json::Value, network: &Network) -> Option<Vec<Open>> {
    listing::open(listing, &NetPlan::new(network).sessions?).ok()
}

/// Brings links and settings to what is open: takes the links of sessions away that ended, and lets a tunnel forward
/// that came after the opening. Says what was done.
///
/// # Errors
/// nft's or the kernel's.
pub fn tidy(machine: &Machine, network: &Network) -> Result<Vec<String>, Error> {
    let plan = NetPlan::new(network);
    if plan.sessions.is_none() {
        return Ok(Vec::new());
    }
    settle(machine, &plan, &observe(machine, &plan)?)
}

fn permitted(session: &PortSession, openings: &[Opening], timeout: Duration) -> Result<(), Error> {
    let port = || session.port.clone();
    if let Some(opening) = openings.iter().find(|opening| !session.allowed.contains(opening)) {
        let allowed: Vec<_> = session.allowed.iter().map(Opening::to_string).collect();
        return Err(Error::NotAllowed {
            port: port(),
            opening: *opening,
            allowed: allowed.join(", "),
        });
    }
    if openings.is_empty() {
        return Err(Error::Nothing { port: port() });
    }
    if timeout < SHORTEST {
        return Err(Error::TooShort(timeout));
    }
    Ok(())
}

/// A session table passes nothing by itself, but only beside the table that denies.
fn in_force(plan: &NetPlan, seen: &Seen, place: &Place) -> Result<(), Error> {
    let loaded = |table: &&ruleset::Table| {
        let found = seen.place(place).and_then(|found| found.tables.get(table.name));
        found == Some(&table.summary())
    };
    if tables_of(plan, place).iter().all(loaded) {
        Ok(())
    } else {
        Err(Error::NotApplied { place: place.clone() })
    }
}

/// The port's side first: as long as the root's does not have it, nothing comes. The instrument itself is known for as
/// long as the longest of its openings, an earlier one perhaps.
fn fill(
    machine: &Machine,
    session: &PortSession,
    openings: &[Opening],
    timeout: Duration,
    before: &[Open],
) -> Result<(), Error> {
    let others = before.iter().filter(|open| open.port == session.port);
    let longest = others.map(|open| open.remaining).fold(timeout, Duration::max);
    let time = |set: &str| if set == OPEN { timeout } else { longest };
    let port = machine.port(session.port.as_str());
    let sides = [
        (&port, session.port_elements(openings, timeout)),
        (&machine.root, session.root_elements(openings, timeout)),
    ];
    for (namespace, sets) in sides {
        let sets = sets.into_iter().map(|(set, mut elements)| {
            elements
                .iter_mut()
                .for_each(|element| element.timeout = Some(time(set)));
            ruleset::refill(SESSION_TABLE, set, &elements)
        });
        nft::load(namespace, &nft::joined(sets))?;
    }
    Ok(())
}

/// The root's side first: what is gone there is closed. A namespace that is not there has nothing open.
fn empty(machine: &Machine, session: &PortSession, openings: &[Opening], last: bool) -> Result<(), Error> {
    let kept = |set: &str| set == OPEN || (last && set == INSTRUMENTS);
    let sides = [
        (machine.root.clone(), session.root_elements(openings, SHORTEST)),
        (
            machine.port(session.port.as_str()),
            session.port_elements(openings, SHORTEST),
        ),
    ];
    for (namespace, sets) in sides {
        if !namespace.exists() {
            continue;
        }
        let sets = sets.iter().filter(|(set, _)| kept(set)).map(|(set, elements)| {
            let keys: Vec<Key> = elements.iter().map(|element| element.key).collect();
            ruleset::clear(SESSION_TABLE, set, &keys)
        });
        nft::load(&namespace, &nft::joined(sets))?;
    }
    Ok(())
}

fn list_of(machine: &Machine, plan: &NetPlan) -> Result<Vec<Open>, Error> {
    let Some(sessions) = &plan.sessions else {
        return Ok(Vec::new());
    };
    match nft::list(&machine.root, SESSION_TABLE)? {
        Some(listing) => listing::open(&listing, sessions).map_err(Error::Listing),
        None => Ok(Vec::new()),
    }
}

fn settle(machine: &Machine, plan: &NetPlan, seen: &Seen) -> Result<Vec<String>, Error> {
    let open = list_of(machine, plan)?;
    let open: BTreeSet<_> = open.into_iter().map(|open| open.port).collect();
    let mut executor = Executor::new(machine);
    let mut done = Vec::new();
    for step in session_steps(plan, seen, &open) {
        executor.execute(&step)?;
        done.push(step.to_string());
    }
    Ok(done)
}
