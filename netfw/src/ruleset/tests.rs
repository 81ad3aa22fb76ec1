//! The ruleset against its golden files, and against nft itself.
//!
//! `UPDATE_GOLDEN=1 cargo test -p netfw` writes the files anew.

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

#[test]
fn the_tables_are_the_golden_ones() {
    let mut network = sample::network();
    let plan = NetPlan::new(&network);
    check("root-static.nft", &plan.root.table.text());
    check("root-static.json", &pretty(&plan.root.table.json()));
    check("port-pinned-dhcp.nft", &plan.ports[0].table.text());
    check("port-pinned-dhcp.json", &pretty(&plan.ports[0].table.json()));
    check("port-fixed.nft", &plan.ports[1].table.text());
    network.uplink.addressing = crate::model::Addressing::Dhcp;
    check("root-dhcp.nft", &NetPlan::new(&network).root.table.text());
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
