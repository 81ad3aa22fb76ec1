//! A site.toml with a dozen mistakes of all kinds: all of them in one run, each with its place and its fix.

use crate::rig::{self, QUICK, names, rap_image};

const BAD: &str = r#"version = 2
name = "Ward 3"

[uplink]
nic = "pci:0000:00:10.0"
address = "10.9.0.2/24"
gatway = "10.9.0.1"
dns = "10.9.0.1"

[centre]
url = "http://centre.example"

[[port]]
name = "port1"
nic = "pci:0000:00:11.0"
address = "10.9.0.77/24"
instrument = "10.9.0.78"
dhcp = "yes"

[[port]]
name = "port1"
nic = "pci:0000:00:11.0"
address = "192.168.1.1/24"
instrument = "192.168.7.50"

[[port]]
name = "port3"
nic = "eth3"
address = "192.168.1.1/24"

[[proxy]]
name = "hospital"
url = "http://rap:s3cret@proxy.hospital.example:3128"

[egress]
defualt = "hospital"
"#;

/// Line, field, kind and the beginning of the fix of each mistake in [`BAD`].
const MISTAKES: [(u64, &str, &str, &str); 14] = [
    (1, "version", "version", "write version = 1"),
    (2, "name", "invalid", "write a host name"),
    (7, "uplink.gatway", "unknown", "did you mean gateway?"),
    (8, "uplink.dns", "type", "write dns = ["),
    (11, "centre.url", "invalid", "write \"https://\""),
    (16, "port[1].address", "conflict", "instruments and hospital"),
    (18, "port[1].dhcp", "type", "write dhcp = true"),
    (21, "port[2].name", "duplicate", "rename one of the two"),
    (22, "port[2].nic", "duplicate", "write the card this port"),
    (24, "port[2].instrument", "conflict", "give the instrument"),
    (26, "port[3].instrument", "missing", "add instrument = "),
    (28, "port[3].nic", "invalid", "write where the card sits"),
    (33, "proxy[1].url", "invalid", "write the user as user = "),
    (36, "egress.defualt", "unknown", "did you mean default?"),
];

fn check(text: &str, arguments: &[&str]) -> rig::Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, text).unwrap();
    let outcome = rig::run(
        rap_image().args(arguments).current_dir(folder.path()),
        QUICK,
        None,
    );
    assert_eq!(names(folder.path()), ["site.toml"]);
    outcome
}

#[test]
fn every_mistake_is_told_to_a_person() {
    let outcome = check(BAD, &["check"]);
    for (line, field, _, fix) in MISTAKES {
        outcome.expect_refused(&[&format!("site.toml:{line}:"), &format!(": {field}: found ")]);
        let after = outcome.text.split(&format!(": {field}: found ")).nth(1).unwrap();
        let fix_line = after.lines().nth(1).unwrap();
        assert!(
            fix_line.starts_with(&format!("    fix: {fix}")),
            "{field}: {fix_line}"
        );
    }
    assert!(!outcome.text.contains("s3cret"), "a password is repeated");
    outcome.expect_refused(&[
        &format!("site.toml: {} mistakes", MISTAKES.len()),
        "is not a valid site",
    ]);
}

#[test]
fn every_mistake_is_told_to_a_program() {
    let outcome = check(BAD, &["check", "--json"]);
    outcome.expect_refused(&[]);
    let json = outcome.text.lines().next().unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["valid"], false);
    let told = json["mistakes"].as_array().unwrap();
    assert_eq!(told.len(), MISTAKES.len(), "{json:#}");
    for ((line, field, fault, fix), told) in MISTAKES.iter().zip(told) {
        assert_eq!(told["line"], *line, "{told}");
        assert_eq!(told["field"], *field, "{told}");
        assert_eq!(told["fault"], *fault, "{told}");
        assert!(told["fix"].as_str().unwrap().starts_with(fix), "{told}");
        assert!(told["found"] != "" && told["expected"] != "", "{told}");
    }
}

#[test]
fn what_is_no_toml_and_what_is_not_there_is_told_too() {
    let fix = "fix: see https://toml.io";
    check("version = = 1\n", &["check"]).expect_refused(&["site.toml:1:", "not TOML", fix]);
    check("", &["check", "other.toml"]).expect_refused(&["other.toml", "fix: "]);
}

#[test]
fn a_box_is_not_started_with_a_bad_site() {
    let outcome = check(BAD, &["run", "--site", "site.toml", "--identity", "."]);
    outcome.expect_refused(&[
        "the site's description cannot be used",
        "site.toml:24:",
        "fix: give",
    ]);
}

#[test]
fn the_example_is_valid() {
    let outcome = check(rap_core::site::EXAMPLE, &["check"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);
}
