//! A plan's tables, each with one thing missing.

use netfw::plan::NetPlan;
use netfw::ruleset::{SESSION_TABLE, Table};
use serde_json::{Value, json};

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A whole rule.
    Rule,
    /// One match or limit of a rule, which makes it wider.
    Match,
}

/// Which rule: the namespace's place, its table, its place among the table's rules.
pub(super) type Key = (usize, String, usize);

/// A table with something missing.
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) key: Key,
    /// The namespace.
    pub(super) inside: usize,
    pub(super) transaction: Value,
    /// Whether the rule limits something.
    pub(super) limits: bool,
    /// Whether more packets may match than before.
    pub(super) widens: bool,
    /// Whether the table is one of sessions, whose sets go with it.
    pub(super) session: bool,
}

/// All mutants of `plan`.
pub(super) fn mutants(plan: &NetPlan, part: Part) -> Vec<Mutant> {
    tables(plan)
        .into_iter()
        .flat_map(|(inside, table)| of_table(inside, table, part))
        .collect()
}

/// Every table of a plan, with its namespace's place.
pub(super) fn tables(plan: &NetPlan) -> Vec<(usize, &Table)> {
    let mut tables = vec![(0, &plan.root.table)];
    tables.extend(
        plan.ports
            .iter()
            .enumerate()
            .map(|(nth, port)| (nth + 1, &port.table)),
    );
    if let Some(sessions) = &plan.sessions {
        tables.push((0, &sessions.root_table));
        tables.extend(sessions.ports.iter().filter_map(|session| {
            let nth = plan
                .ports
                .iter()
                .position(|port| port.name == session.port.as_str())?;
            Some((nth + 1, &session.table))
        }));
    }
    tables
}

fn of_table(inside: usize, table: &Table, part: Part) -> Vec<Mutant> {
    let whole = table.json();
    let commands = whole["nftables"].as_array().unwrap();
    let rules: Vec<_> = (0..commands.len())
        .filter(|at| !commands[*at]["add"]["rule"].is_null())
        .collect();
    let mut mutants = Vec::new();
    for (nth, at) in rules.into_iter().enumerate() {
        let rule = &commands[at]["add"]["rule"];
        let statements = rule["expr"].as_array().unwrap();
        let name = format!(
            "namespace {inside}, {}, {}, {}",
            table.name,
            text(&rule["chain"]),
            text(&rule["comment"])
        );
        let has = |kind: &str| statements.iter().any(|statement| !statement[kind].is_null());
        let mut push = |name, changed: Vec<Value>, widens| {
            mutants.push(Mutant {
                name,
                key: (inside, table.name.to_owned(), nth),
                inside,
                transaction: json!({ "nftables": changed }),
                limits: has("limit") || has("ct count"),
                widens,
                session: table.name == SESSION_TABLE,
            });
        };
        match part {
            Part::Rule => {
                let mut changed = commands.clone();
                changed.remove(at);
                push(name, changed, false);
            }
            Part::Match => {
                let narrows = |kind: &&str| ["match", "limit", "ct count"].contains(kind);
                for (nth, statement) in statements.iter().enumerate() {
                    let kind = statement.as_object().and_then(|object| object.keys().next());
                    if !kind.is_some_and(|kind| narrows(&kind.as_str())) || has("log") {
                        continue;
                    }
                    let mut changed = commands.clone();
                    changed[at]["add"]["rule"]["expr"]
                        .as_array_mut()
                        .unwrap()
                        .remove(nth);
                    push(format!("{name}, without {statement}"), changed, true);
                }
            }
        }
    }
    mutants
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
