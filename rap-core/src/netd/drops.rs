//! What the firewalls threw away since their tables were loaded, by reason.
//!
//! The counters are the kernel's; the reason is the comment of the rule that decided. What no rule allows is counted by
//! the rule that tells of it before the chain's policy drops it.

use netfw::netns::Namespace;
use netfw::ruleset::{SESSION_TABLE, TABLE};
use netfw::{Machine, nft};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::in_force::InForce;

/// Packets thrown away for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Drops {
    /// The namespace: `root`, or a port's name.
    pub(crate) place: String,
    /// The chain that decided.
    pub(crate) chain: String,
    /// The rule's comment: where in the description it comes from, or what was wrong with the packet.
    pub(crate) reason: String,
    /// How many.
    pub(crate) packets: u64,
}

/// Reads every counter that is not zero. A namespace that cannot be read has none.
pub(super) fn read(machine: &Machine, current: &InForce) -> Vec<Drops> {
    let ports = current.site.ports.iter().map(|port| port.name.to_string());
    let ports = ports.map(|name| (machine.port(&name), name));
    let places = std::iter::once((machine.root.clone(), "root".to_owned())).chain(ports);
    places
        .flat_map(|(namespace, name)| of_namespace(&namespace, &name))
        .collect()
}

fn of_namespace(namespace: &Namespace, name: &str) -> Vec<Drops> {
    let listings = [TABLE, SESSION_TABLE].map(|table| nft::list(namespace, table));
    let listings = listings.into_iter().filter_map(|listing| listing.ok().flatten());
    listings.flat_map(|listing| of_listing(&listing, name)).collect()
}

/// From `nft -j list table` (libnftables-json(5)).
fn of_listing(listing: &Value, place: &str) -> Vec<Drops> {
    let objects = listing["nftables"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules.filter_map(|rule| of_rule(rule, place)).collect()
}

fn of_rule(rule: &Value, place: &str) -> Option<Drops> {
    let parts = rule["expr"].as_array()?;
    let decides = |part: &Value| part.get("drop").is_some() || part.get("log").is_some();
    let packets = parts
        .iter()
        .find_map(|part| part["counter"]["packets"].as_u64())?;
    (packets > 0 && parts.iter().any(decides)).then(|| Drops {
        place: place.to_owned(),
        chain: text(&rule["chain"]),
        reason: text(&rule["comment"]),
        packets,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_dropped_is_counted_by_its_rules_comment() {
        let rule = |comment: &str, packets: u64, verdict: Value| {
            json!({ "rule": {
                "chain": "input", "comment": comment,
                "expr": [{ "match": {} }, { "counter": { "packets": packets, "bytes": 1 } }, verdict],
            }})
        };
        let listing = json!({ "nftables": [
            { "metainfo": {} },
            { "table": { "name": "netfw" } },
            rule("invalid", 7, json!({ "drop": null })),
            rule("nothing yet", 0, json!({ "drop": null })),
            rule("replies", 9, json!({ "accept": null })),
            rule("not allowed", 3, json!({ "log": { "group": 1 } })),
            { "rule": { "chain": "input" } },
        ]});
        let found: Vec<_> = of_listing(&listing, "port1")
            .into_iter()
            .map(|drops| (drops.place, drops.chain, drops.reason, drops.packets))
            .collect();
        let own = |text: &str| text.to_owned();
        let expected = [
            (own("port1"), own("input"), own("invalid"), 7),
            (own("port1"), own("input"), own("not allowed"), 3),
        ];
        assert_eq!(found, expected);
        assert!(of_listing(&json!({}), "port1").is_empty());
    }
}
