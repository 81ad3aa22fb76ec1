//! The host's apt sources, both forms (sources.list(5)): one-line `.list` and deb822 `.sources`.
//!
//! An entry counts as a mirror of Debian when it is of type `deb`, over HTTP(S), has component `main` and a suite that
//! only Debian uses. Whoever answers there still has to show Debian's signature.

use std::path::Path;

use super::Mirrors;
use crate::archive::stanza::stanzas;

const CODENAMES: [&str; 10] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// All mirrors of Debian named below `/etc/apt` (given as `apt`), in the order apt reads the files.
pub(super) fn sources(apt: &Path) -> Mirrors {
    let mut files = vec![apt.join("sources.list")];
    if let Ok(folder) = std::fs::read_dir(apt.join("sources.list.d")) {
        let mut parts: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
        parts.sort();
        files.extend(parts);
    }
    let mut mirrors = Mirrors::default();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text, &mut mirrors),
            Some("sources") => deb822(&text, &mut mirrors),
            _ => {}
        }
    }
    super::remove_repeated(&mut mirrors.main);
    super::remove_repeated(&mut mirrors.security);
    mirrors
}

/// `deb [options] URI suite component…`
fn one_line(text: &str, mirrors: &mut Mirrors) {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line
            .strip_prefix("deb")
            .filter(|rest| rest.starts_with([' ', '\t', '[']))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_ascii_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
            continue;
        };
        add(mirrors, uri, suite, words);
    }
}

fn deb822(text: &str, mirrors: &mut Mirrors) {
    for stanza in stanzas(text) {
        let words = |name| stanza.lines(name).flat_map(str::split_ascii_whitespace);
        let enabled = stanza
            .field("Enabled")
            .is_none_or(|enabled| !["no", "false", "0"].contains(&enabled));
        if !enabled || !words("Types").any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("URIs") {
            for suite in words("Suites") {
                add(mirrors, uri, suite, words("Components"));
            }
        }
    }
}

fn add<'a>(mirrors: &mut Mirrors, uri: &str, suite: &str, mut components: impl Iterator<Item = &'a str>) {
    let http = uri.starts_with("http://") || uri.starts_with("https://");
    if !http || !components.any(|component| component == "main") {
        return;
    }
    let uri = uri.trim_end_matches('/').to_owned();
    let (codename, pocket) = match suite.split_once(['-', '/']) {
        Some((codename, pocket)) => (codename, pocket),
        None => (suite, ""),
    };
    if !CODENAMES.contains(&codename) {
        return;
    }
    match pocket {
        "" | "updates" if uri.ends_with("-security") => mirrors.security.push(uri),
        "" | "updates" => mirrors.main.push(uri),
        "security" => mirrors.security.push(uri),
        _ => {}
    }
}
