//! What each rule has counted.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::inside::Inside;
use crate::lab::Lab;

/// A rule: its table and its place among that table's rules.
pub(crate) type Rule = (String, usize);

/// The rules of a namespace: what they are called, and how many packets they have seen.
pub(crate) fn of(inside: &Inside) -> BTreeMap<Rule, (String, u64)> {
    let listing = inside
        .namespace
        .run(|| Command::new("nft").args(["-j", "list", "ruleset"]).output());
    let listing: Value = serde_json::from_slice(&listing.unwrap().unwrap().stdout).unwrap();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut counters = BTreeMap::new();
    for object in listing["nftables"].as_array().unwrap() {
        let rule = &object["rule"];
        let Some(table) = rule["table"].as_str() else {
            continue;
        };
        let nth = numbers.entry(table.to_owned()).or_default();
        let statements = rule["expr"].as_array().into_iter().flatten();
        let packets = statements
            .filter_map(|statement| statement["counter"]["packets"].as_u64())
            .sum();
        let word = |key: &str| rule[key].as_str().unwrap_or("?");
        let name = format!("{}, {table}, {}: {}", inside.name, word("chain"), word("comment"));
        counters.insert((table.to_owned(), *nth), (name, packets));
        *nth += 1;
    }
    counters
}

/// The same for every namespace of the box.
pub(crate) fn all(lab: &Lab) -> Vec<BTreeMap<Rule, (String, u64)>> {
    lab.insides.iter().map(of).collect()
}

/// The names of the rules that have counted since `before`.
pub(crate) fn moved(lab: &Lab, before: &[BTreeMap<Rule, (String, u64)>]) -> Vec<String> {
    let after = all(lab);
    let each = before
        .iter()
        .zip(&after)
        .flat_map(|(before, after)| before.values().zip(after.values()));
    each.filter(|((_, before), (_, after))| before != after)
        .map(|(_, (name, _))| name.clone())
        .collect()
}
