//! What people read.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use super::*;
use crate::netd::state::State;
use crate::rapctl::Command;
use crate::site::{EXAMPLE, Site};

fn state(more: &serde_json::Value) -> State {
    let mut all = json!({
        "site": "0123456789abcdef", "on-trial": false, "trials": [], "problems": [],
        "uplink": { "name": "uplink", "nic": "pci:0000:00:10.0", "link": "up", "address": "10.9.0.2/24" },
        "ports": [{ "name": "port1", "nic": "pci:0000:00:11.0", "link": "no cable", "address": null }],
        "seconds-left": null, "drops": [], "openings": [],
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

#[test]
fn the_commands_are_well_formed_and_teach() {
    Command::command().debug_assert();
    let help = |verb: &str| {
        let mut command = Command::command();
        command.build();
        let net = command.find_subcommand_mut("net").unwrap();
        let found = if verb.is_empty() {
            net
        } else {
            net.find_subcommand_mut(verb).unwrap()
        };
        found.render_long_help().to_string()
    };
    assert!(
        help("").contains("undone after two minutes") && help("").contains("rapctl net try new.toml --wait")
    );
    assert!(help("plan").contains("needs no rights"));
    assert!(Command::try_parse_from(["rapctl", "net", "plan", "--json", "--nft"]).is_err());
    assert!(Command::try_parse_from(["rapctl", "net", "try"]).is_err());
}

#[test]
fn a_quiet_network_is_well() {
    let text = status::render(&state(&json!({})), true, false);
    assert_eq!(
        text,
        "site 0123456789ab is in force\n\n\
         uplink       up        10.9.0.2/24         pci:0000:00:10.0\n\
         port1        no cable  no address          pci:0000:00:11.0\n\n\
         all is well\n"
    );
}

#[test]
fn a_trial_its_time_the_last_one_and_what_was_dropped_are_told() {
    let more = json!({
        "on-trial": true, "seconds-left": 87,
        "trials": [{
            "site": "fedcba9876543210", "began": "2030-01-01T00:00:00Z", "boot": "b", "since": 1, "deadline": 2,
            "ended": { "outcome": "undone", "why": "reverted by\u{1b} an operator", "at": "2030-01-01T00:02:00Z" },
        }],
        "openings": [{ "port": "port1", "service": "tcp/5900", "address": "100.64.7.1", "seconds-left": 30 }],
        "drops": [{ "place": "port1", "chain": "input", "reason": "not allowed", "packets": 12 }],
        "problems": ["uplink: the lease of 192.168.1.7/24 is not used"],
    });
    let text = status::render(&state(&more), false, false);
    for expected in [
        "site 0123456789ab is on trial: undone in 87 s unless it is confirmed",
        "last trial: site fedcba987654, begun 2030-01-01T00:00:00Z, undone 2030-01-01T00:02:00Z:\n  reverted by  an operator",
        "open: port1 tcp/5900 at 100.64.7.1 for 30 s",
        "         12  port1 input: not allowed",
        "uplink: the lease of 192.168.1.7/24 is not used",
        "ask as root",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(!text.contains("all is well"));
}

#[test]
fn a_box_without_a_site_says_why() {
    let more = json!({ "site": null, "trouble": "there is no site", "ports": [] });
    let text = status::render(&state(&more), true, false);
    assert_eq!(text, "no site is in force\n\nthere is no site\n");
}

#[test]
fn a_plan_is_told_in_words_rules_and_json() {
    let site = Site::parse(EXAMPLE, Path::new("site.toml")).unwrap();
    let network = site.network().unwrap();
    let words = plan::render(&site, &network);
    for expected in [
        "uplink  pci:0000:00:10.0, MTU 1500\n  IPv4 10.9.0.2/24 via 10.9.0.1\n  IPv6 off\n",
        "  may reach centre 10.9.0.10 tcp/8443, proxy-hospital proxy.hospital.example tcp/3128\n",
        "port1  pci:0000:00:11.0\n  the box 192.168.1.1/24\n  the instrument 192.168.1.50, only 52:54:00:12:34:56\n",
        "  may use DHCP, ingest tcp/8443, page tcp/443\n",
        "  sessions to tcp/5900 at 100.64.7.1\n",
    ] {
        assert!(words.contains(expected), "{expected} is missing in\n{words}");
    }
    let rules = plan::nft(&network);
    assert!(
        rules.contains("# namespace root\nadd table inet netfw\n"),
        "{rules}"
    );
    assert!(
        rules.contains("# namespace port2\n") && rules.contains("comment \"ports.port1.services.ingest\"")
    );
    let json = plan::json(&site, &network);
    assert_eq!(json["ports"][0]["service-address"], "100.64.7.1");
    assert_eq!(
        json["namespaces"]["root"]["transactions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_diff_is_empty_or_a_list() {
    assert!(diff::render(&json!({ "words": [] })).contains("as planned"));
    let text = diff::render(&json!({ "words": ["port1: switch on port1"] }));
    assert!(text.ends_with(":\n  port1: switch on port1\n"), "{text}");
}
