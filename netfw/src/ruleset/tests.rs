//! The ruleset against its golden files, and against nft itself.
//!
//! `UPDATE_GOLDEN=1 cargo test -p netfw` writes the files anew.

use crate::model::{Addressing, Endpoint, Host, Ipv6};
use std::collections::HashSet;

use proptest::prelude::*;

use crate::plan::NetPlan;
use crate::sample::{self, any_network};

use super::*;

fn check(name: &str, found: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        found, expected,
        "{name} differs; if that is right, run with UPDATE_GOLDEN=1"
    );
}

fn pretty(value: &Value) -> String {
    let lines: Vec<_> = value["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    lines.join("\n") + "\n"
}

/// Both forms of a table.
fn check_table(name: &str, table: &Table) {
    check(&format!("{name}.nft"), &table.text());
    check(&format!("{name}.json"), &pretty(&table.json()));
}

#[test]
fn the_tables_are_the_golden_ones() {
    let mut network = sample::network();
    let plan = NetPlan::new(&network);
    check_table("root-static", &plan.root.table);
    check_table("port-pinned-dhcp-remote", &plan.ports[0].table);
    check_table("port-fixed", &plan.ports[1].table);
    let sessions = plan.sessions.unwrap();
    check_table("session-root", &sessions.root_table);
    check_table("session-port", &sessions.ports[0].table);

    network.sessions = None;
    network.ports[0].remote.clear();
    network.uplink.addressing = Addressing::Dhcp;
    network.uplink.ipv6 = Ipv6::Slaac;
    network.uplink.dns.push("2001:db8::53".parse().unwrap());
    let centre = Endpoint {
        name: "centre6".to_owned(),
        host: Host::Ip("2001:db8::10".parse().unwrap()),
        ..network.endpoints[0].clone()
    };
    network.endpoints.push(centre);
    check_table("root-dhcp-slaac", &NetPlan::new(&network).root.table);
}

#[test]
fn a_marker_tells_tables_apart_and_is_the_same_every_time() {
    let plan = NetPlan::new(&sample::network());
    let again = NetPlan::new(&sample::network());
    assert_eq!(plan.ports[0].table.summary(), again.ports[0].table.summary());
    assert_ne!(plan.ports[0].table.marker(), plan.ports[1].table.marker());
}

#[test]
fn an_element_is_taken_out_before_it_is_given_its_time_anew() {
    // Linux before 6.12 keeps the old timeout of an element that is added again.
    let element = Element {
        key: Key::Address([10, 9, 0, 1].into()),
        timeout: Some(std::time::Duration::from_secs(60)),
        comment: "uplink.dns".to_owned(),
    };
    let transaction = refill(TABLE, DNS, &[element]);
    let verbs: Vec<_> = transaction["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|command| command.as_object().unwrap().keys())
        .collect();
    assert_eq!(verbs, ["add", "delete", "add"]);
}

/// Every table of a plan.
fn tables(plan: &NetPlan) -> Vec<&Table> {
    let ports = plan.ports.iter().map(|port| &port.table);
    let sessions = plan.sessions.iter().flat_map(|sessions| {
        let ports = sessions.ports.iter().map(|port| &port.table);
        ports.chain([&sessions.root_table])
    });
    ports.chain([&plan.root.table]).chain(sessions).collect()
}

/// The comments of rules in the text form, in order, with their chains.
fn rules_of_text(text: &str) -> Vec<String> {
    let mut chain = "";
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("\tchain ") {
            chain = rest.trim_end_matches(" {");
        } else if let Some((_, rest)) = line
            .split_once(" comment \"")
            .filter(|_| line.contains(" counter ") || line.contains("\tcounter "))
        {
            rules.push(format!("{chain}: {}", rest.trim_end_matches('"')));
        }
    }
    rules
}

fn rules_of_json(json: &Value) -> Vec<String> {
    let rules = json["nftables"].as_array().unwrap().iter();
    rules
        .filter_map(|command| command["add"].get("rule"))
        .map(|rule| {
            format!(
                "{}: {}",
                rule["chain"].as_str().unwrap(),
                rule["comment"].as_str().unwrap()
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_json_and_summary_say_the_same(network in any_network()) {
        let plan = NetPlan::new(&network);
        for table in tables(&plan) {
            let json = table.json();
            let rules = rules_of_json(&json);
            prop_assert_eq!(&rules_of_text(&table.text()), &rules);
            let listed: Vec<_> = json["nftables"].as_array().unwrap().iter().map(|c| c["add"].clone()).collect();
            prop_assert_eq!(listed_summary(&json!({"nftables": listed})), table.summary());
            // A rule is found again by its chain and comment.
            let distinct: HashSet<_> = rules.iter().collect();
            prop_assert_eq!(distinct.len(), rules.len(), "{:?}", rules);
        }
    }

    #[test]
    fn comments_and_reasons_fit_the_kernel(network in any_network()) {
        // libnftnl: NFTNL_UDATA_COMMENT_MAXLEN is 128; uapi nf_log.h: NF_LOG_PREFIXLEN is 128 with the terminator.
        let plan = NetPlan::new(&network);
        for rule in tables(&plan).iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules) {
            prop_assert!(rule.comment.len() < 128 && !rule.comment.contains('"'), "{}", rule.comment);
            for part in &rule.parts {
                if let Part::Log(words) = part {
                    prop_assert!(words.len() < 128, "{}", words);
                }
            }
        }
    }

    #[test]
    fn what_is_dropped_was_counted_and_told(network in any_network()) {
        let plan = NetPlan::new(&network);
        for chain in tables(&plan).iter().flat_map(|table| &table.chains) {
            let tells = |rule: &Rule| matches!(rule.parts[..], [Part::Log(_)]);
            let drops = chain.hook.policy() != Some(NfChainPolicy::Accept);
            prop_assert!(!drops || chain.rules.is_empty() || chain.rules.iter().any(tells));
        }
    }
}
