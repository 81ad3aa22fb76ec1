//! nftables tables as values: what `nft` is given as JSON, and the same in its own language for reading.
//!
//! Invariants: a table is replaced as a whole in one transaction (`add table; delete table; add table …`), so it can
//! be loaded any number of times and a broken one leaves the old in force; every rule counts and carries in its
//! comment where in the description it comes from; every base chain drops what no rule accepts.

mod part;
mod port;
mod root;

use std::fmt::Write as _;

use nftables::schema::Table as NftTable;
use nftables::schema::{Chain as NftChain, NfListObject, Set as NftSet, SetFlag, SetType, SetTypeValue};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::{Value, json};

pub use part::{Element, Part};
pub(crate) use port::port_table;
pub(crate) use root::root_table;

/// The name of the table in every namespace, in family `inet`, which sees IPv4 and IPv6.
pub const TABLE: &str = "netfw";
/// The set of `address . protocol . port` the box may connect to.
pub const ENDPOINTS: &str = "endpoints";
/// The set of name servers.
pub const DNS: &str = "dns";

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its sets.
    pub sets: Vec<Set>,
    /// Its base chains.
    pub chains: Vec<Chain>,
}

/// A named set whose elements may carry a timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The elements that stay; others come and go while the box runs.
    pub elements: Vec<Element>,
}

/// Where the kernel calls a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Everything that arrives, before connection tracking (priority raw, −300).
    Arrive,
    /// Packets for the box.
    Input,
    /// Packets through the box.
    Forward,
    /// Packets from the box.
    Output,
}

/// A base chain with the policy drop.
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
    /// The chain's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrive => "arrive",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }

    fn place(self) -> (NfHook, &'static str, i32) {
        match self {
            Self::Arrive => (NfHook::Prerouting, "prerouting", -300),
            Self::Input => (NfHook::Input, "input", 0),
            Self::Forward => (NfHook::Forward, "forward", 0),
            Self::Output => (NfHook::Output, "output", 0),
        }
    }
}

impl Table {
    /// The transaction for `nft -j -f -` that puts this table in the place of what is there.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut commands = vec![
            json!({"add": table()}),
            json!({"delete": table()}),
            json!({"add": table()}),
        ];
        commands.extend(self.content());
        commands.push(json!({"add": marker(&self.marker())}));
        json!({ "nftables": commands })
    }

    /// The same in nft's language, for reading and for `nft -f`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("add table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
        for set in &self.sets {
            let kind = set.type_names().join(" . ");
            let _ = writeln!(text, "\tset {} {{\n\t\ttype {kind}\n\t\tflags timeout", set.name);
            if !set.elements.is_empty() {
                let elements: Vec<_> = set.elements.iter().map(Element::text).collect();
                let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
            }
            text.push_str("\t}\n");
        }
        for chain in &self.chains {
            let (_, hook, priority) = chain.hook.place();
            let name = chain.hook.name();
            let _ = writeln!(
                text,
                "\tchain {name} {{\n\t\ttype filter hook {hook} priority {priority}; policy drop;"
            );
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
            lines.push(format!("chain {} drop", chain.hook.name()));
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
        let sets = self.sets.iter().map(Set::json);
        let chains = self.chains.iter().map(|chain| json!({"add": chain.object()}));
        let rules = self
            .chains
            .iter()
            .flat_map(|chain| chain.rules.iter().map(|rule| rule.json(chain.hook.name())));
        sets.chain(chains).chain(rules).collect()
    }

    /// The name of an empty chain that says which table this is: a table in the kernel that has it was made from the
    /// same description by the same code.
    fn marker(&self) -> String {
        let content = Value::from(self.content()).to_string();
        format!("plan_{:016x}", fnv1a(content.as_bytes()))
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

/// A transaction that gives elements of `set` their timeouts anew, whether they are there already or not.
#[must_use]
pub fn refill(set: &str, elements: &[Element]) -> Value {
    let command = |verb: &str, element: Value| json!({verb: {"element": {"family": "inet", "table": TABLE, "name": set, "elem": [element]}}});
    let commands: Vec<_> = elements
        .iter()
        .flat_map(|element| {
            // Adding what is there does not renew its timeout: take it out in between, in the same transaction.
            [
                command("add", element.json()),
                command("delete", element.key()),
                command("add", element.json()),
            ]
        })
        .collect();
    json!({ "nftables": commands })
}

fn table<'a>() -> NfListObject<'a> {
    NfListObject::Table(NftTable {
        family: NfFamily::INet,
        name: TABLE.into(),
        handle: None,
    })
}

fn marker(name: &str) -> NfListObject<'_> {
    NfListObject::Chain(NftChain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.into(),
        ..NftChain::default()
    })
}

impl Set {
    fn type_names(&self) -> &'static [&'static str] {
        if self.name == ENDPOINTS {
            &["ipv4_addr", "inet_proto", "inet_service"]
        } else {
            &["ipv4_addr"]
        }
    }

    fn json(&self) -> Value {
        let kinds: &[SetType] = if self.name == ENDPOINTS {
            &[SetType::Ipv4Addr, SetType::InetProto, SetType::InetService]
        } else {
            &[SetType::Ipv4Addr]
        };
        let mut set = json!({"add": NfListObject::Set(Box::new(NftSet {
            family: NfFamily::INet,
            table: TABLE.into(),
            name: self.name.into(),
            set_type: match kinds {
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

impl Chain {
    fn object(&self) -> NfListObject<'static> {
        let (hook, _, priority) = self.hook.place();
        NfListObject::Chain(NftChain {
            family: NfFamily::INet,
            table: TABLE.into(),
            name: self.hook.name().into(),
            _type: Some(NfChainType::Filter),
            hook: Some(hook),
            prio: Some(priority),
            policy: Some(NfChainPolicy::Drop),
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

    /// The rule as one line of nft's language.
    #[must_use]
    pub fn text(&self) -> String {
        let (verdict, matches) = self
            .parts
            .split_last()
            .map_or((String::new(), &[][..]), |(verdict, matches)| {
                (verdict.text(), matches)
            });
        let mut words: Vec<_> = matches.iter().map(Part::text).collect();
        words.extend([
            "counter".to_owned(),
            verdict,
            format!("comment \"{}\"", self.comment),
        ]);
        words.join(" ")
    }

    fn json(&self, chain: &str) -> Value {
        let mut statements: Vec<_> = self.parts.iter().flat_map(Part::json).collect();
        statements.insert(statements.len().saturating_sub(1), json!({"counter": null}));
        json!({"add": {"rule": {
            "family": "inet", "table": TABLE, "chain": chain, "comment": self.comment, "expr": statements,
        }}})
    }
}

/// FNV-1a, 64 bits: tells apart descriptions, not enemies.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
