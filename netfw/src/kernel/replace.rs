//! Putting a table in the place of another without a moment in between.
//!
//! Deleting a table and adding it again in one transaction is not enough. The kernel hangs a new base chain into the
//! packets' way with the policy *accept* while it prepares the transaction, and gives it its own policy only after the old
//! chain is out of the way (`net/netfilter/nf_tables_api.c`, `nft_basechain_init` and `nft_chain_commit_drop_policy`). A
//! packet that no rule decides on and that comes in between passes; a flood found one in a million. Therefore base chains
//! stay where they are, and only their rules, with the sets and all other chains, are exchanged: that is one switch of
//! the generation for all of them.

use serde_json::{Value, json};

use super::tables::Existing;
use crate::ruleset::Table;

/// The transaction that puts `table` in the place of what is there. A table that lacks one of the base chains, or has
/// others, is replaced whole: it is not one that could be relied upon before.
pub(super) fn replacement(table: &Table, existing: Option<&Existing>) -> Value {
    let Some(existing) = existing.filter(|existing| existing.base_chains == base_chains(table)) else {
        return table.json();
    };
    let mut whole = table.json();
    let content = match whole["nftables"].take() {
        // After the table's addition, deletion and addition comes what is in it.
        Value::Array(commands) => commands.into_iter().skip(3),
        _ => return table.json(),
    };
    let within = |name: &str| json!({"family": "inet", "table": table.name, "name": name});
    let sets = existing
        .sets
        .iter()
        .map(|name| json!({"delete": {"set": within(name)}}));
    let chains = existing
        .other_chains
        .iter()
        .map(|name| json!({"delete": {"chain": within(name)}}));
    let flush = json!({"flush": {"table": {"family": "inet", "name": table.name}}});
    let content = content.filter(|command| command["add"]["chain"]["hook"].is_null());
    let commands: Vec<_> = [flush]
        .into_iter()
        .chain(sets)
        .chain(chains)
        .chain(content)
        .collect();
    json!({ "nftables": commands })
}

/// As [`Existing::base_chains`].
fn base_chains(table: &Table) -> Vec<String> {
    let lines = table.summary().into_iter();
    let mut chains: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("chain ").map(str::to_owned))
        .filter(|chain| chain.contains(' '))
        .collect();
    chains.sort_unstable();
    chains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::NetPlan;

    fn verbs(transaction: &Value) -> Vec<String> {
        let commands = transaction["nftables"].as_array().unwrap().iter();
        let words = commands.map(|command| {
            let (verb, object) = command.as_object().unwrap().iter().next().unwrap();
            let kind = object.as_object().unwrap().keys().next().unwrap();
            format!("{verb} {kind}")
        });
        let mut words: Vec<_> = words.collect();
        words.dedup();
        words
    }

    #[test]
    fn base_chains_stay_and_everything_else_is_exchanged() {
        let table = NetPlan::new(&crate::sample::network()).root.table;
        let existing = Existing {
            base_chains: base_chains(&table),
            other_chains: vec!["plan_0".to_owned()],
            sets: vec!["dns".to_owned()],
        };
        let replaced = replacement(&table, Some(&existing));
        assert_eq!(
            verbs(&replaced)[..3],
            ["flush table", "delete set", "delete chain"]
        );
        let commands = || replaced["nftables"].as_array().unwrap().iter();
        assert!(commands().all(|command| command["add"]["chain"]["hook"].is_null()));
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        assert_eq!(
            commands()
                .filter(|command| !command["add"]["rule"].is_null())
                .count(),
            rules
        );
    }

    #[test]
    fn without_its_base_chains_a_table_is_replaced_whole() {
        let table = NetPlan::new(&crate::sample::network()).root.table;
        assert_eq!(replacement(&table, None), table.json());
        let lacking = Existing {
            base_chains: base_chains(&table).split_off(1),
            ..Existing::default()
        };
        assert_eq!(replacement(&table, Some(&lacking)), table.json());
    }
}
