//! The tables of remote sessions: they mark the packets of what is open at this moment, and translate addresses. They
//! accept nothing: the table [`TABLE`](super::TABLE) of the same namespace does, and only what is marked.
//!
//! Every packet is held against the sets, answers as well, so that a running stream ends when its element does: at the
//! timeout, by the kernel alone. ICMP errors have no ports: they pass while anything is open to the instrument their
//! connection was first sent to.

use std::net::Ipv4Addr;

use nftables::schema::SetType;

use super::part::{FROM_SERVICE, Field, TO_SERVICE};
use super::set::{SERVICE, V4, V4_SERVICE};
use super::{Chain, Hook, INSTRUMENTS, OPEN, Part, Rule, SESSION_TABLE, Set, Table};
use crate::model::Port;
use crate::plan::{SESSION, TUNNEL};

/// The links to the ports' namespaces.
pub(super) const TO_PORTS: &str = "s-*";

/// The table in the root namespace. It names no port, so it is the same whatever ports come and go.
pub(crate) fn root_session_table() -> Table {
    let way = Way {
        from: TUNNEL,
        to: TO_PORTS,
        asked: TO_SERVICE,
        answered: FROM_SERVICE,
        path: "sessions",
    };
    Table {
        name: SESSION_TABLE,
        sets: sets(V4_SERVICE),
        chains: vec![
            // iifname "tunnel" oifname "s-*" ip daddr . meta l4proto . th dport @open counter meta mark set 0x6e667701
            // iifname "s-*" oifname "tunnel" ip saddr . meta l4proto . th sport @open ct direction reply
            //   ct state established counter meta mark set 0x6e667701
            way.mark(),
            // oifname "s-*" counter masquerade
            // So that the port's namespace needs no route out.
            way.masquerade(),
        ],
    }
}

/// The table in the namespace of `port`, whose instrument is reached at `service`.
pub(crate) fn port_session_table(port: &Port, service: Ipv4Addr) -> Table {
    let path = format!("ports.{}.remote", port.name);
    let way = Way {
        from: SESSION,
        to: port.name.as_str(),
        asked: &[Field::Protocol, Field::DestinationPort],
        answered: &[Field::Protocol, Field::SourcePort],
        path: &path,
    };
    Table {
        name: SESSION_TABLE,
        sets: sets(SERVICE),
        chains: vec![
            // iifname "session" ip daddr 10.200.0.1 counter dnat ip to 192.168.1.50
            Chain {
                hook: Hook::Redirect,
                rules: vec![Rule::new(
                    path.as_str(),
                    vec![
                        Part::In(SESSION.to_owned()),
                        Part::To(vec![service]),
                        Part::Redirect(port.instrument),
                    ],
                )],
            },
            // iifname "session" oifname "port1" meta l4proto . th dport @open counter meta mark set 0x6e667701
            // iifname "port1" oifname "session" meta l4proto . th sport @open ct direction reply ct state established
            //   counter meta mark set 0x6e667701
            way.mark(),
            // oifname "port1" counter masquerade
            // So that the instrument needs no route.
            way.masquerade(),
        ],
    }
}

/// The way of a session through one namespace.
struct Way<'a> {
    from: &'a str,
    to: &'a str,
    /// What of a packet towards the instrument is an element of [`OPEN`].
    asked: &'static [Field],
    /// What of a packet from the instrument is.
    answered: &'static [Field],
    /// Where in the description all this comes from.
    path: &'a str,
}

impl Way<'_> {
    fn mark(&self) -> Chain {
        let (from, to) = (self.from.to_owned(), self.to.to_owned());
        Chain {
            hook: Hook::Mark,
            rules: vec![
                Rule::new(
                    self.path,
                    vec![
                        Part::In(from.clone()),
                        Part::Out(to.clone()),
                        Part::Member(self.asked, OPEN),
                        Part::Mark,
                    ],
                ),
                Rule::new(
                    format!("{}: answers", self.path),
                    vec![
                        Part::In(to),
                        Part::Out(from),
                        Part::Member(self.answered, OPEN),
                        Part::Answer,
                        Part::Mark,
                    ],
                ),
                // icmp type destination-unreachable ct state related ct original ip daddr @instruments
                //   counter meta mark set 0x6e667701
                Rule::new(
                    format!("{}: path MTU", self.path),
                    vec![
                        Part::Unreachable,
                        Part::State("related"),
                        Part::Member(&[Field::FirstDestination], INSTRUMENTS),
                        Part::Mark,
                    ],
                ),
            ],
        }
    }

    fn masquerade(&self) -> Chain {
        Chain {
            hook: Hook::Masquerade,
            rules: vec![Rule::new(
                self.path,
                vec![Part::Out(self.to.to_owned()), Part::Masquerade],
            )],
        }
    }
}

fn sets(open: &'static [SetType]) -> Vec<Set> {
    let empty = |name, kind| Set {
        name,
        kind,
        elements: Vec::new(),
    };
    vec![empty(OPEN, open), empty(INSTRUMENTS, V4)]
}
