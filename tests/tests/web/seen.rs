//! The pages in a real browser: valid, without a complaint of its, usable without sight, at three widths.
//!
//! Pictures are kept in `target/pages`, for people.

use std::path::{Path, PathBuf};
use std::process::Command;

use rap_tests::browser::{self, Browser};
use serde_json::Value;

use super::Rig;
use super::sessions::Sessions;

const PAGES: [(&str, &str); 6] = [
    ("overview", "/"),
    ("remote", "/remote"),
    ("updates", "/updates"),
    ("instrument", "/instrument"),
    ("evidence", "/evidence"),
    ("nowhere", "/nowhere"),
];
/// Phone, tablet, desktop.
const WIDTHS: [(&str, u32, u32); 3] = [("phone", 390, 844), ("tablet", 820, 1180), ("desktop", 1440, 900)];

pub(super) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// Says what a desk lacks; in CI everything has to be there.
pub(super) fn lacks(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test needs {what}");
    eprintln!("skipped: needs {what}");
}

#[test]
fn every_page_is_usable_at_every_width_and_nobody_complains() {
    let axe = target().join("axe/axe.min.js");
    if !browser::is_there() {
        return lacks("chromium and chromium-driver");
    }
    let Ok(axe) = std::fs::read_to_string(axe) else {
        return lacks("axe-core (scripts/axe)");
    };
    let pictures = target().join("pages");
    std::fs::create_dir_all(&pictures).unwrap();
    let rig = Rig::start();
    // What is seen is a box where somebody asks, and is asked for the PIN.
    let _sessions = Sessions::start(&rig, "require-pin = true").map(|mut sessions| sessions.ask());
    let browser = Browser::start().unwrap();
    for (name, path) in PAGES {
        for (width_name, width, height) in WIDTHS {
            browser.resize(width, height).unwrap();
            browser.open(&format!("https://{}{path}", rig.address())).unwrap();
            browser
                .picture(&pictures.join(format!("{name}-{width_name}.png")))
                .unwrap();
            let wider = browser
                .run("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
                .unwrap();
            assert_eq!(wider, false, "{name} is wider than a {width_name}");
            let complaints = browser.complaints().unwrap();
            let complaints: Vec<_> = complaints
                .iter()
                // That there is no such page is what it was asked for.
                .filter(|text| !(name == "nowhere" && text.contains("404")))
                .collect();
            assert!(complaints.is_empty(), "{name} on a {width_name}: {complaints:?}");
            let found = violations(&browser, &axe);
            assert!(found.is_empty(), "{name} on a {width_name}: {found:#?}");
        }
    }
}

/// What axe-core finds wrong, of any weight, by the rules of WCAG 2.2 AA and its own best practices.
fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe).unwrap();
    let found = browser
        .run_until_done("const done = arguments[arguments.length - 1]; axe.run(document).then(done, error => done(String(error)))")
        .unwrap();
    let rules = found["passes"].as_array().map_or(0, Vec::len);
    assert!(rules > 10, "axe looked at nothing: {found}");
    let list = found["violations"].as_array().cloned().unwrap_or_default();
    let told = |violation: &Value| {
        format!(
            "{} {}: {}",
            violation["impact"], violation["id"], violation["nodes"]
        )
    };
    list.iter().map(told).collect()
}

#[test]
fn a_keyboard_reaches_the_content_first() {
    if !browser::is_there() {
        return lacks("chromium and chromium-driver");
    }
    let rig = Rig::start();
    let browser = Browser::start().unwrap();
    browser.open(&format!("https://{}/", rig.address())).unwrap();
    // The tab key, as WebDriver spells it.
    browser.type_into("body", "\u{e004}").unwrap();
    let focused = browser
        .run("return document.activeElement.getAttribute('href')")
        .unwrap();
    assert_eq!(focused, "#content");
    assert_eq!(browser.text("a.skip").unwrap(), "Skip to the content");
    let page = browser.text("main").unwrap();
    for told in [
        "not reached: the hospital's proxy wants a password",
        "port2: no cable",
        "37",
    ] {
        assert!(page.contains(told), "no `{told}`: {page}");
    }
}

#[test]
fn the_html_is_valid() {
    if !Path::new("/usr/bin/tidy").exists() {
        return lacks("tidy");
    }
    let rig = Rig::start();
    let _sessions = Sessions::start(&rig, "require-pin = true").map(|mut sessions| sessions.ask());
    for (name, path) in PAGES {
        let (head, body) = rig.get(path);
        assert!(
            head.contains("content-security-policy: default-src 'none';"),
            "{head}"
        );
        let file = rig.directory.path().join(format!("{name}.html"));
        std::fs::write(&file, body).unwrap();
        let output = Command::new("/usr/bin/tidy")
            .args(["-q", "-e"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Newer than tidy 5.6 is (WAI-ARIA 1.1).
        let wrong: Vec<_> = said
            .lines()
            .filter(|line| !line.is_empty() && !line.ends_with("proprietary attribute \"aria-current\""))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}
