//! Named sets: what of a policy comes and goes while the table stays.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use nftables::schema::{NfListObject, Set as NftSet, SetFlag, SetType, SetTypeValue};
use nftables::types::NfFamily;
use serde_json::{Value, json};

use crate::model::Protocol;

/// The set of `IPv4 address . protocol . port` the box may connect to.
pub const ENDPOINTS: &str = "endpoints";
/// The same for IPv6, where it is on.
pub const ENDPOINTS6: &str = "endpoints6";
/// The set of name servers.
pub const DNS: &str = "dns";
/// The same for IPv6, where it is on.
pub const DNS6: &str = "dns6";
/// The set of what is open to remote sessions: in the root namespace `service address . protocol . port`, in a port's
/// namespace `protocol . port`.
pub const OPEN: &str = "open";
/// The set of service addresses with anything open.
pub const INSTRUMENTS: &str = "instruments";

/// A named set whose elements may carry a timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// What its elements are.
    pub kind: &'static [SetType],
    /// The elements that stay; others come and go while the box runs.
    pub elements: Vec<Element>,
}

/// One element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What it is.
    pub key: Key,
    /// When it goes by itself; never, when absent.
    pub timeout: Option<Duration>,
    /// Where in the description it comes from.
    pub comment: String,
}

/// What an element of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A host.
    Address(IpAddr),
    /// A service of a host.
    Service(IpAddr, Protocol, u16),
    /// A service of the one host it can be.
    Opening(Protocol, u16),
}

pub(super) const V4: &[SetType] = &[SetType::Ipv4Addr];
pub(super) const V6: &[SetType] = &[SetType::Ipv6Addr];
pub(super) const V4_SERVICE: &[SetType] = &[SetType::Ipv4Addr, SetType::InetProto, SetType::InetService];
pub(super) const V6_SERVICE: &[SetType] = &[SetType::Ipv6Addr, SetType::InetProto, SetType::InetService];
pub(super) const SERVICE: &[SetType] = &[SetType::InetProto, SetType::InetService];

/// A transaction that gives elements of `set` in `table` their timeouts anew, whether they are there already or not.
#[must_use]
pub fn refill(table: &str, set: &str, elements: &[Element]) -> Value {
    let commands: Vec<_> = elements
        .iter()
        .flat_map(|element| {
            // Adding what is there does not renew its timeout: take it out in between, in the same transaction.
            [
                command("add", table, set, element.json()),
                command("delete", table, set, element.key.json()),
                command("add", table, set, element.json()),
            ]
        })
        .collect();
    json!({ "nftables": commands })
}

/// A transaction that takes elements out of `set` in `table`, whether they are still there or not.
#[must_use]
pub fn clear(table: &str, set: &str, keys: &[Key]) -> Value {
    let commands: Vec<_> = keys
        .iter()
        .flat_map(|key| ["add", "delete"].map(|verb| command(verb, table, set, key.json())))
        .collect();
    json!({ "nftables": commands })
}

fn command(verb: &str, table: &str, set: &str, element: Value) -> Value {
    json!({verb: {"element": {"family": "inet", "table": table, "name": set, "elem": [element]}}})
}

impl Set {
    pub(super) fn text(&self) -> String {
        let kinds: Vec<_> = self.kind.iter().map(super::word).collect();
        let mut text = format!(
            "\tset {} {{\n\t\ttype {}\n\t\tflags timeout\n",
            self.name,
            kinds.join(" . ")
        );
        if !self.elements.is_empty() {
            let elements: Vec<_> = self.elements.iter().map(Element::text).collect();
            let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
        }
        text.push_str("\t}\n");
        text
    }

    pub(super) fn json(&self, table: &'static str) -> Value {
        let mut set = json!({"add": NfListObject::Set(Box::new(NftSet {
            family: NfFamily::INet,
            table: table.into(),
            name: self.name.into(),
            set_type: match self.kind {
                [one] => SetTypeValue::Single(*one),
                many => SetTypeValue::Concatenated(many.to_vec().into()),
            },
            flags: Some([SetFlag::Timeout].into()),
            ..NftSet::default()
        }))});
        if !self.elements.is_empty() {
            // The crate's elements have no place for a comment beside a timeout.
            set["add"]["set"]["elem"] = self.elements.iter().map(Element::json).collect();
        }
        set
    }
}

impl Element {
    pub(crate) fn text(&self) -> String {
        let mut words = vec![self.key.text()];
        if let Some(timeout) = self.timeout {
            words.push(format!("timeout {}s", timeout.as_secs()));
        }
        words.push(format!("comment \"{}\"", self.comment));
        words.join(" ")
    }

    pub(crate) fn json(&self) -> Value {
        let mut element = json!({"val": self.key.json(), "comment": self.comment});
        if let Some(timeout) = self.timeout {
            element["timeout"] = json!(timeout.as_secs());
        }
        json!({ "elem": element })
    }
}

impl Key {
    /// Its address, if it has one.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) | Self::Service(address, ..) => Some(address),
            Self::Opening(..) => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Service(address, protocol, port) => format!("{address} . {protocol} . {port}"),
            Self::Opening(protocol, port) => format!("{protocol} . {port}"),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Address(address) => json!(address.to_string()),
            Self::Service(address, protocol, port) => {
                json!({"concat": [address.to_string(), protocol.name(), port]})
            }
            Self::Opening(protocol, port) => json!({"concat": [protocol.name(), port]}),
        }
    }
}
