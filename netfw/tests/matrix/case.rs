//! One thing that is tried: a packet, who sends it, and what happened before.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::packet::Packet;
use crate::wire::Station;

/// The uplink's place among the wires.
pub(crate) const UPLINK: usize = 0;
/// The root namespace's place among those of the box; port n's is n, and so is its wire's.
pub(crate) const ROOT: usize = 0;

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What it tries, in words.
    pub(crate) what: &'static str,
    pub(crate) from: From,
    pub(crate) setup: Setup,
    pub(crate) packet: Packet,
}

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// Somebody on a wire, in a frame from one station to another.
    Wire {
        wire: usize,
        name: &'static str,
        station: Station,
        to: Station,
        /// In another VLAN than the box is in.
        astray: bool,
    },
    /// A program in one of the box's namespaces; the way is that to `via`.
    Inside { inside: usize, via: IpAddr },
}

/// What goes before the packet.
#[derive(Debug, Clone)]
pub(crate) enum Setup {
    /// Nothing.
    Nothing,
    /// Nothing; but nobody hangs up a connection that the packet opens.
    Keep,
    /// Somebody has sent this. When the box sent it, nobody but the case's packet answers; when somebody on a wire did,
    /// it opened a connection if the box took it, and the case's packet is part of that, or about it.
    Before(From, Box<Packet>),
    /// The same; and then every session has been closed, on this side of the box.
    Over(From, Box<Packet>, Side),
}

/// Where a session is closed. Each side alone is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// In the root namespace.
    Root,
    /// In the port's.
    Port,
}

/// What was seen of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    /// Where the packet came.
    pub(crate) delivered: BTreeSet<Spot>,
    /// What the sender was told.
    pub(crate) words: BTreeSet<Word>,
}

/// Where a packet can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// Into a namespace of the box, past its rules.
    Inside(usize),
    /// Out of the box, onto a wire.
    Wire(usize),
    /// The same, in a frame for somebody who has nothing to do with it.
    Astray(usize),
}

/// What a sender can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// TCP: the connection is accepted.
    Accepted,
    /// TCP: reset.
    Reset,
    /// TCP: any other segment.
    Segment,
    /// An echo reply.
    Echo,
    /// A datagram from the program that listens.
    Datagram,
    /// The kernel itself: there is no way (ENETUNREACH and the like).
    NoWay,
    /// An ICMP or ICMPv6 message of this type and code.
    Icmp(u8, u8),
}

impl Case {
    pub(crate) fn new(what: &'static str, from: From, packet: Packet) -> Self {
        Self {
            what,
            from,
            setup: Setup::Nothing,
            packet,
        }
    }

    /// What went before, if somebody sent something.
    pub(crate) fn before(&self) -> Option<(&From, &Packet)> {
        match &self.setup {
            Setup::Nothing | Setup::Keep => None,
            Setup::Before(from, packet) | Setup::Over(from, packet, _) => Some((from, packet)),
        }
    }

    /// On which side sessions have been closed.
    pub(crate) fn closed(&self) -> Option<Side> {
        match self.setup {
            Setup::Over(_, _, side) => Some(side),
            Setup::Nothing | Setup::Keep | Setup::Before(..) => None,
        }
    }

    /// The same, once `from` has sent `packet`.
    pub(crate) fn after(mut self, from: From, packet: Packet) -> Self {
        self.setup = Setup::Before(from, Box::new(packet));
        self
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            From::Wire {
                wire,
                name,
                station,
                to,
                astray,
            } => {
                let mac = |station: &Station| station.map(|byte| format!("{byte:02x}")).join(":");
                let astray = if *astray { ", in the wrong VLAN" } else { "" };
                write!(
                    f,
                    "{}: {name} on wire {wire} ({} > {}{astray}): ",
                    self.what,
                    mac(station),
                    mac(to)
                )?;
            }
            From::Inside { inside, via } => {
                write!(f, "{}: the box in namespace {inside} (way to {via}): ", self.what)?
            }
        }
        self.packet.fmt(f)?;
        match &self.setup {
            Setup::Nothing | Setup::Keep => Ok(()),
            Setup::Before(From::Inside { .. }, packet) => write!(f, ", after the box sent {packet}"),
            Setup::Before(From::Wire { name, .. }, packet) => write!(f, ", after {name} sent {packet}"),
            Setup::Over(_, packet, side) => {
                write!(f, ", after {packet} and the end of the session ({side:?})")
            }
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.delivered.is_empty() && self.words.is_empty() {
            return f.write_str("silence");
        }
        let spots = self.delivered.iter().map(|spot| format!("delivered to {spot:?}"));
        let words = self.words.iter().map(|word| format!("told {word:?}"));
        f.write_str(&spots.chain(words).collect::<Vec<_>>().join(", "))
    }
}
