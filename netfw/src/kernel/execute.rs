//! Doing one step. Thin: what to do was decided before.
//!
//! Making what is there, and removing what is not, is done: another look at the machine comes afterwards anyway.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rustix::io::Errno;

use super::message;
use super::netlink::{Family, Socket};
use super::replace::replacement;
use super::seen::{Link, Place};
use super::step::{Action, Step};
use super::{Error, Machine, observe, tables, tracked};
use crate::model::Nic;
use crate::netns::Namespace;
use crate::nft;
use crate::plan::Sysctl;
use crate::ruleset::Table;

/// What a card without a former name is called in the root namespace; the kernel puts the first free number there.
const NAMELESS: &str = "card%d";

/// Does steps, one after the other, on one machine.
pub struct Executor<'a> {
    machine: &'a Machine,
    sockets: HashMap<Place, Socket>,
}

impl<'a> Executor<'a> {
    /// One for `machine`.
    #[must_use]
    pub fn new(machine: &'a Machine) -> Self {
        let sockets = HashMap::new();
        Self { machine, sockets }
    }

    /// Does `step`.
    ///
    /// # Errors
    /// The kernel's or nft's refusal.
    pub fn execute(&mut self, step: &Step) -> Result<(), Error> {
        let place = &step.place;
        let namespace = self.machine.place(place);
        match &step.action {
            Action::Make { tables } => make(&namespace, tables),
            Action::Load { tables } => load(&namespace, tables),
            Action::Unload { table } => unload(&namespace, table),
            Action::Set { settings, .. } => write_settings(&namespace, settings),
            Action::Forget { service } => tracked::forget(&namespace, *service),
            Action::Remove => {
                self.sockets.remove(place);
                Ok(namespace.remove()?)
            }
            _ => {
                let done = self.change_link(place, &step.action)?;
                done.map_err(|source| Error::Netlink {
                    operation: step.action.to_string(),
                    namespace: place.to_string(),
                    source,
                })
            }
        }
    }

    /// The outer error is one of getting at the namespace, the inner one the kernel's answer.
    fn change_link(&mut self, place: &Place, action: &Action) -> Result<io::Result<()>, Error> {
        let root = self.machine.root.open()?;
        let home = self.machine.place(place).open()?;
        Ok(match action {
            Action::Bring { nic, name } => {
                let bring = |link: &Link| message::bring(link, name, home.as_raw_fd());
                match self.card(place, nic)? {
                    Some((from, link)) => self.socket(&from)?.change(&bring(&link)),
                    None => return Err(Error::Missing { nic: nic.clone() }),
                }
            }
            Action::Release { link } => match self.link(place, link)? {
                Some(link) => release(
                    self.socket(place)?,
                    &link,
                    root.as_raw_fd(),
                    *place == Place::Root,
                ),
                None => Ok(()),
            },
            Action::MakeVlan { link, below, id } => match self.link(place, below)? {
                Some(below) => there(self.socket(place)?.add(&message::vlan(link, below.index, *id))),
                None => Err(Errno::NODEV.into()),
            },
            Action::MakePair { link, inner, port } => {
                let there = self.machine.place(port).open()?;
                self.socket(place)?
                    .add(&message::pair(link, inner, there.as_raw_fd()))
            }
            Action::Delete { link } => match self.link(place, link)? {
                Some(link) => gone(self.socket(place)?.change(&message::delete(&link))),
                None => Ok(()),
            },
            other => match (self.link(place, link_of(other))?, other) {
                (Some(link), _) => change_one(self.socket(place)?, &link, other),
                (None, _) => Err(Errno::NODEV.into()),
            },
        })
    }

    fn socket(&mut self, place: &Place) -> Result<&mut Socket, Error> {
        if !self.sockets.contains_key(place) {
            let socket = Socket::open(&self.machine.place(place), Family::Route)?;
            self.sockets.insert(place.clone(), socket);
        }
        self.sockets
            .get_mut(place)
            .ok_or_else(|| Error::Blind(place.to_string()))
    }

    fn links(&mut self, place: &Place) -> Result<Vec<Link>, Error> {
        let namespace = self.machine.place(place);
        observe::links(self.socket(place)?).map_err(Error::read("links", &namespace))
    }

    fn link(&mut self, place: &Place, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links(place)?.into_iter().find(|link| link.name == name))
    }

    /// The card, here or in the root namespace.
    fn card(&mut self, place: &Place, nic: &Nic) -> Result<Option<(Place, Link)>, Error> {
        for from in [place, &Place::Root] {
            let found = self.links(from)?.into_iter().find(|link| link.is(nic));
            if let Some(link) = found {
                return Ok(Some((from.clone(), link)));
            }
        }
        Ok(None)
    }
}

fn make(namespace: &Namespace, tables: &[Table]) -> Result<(), Error> {
    let transaction = nft::transaction(tables);
    namespace.create(|| Ok(nft::load_here(namespace.name(), &transaction)?))
}

fn load(namespace: &Namespace, tables: &[Table]) -> Result<(), Error> {
    let mut socket = Socket::open(namespace, Family::Netfilter)?;
    let mut transactions = Vec::new();
    for table in tables {
        let existing = tables::existing(&mut socket, table.name).map_err(Error::read("tables", namespace))?;
        transactions.push(replacement(table, existing.as_ref()));
    }
    Ok(nft::load(namespace, &nft::joined(transactions))?)
}

fn unload(namespace: &Namespace, table: &str) -> Result<(), Error> {
    let table = serde_json::json!({"table": {"family": "inet", "name": table}});
    // Adding it first makes removing one that is not there no error.
    let transaction = serde_json::json!({"nftables": [{"add": table}, {"delete": table}]});
    Ok(nft::load(namespace, &transaction)?)
}

/// The kernel shows each thread the `/proc/sys/net` of its namespace.
pub(super) fn write_settings(namespace: &Namespace, settings: &[Sysctl]) -> Result<(), Error> {
    let write = |setting: &Sysctl| {
        let Sysctl { path, value } = setting;
        match fs::write(Path::new("/proc/sys").join(path), value) {
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.starts_with("net/ipv6/") => Ok(()),
            other => other.map_err(|source| Error::Sysctl {
                path: path.clone(),
                value,
                source,
            }),
        }
    };
    namespace.run(|| settings.iter().try_for_each(write))?
}

fn link_of(action: &Action) -> &str {
    match action {
        Action::SetMtu { link, .. }
        | Action::RemoveAddress { link, .. }
        | Action::AddAddress { link, .. }
        | Action::SwitchOff { link }
        | Action::SwitchOn { link }
        | Action::RemoveGateway { link, .. }
        | Action::AddGateway { link, .. }
        | Action::Pin { link, .. }
        | Action::Unpin { link, .. } => link,
        _ => "",
    }
}

/// A change to one link where it is.
fn change_one(socket: &mut Socket, link: &Link, action: &Action) -> io::Result<()> {
    let index = link.index;
    let unspecific = || LinkUnspec::new_with_index(index);
    let set = |message: LinkMessage| RouteNetlinkMessage::SetLink(message);
    match action {
        Action::SwitchOff { .. } => socket.change(&set(unspecific().down().build())),
        Action::SwitchOn { .. } => socket.change(&set(unspecific().up().build())),
        Action::SetMtu { mtu, .. } => socket.change(&set(unspecific().mtu(*mtu).build())),
        Action::RemoveAddress { address, .. } => {
            let message = RouteNetlinkMessage::DelAddress(message::address(index, *address));
            gone(socket.change(&message))
        }
        Action::AddAddress { address, .. } => {
            let message = RouteNetlinkMessage::NewAddress(message::address(index, *address));
            there(socket.add(&message))
        }
        Action::RemoveGateway { gateway, .. } => {
            let message = RouteNetlinkMessage::DelRoute(message::route(index, *gateway, true));
            gone(socket.change(&message))
        }
        Action::AddGateway { gateway, .. } => {
            let message = RouteNetlinkMessage::NewRoute(message::route(index, *gateway, false));
            there(socket.add(&message))
        }
        Action::Pin { address, mac, .. } => {
            let message = RouteNetlinkMessage::NewNeighbour(message::neighbour(index, *address, Some(*mac)));
            socket.replace(&message)
        }
        Action::Unpin { address, .. } => {
            let message = RouteNetlinkMessage::DelNeighbour(message::neighbour(index, *address, None));
            gone(socket.change(&message))
        }
        _ => Ok(()),
    }
}

/// To the root namespace under the former name; under one that the kernel chooses when that is taken.
fn release(socket: &mut Socket, link: &Link, root: i32, at_home: bool) -> io::Result<()> {
    let go = |name: &str| {
        let message = LinkUnspec::new_with_index(link.index).name(name).alias("");
        let message = if at_home {
            message
        } else {
            message.setns_by_fd(root)
        };
        RouteNetlinkMessage::SetLink(message.build())
    };
    let former = link.alias.as_deref().unwrap_or(NAMELESS);
    match socket.change(&go(former)) {
        Err(error) if is(&error, &[Errno::EXIST, Errno::INVAL]) => socket.change(&go(NAMELESS)),
        other => other,
    }
}

/// Making what is there already is done.
fn there(result: io::Result<()>) -> io::Result<()> {
    tolerate(result, &[Errno::EXIST])
}

/// Removing what is not there is done.
fn gone(result: io::Result<()>) -> io::Result<()> {
    tolerate(
        result,
        &[Errno::NODEV, Errno::ADDRNOTAVAIL, Errno::SRCH, Errno::NOENT],
    )
}

fn tolerate(result: io::Result<()>, harmless: &[Errno]) -> io::Result<()> {
    match result {
        Err(error) if is(&error, harmless) => Ok(()),
        other => other,
    }
}

fn is(error: &io::Error, errnos: &[Errno]) -> bool {
    errnos
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
