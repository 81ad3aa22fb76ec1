//! The ruleset against its golden files, and against nft itself.
//!
//! `UPDATE_GOLDEN=1 cargo test -p netfw` writes the files anew.

use crate::model::{Addressing, Endpoint, Host, Ipv6};
use crate::plan::NetPlan;
use crate::sample;

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
