//! nftables tables as values: what `nft` is given as JSON, and the same in its own language for reading.
//!
//! Invariants: a table is replaced as a whole in one transaction (`add table; delete table; add table …`), so it can
//! be loaded any number of times and a broken one leaves the old in force; every rule counts and carries in its
//! comment where in the description it comes from; every base chain of [`TABLE`] drops what no rule accepts, and tells
//! `nfnetlink_log` of some of it with a reason; those of [`SESSION_TABLE`] accept nothing, they mark and translate.

mod part;
mod port;
mod root;
mod session;
mod set;

use std::fmt::Write as _;

use nftables::schema::Table as NftTable;
use nftables::schema::{Chain as NftChain, NfListObject};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::{Value, json};

pub use part::{Field, LOG_GROUP, Part, SESSION_MARK};
pub(crate) use port::port_table;
pub(crate) use root::root_table;
pub(crate) use session::{port_session_table, root_session_table};
pub use set::{DNS, DNS6, ENDPOINTS, ENDPOINTS6, Element, INSTRUMENTS, Key, OPEN, Set, clear, refill};

/// The name of the table in every namespace, in family `inet`, which sees IPv4 and IPv6.
pub const TABLE: &str = "netfw";
/// The name of the table of remote sessions, beside [`TABLE`], so that a new policy leaves open sessions alone.
pub const SESSION_TABLE: &str = "netfw_session";

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its sets.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// Where the kernel calls a chain, and what becomes of a packet that no rule of it decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Everything that arrives, before connection tracking (priority raw, −300). Drops.
    Arrive,
    /// Packets for the box. Drops.
    Input,
    /// Packets through the box. Drops.
    Forward,
    /// Packets from the box. Drops.
    Output,
    /// Packets through the box, before [`Hook::Forward`] (priority −10): marks those of open sessions, decides nothing.
    Mark,
    /// New connections as they arrive: where they go instead (nat, −100).
    Redirect,
    /// New connections as they leave: whom they come from instead (nat, 100).
    Masquerade,
    /// No hook: rules send here what is more than a limit allows. It is told of, and dropped: the end of a chain that
    /// was gone to is the end of the base chain.
    Limited,
    /// No hook either: what fits no connection.
    Stray,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its hook, which also names it.
    pub hook: Hook,
    /// Its rules, first match first.
    pub rules: Vec<Rule>,
}

/// One rule: matches, and a verdict as the last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where in the description it comes from.
    pub comment: String,
    /// Its parts without the counter.
    pub parts: Vec<Part>,
}

impl Hook {
    /// The chain's name; no word of nft's own language can be one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrive => "arrive",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Mark => "marking",
            Self::Redirect => "redirecting",
            Self::Masquerade => "masquerading",
            Self::Limited => "limited",
            Self::Stray => "stray",
        }
    }

    fn place(self) -> Option<(NfChainType, NfHook, i32)> {
        match self {
            Self::Arrive => Some((NfChainType::Filter, NfHook::Prerouting, -300)),
            Self::Input => Some((NfChainType::Filter, NfHook::Input, 0)),
            Self::Forward => Some((NfChainType::Filter, NfHook::Forward, 0)),
            Self::Output => Some((NfChainType::Filter, NfHook::Output, 0)),
            Self::Mark => Some((NfChainType::Filter, NfHook::Forward, -10)),
            Self::Redirect => Some((NfChainType::NAT, NfHook::Prerouting, -100)),
            Self::Masquerade => Some((NfChainType::NAT, NfHook::Postrouting, 100)),
            Self::Limited | Self::Stray => None,
        }
    }

    fn policy(self) -> Option<NfChainPolicy> {
        match self {
            Self::Arrive | Self::Input | Self::Forward | Self::Output => Some(NfChainPolicy::Drop),
            Self::Mark | Self::Redirect | Self::Masquerade => Some(NfChainPolicy::Accept),
            Self::Limited | Self::Stray => None,
        }
    }

    /// Why a packet is dropped here, for people.
    fn reason(self) -> &'static str {
        match self {
            Self::Limited => "more than its share",
            Self::Stray => "fits no connection",
            _ => "not allowed",
        }
    }
}

impl Table {
    /// The transaction for `nft -j -f -` that puts this table in the place of what is there.
    #[must_use]
    pub fn json(&self) -> Value {
        let table = self.object();
        let mut commands = vec![
            json!({"add": table}),
            json!({"delete": table}),
            json!({"add": table}),
        ];
        commands.extend(self.content());
        commands.push(json!({"add": self.marker_object(&self.marker())}));
        json!({ "nftables": commands })
    }

    /// The same in nft's language, for reading and for `nft -f`.
    #[must_use]
    pub fn text(&self) -> String {
        let name = self.name;
        let mut text = format!("add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n");
        for set in &self.sets {
            text.push_str(&set.text());
        }
        for chain in &self.chains {
            text.push_str(&chain.head());
            for rule in &chain.rules {
                let _ = writeln!(text, "\t\t{}", rule.text());
            }
            text.push_str("\t}\n");
        }
        let _ = writeln!(text, "\tchain {} {{\n\t}}\n}}", self.marker());
        text
    }

    /// The chains and rules in order, one a line: what must be found in the kernel when this table is in force.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!("chain {}", self.marker())];
        for chain in &self.chains {
            let policy = chain.hook.policy().map(|policy| format!(" {}", word(policy)));
            lines.push(format!(
                "chain {}{}",
                chain.hook.name(),
                policy.unwrap_or_default()
            ));
            lines.extend(
                chain
                    .rules
                    .iter()
                    .map(|rule| format!("{}: {}", chain.hook.name(), rule.comment)),
            );
        }
        lines.sort_by_key(|line| line.split(':').next().map(str::to_owned));
        lines
    }

    fn content(&self) -> Vec<Value> {
        let sets = self.sets.iter().map(|set| set.json(self.name));
        let chains = self
            .chains
            .iter()
            .map(|chain| json!({"add": chain.object(self.name)}));
        let rules = self.chains.iter().flat_map(|chain| {
            let rules = chain.rules.iter();
            rules.map(|rule| rule.json(self.name, chain.hook.name()))
        });
        sets.chain(chains).chain(rules).collect()
    }

    /// The name of an empty chain that says which table this is: a table in the kernel that has it was made from the
    /// same description by the same code.
    fn marker(&self) -> String {
        let content = Value::from(self.content()).to_string();
        format!("plan_{:016x}", fnv1a(content.as_bytes()))
    }

    fn object(&self) -> NfListObject<'static> {
        NfListObject::Table(NftTable {
            family: NfFamily::INet,
            name: self.name.into(),
            handle: None,
        })
    }

    fn marker_object<'a>(&self, marker: &'a str) -> NfListObject<'a> {
        NfListObject::Chain(NftChain {
            family: NfFamily::INet,
            table: self.name.into(),
            name: marker.into(),
            ..NftChain::default()
        })
    }
}

/// What [`Table::summary`] would say of the table that `nft -j list table inet netfw` printed.
#[must_use]
pub fn listed_summary(listing: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for object in listing["nftables"].as_array().into_iter().flatten() {
        if let Some(chain) = object.get("chain") {
            let policy = chain["policy"]
                .as_str()
                .map(|policy| format!(" {policy}"))
                .unwrap_or_default();
            lines.push(format!("chain {}{policy}", chain["name"].as_str().unwrap_or("")));
        } else if let Some(rule) = object.get("rule") {
            let (chain, comment) = (rule["chain"].as_str(), rule["comment"].as_str());
            lines.push(format!("{}: {}", chain.unwrap_or(""), comment.unwrap_or("")));
        }
    }
    lines.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    lines
}

impl Chain {
    /// The beginning of the chain in nft's language, up to its rules.
    fn head(&self) -> String {
        let mut text = format!("\tchain {} {{\n", self.hook.name());
        if let (Some((kind, hook, priority)), Some(policy)) = (self.hook.place(), self.hook.policy()) {
            let (kind, hook, policy) = (word(kind), word(hook), word(policy));
            let _ = writeln!(
                text,
                "\t\ttype {kind} hook {hook} priority {priority}; policy {policy};"
            );
        }
        text
    }

    fn object(&self, table: &'static str) -> NfListObject<'static> {
        let place = self.hook.place();
        NfListObject::Chain(NftChain {
            family: NfFamily::INet,
            table: table.into(),
            name: self.hook.name().into(),
            _type: place.map(|(kind, ..)| kind),
            hook: place.map(|(_, hook, _)| hook),
            prio: place.map(|(.., priority)| priority),
            policy: self.hook.policy(),
            ..NftChain::default()
        })
    }
}

impl Rule {
    pub(crate) fn new(comment: impl Into<String>, parts: Vec<Part>) -> Self {
        Self {
            comment: comment.into(),
            parts,
        }
    }

    /// The end of a chain that drops: counts what comes here and tells of some of it.
    pub(crate) fn told(place: &str, hook: Hook) -> Self {
        let reason = hook.reason();
        let words = format!("netfw {place} {}: {reason} ", hook.name());
        Self::new(reason, vec![Part::Log(words)])
    }

    /// The rule as one line of nft's language.
    #[must_use]
    pub fn text(&self) -> String {
        let (matches, end) = self.apart();
        let matches = matches.iter().map(Part::text);
        let counter = std::iter::once("counter".to_owned());
        let mut words: Vec<_> = matches.chain(counter).chain(end.map(Part::text)).collect();
        words.push(format!("comment \"{}\"", self.comment));
        words.join(" ")
    }

    fn json(&self, table: &str, chain: &str) -> Value {
        let (matches, end) = self.apart();
        let matches = matches.iter().flat_map(Part::json);
        let counter = std::iter::once(json!({"counter": null}));
        let statements: Vec<_> = matches
            .chain(counter)
            .chain(end.into_iter().flat_map(Part::json))
            .collect();
        json!({"add": {"rule": {
            "family": "inet", "table": table, "chain": chain, "comment": self.comment, "expr": statements,
        }}})
    }

    /// What must match, and what happens then. What is counted is what matched.
    fn apart(&self) -> (&[Part], Option<&Part>) {
        self.parts
            .split_last()
            .map_or((&[], None), |(end, matches)| (matches, Some(end)))
    }
}

/// A value of the crate's enums as the word nft has for it.
fn word(value: impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

/// FNV-1a, 64 bits: tells apart descriptions, not enemies.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
