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

/// The rules of a table as nft writes them, each with its chain, without names, addresses and numbers.
fn shapes(text: &str) -> impl Iterator<Item = String> {
    let mut chain = String::new();
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(named) = line.strip_prefix("chain ") {
            named.trim_end_matches(" {").clone_into(&mut chain);
        }
        let (rule, _) = line.split_once(" comment \"")?;
        // Elements of sets have comments, too.
        (rule.contains(" counter") || rule.starts_with("counter")).then(|| {
            let words = rule.split(' ').map(|word| {
                let particular = word.contains(|c: char| c.is_ascii_digit()) && !word.starts_with('@');
                if particular { "#" } else { word }
            });
            format!("{chain}: {}", words.collect::<Vec<_>>().join(" "))
        })
    })
}

/// What is taken out stands for the golden files: no rule of theirs is of another kind.
#[test]
fn every_golden_rule_has_its_like_among_those_taken_out() {
    let plans = crate::typical::sites().map(|site| NetPlan::new(&site.network));
    let taken_out: std::collections::BTreeSet<_> = plans
        .iter()
        .flat_map(tables)
        .flat_map(|(_, table)| shapes(&table.text()).collect::<Vec<_>>())
        .collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut compared = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|form| form == "nft") {
            for shape in shapes(&std::fs::read_to_string(&file).unwrap()) {
                assert!(taken_out.contains(&shape), "{}: {shape}", file.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared} rules in the golden files");
}
