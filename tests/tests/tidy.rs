//! The repository's own rules, each with the reason a person is told when it is broken.
//!
//! Invariant: a rule that finds nothing to look at fails; a rule cannot pass by looking in the wrong place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest allowed source file, in lines.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Every file git would commit, by path below the root. Without git (a source archive) the tree is walked.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .expect("a readable tree")
            .map(|e| e.expect("an entry"))
        {
            let name = entry.file_name();
            if entry.file_type().expect("a type").is_dir() {
                if ![".git", "target", "keys"].iter().any(|skip| name == *skip) {
                    open.push(entry.path());
                }
            } else {
                found.push(
                    entry
                        .path()
                        .strip_prefix(root())
                        .expect("below the root")
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "the tree was not found");
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let with = |p: PathBuf| {
        std::fs::read_to_string(root().join(&p))
            .ok()
            .map(|text| (p, text))
    };
    files()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .filter_map(with)
        .collect()
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    std::fs::read_to_string(path)
        .expect("a manifest")
        .parse()
        .expect("valid TOML")
}

fn complain(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

#[test]
fn every_module_says_what_it_is_for() {
    // A module's unit tests in a file of their own need no other word than the module's.
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.file_name().is_some_and(|name| name != "tests.rs"))
        .filter(|(_, text)| {
            !text
                .lines()
                .next()
                .is_some_and(|line| line.starts_with("//! ") && line.len() > 12)
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain(
        &broken,
        "a file opens with `//!`: what it is for in a line, then its invariants",
    );
}

#[test]
fn no_file_is_too_long_to_read() {
    let broken: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    complain(
        &broken,
        "a file stays below 500 lines: split it by what its parts are for",
    );
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: [(&str, &[&str]); 6] = [
        ("netfw", &[]),
        ("rap-core", &["netfw"]),
        ("qemu", &[]),
        ("rap-image", &["rap-core", "rap-qemu"]),
        ("tests", &["netfw", "rap-core", "rap-image", "rap-qemu"]),
        ("tests/fuzz", &["netfw", "rap-core", "rap-image"]),
    ];
    let ours = BTreeSet::from(["netfw", "rap-core", "rap-qemu", "rap-image", "rap-tests"]);
    let mut broken = Vec::new();
    for (folder, may) in allowed {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest(folder)
                .get(section)
                .and_then(|s| s.as_table().cloned())
                .unwrap_or_default();
            for name in table
                .keys()
                .filter(|n| ours.contains(n.as_str()) && !may.contains(&n.as_str()))
            {
                broken.push(format!("{folder}: {section} names {name}"));
            }
        }
    }
    complain(&broken, "dependencies follow the table in ARCHITECTURE.md");
}

#[test]
fn every_crate_inherits_the_lints_and_the_versions() {
    let members = manifest("")["workspace"]["members"]
        .as_array()
        .expect("members")
        .clone();
    assert!(members.len() >= 5);
    let mut broken = Vec::new();
    for folder in members.iter().filter_map(toml::Value::as_str) {
        let manifest = manifest(folder);
        let inherits =
            |v: Option<&toml::Value>| v.and_then(|v| v.get("workspace")).and_then(toml::Value::as_bool);
        if inherits(manifest.get("lints")) != Some(true) {
            broken.push(format!("{folder}: [lints] workspace = true is missing"));
        }
        for field in ["version", "edition", "license", "rust-version", "publish"] {
            if inherits(manifest["package"].get(field)) != Some(true) {
                broken.push(format!("{folder}: {field}.workspace = true is missing"));
            }
        }
    }
    complain(&broken, "lints and package facts are said once, in the workspace");
}

#[test]
fn unsafe_code_lives_in_sys_modules_only() {
    let excuse = ["allow(unsafe_code", "expect(unsafe_code"];
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| {
            let in_sys =
                path.file_stem().is_some_and(|s| s == "sys") || path.iter().any(|part| part == "sys");
            !in_sys
                && !path.ends_with("tidy.rs")
                && excuse.iter().any(|e| text.contains(e))
                && text.contains("unsafe {")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain(
        &broken,
        "unsafe blocks live in a crate's `sys` module, each with its SAFETY comment",
    );
}

#[test]
fn no_test_is_switched_off_or_expects_to_panic() {
    let words = [concat!("#[ign", "ore"), concat!("#[should_", "panic")];
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| words.iter().any(|w| text.contains(w)))
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain(&broken, "a test runs, and asserts on what it got");
}

#[test]
fn no_mirror_is_named_anywhere() {
    // In halves, so that this file does not name them either.
    let hosts = [
        concat!("deb.deb", "ian.org"),
        concat!("snapshot.deb", "ian.org"),
        concat!("ftp.deb", "ian.org"),
    ];
    let broken: Vec<_> = files()
        .into_iter()
        .filter_map(|p| {
            std::fs::read(root().join(&p))
                .ok()
                .map(|bytes| (p, String::from_utf8_lossy(&bytes).into_owned()))
        })
        .filter(|(_, text)| hosts.iter().any(|h| text.contains(h)))
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain(
        &broken,
        "mirrors are the host's: the lock records paths below a mirror, never a host",
    );
}

#[test]
fn the_top_level_is_what_the_design_says() {
    let allowed = BTreeSet::from([
        ".ci",
        ".git",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "docs",
        "keys",
        "netfw",
        "overlays",
        "qemu",
        "rap-core",
        "rap-image",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "scripts",
        "target",
        "tests",
    ]);
    let broken: Vec<_> = std::fs::read_dir(root())
        .expect("the root")
        .filter_map(|e| e.ok().and_then(|e| e.file_name().into_string().ok()))
        .filter(|name| !allowed.contains(name.as_str()))
        .collect();
    complain(&broken, "the top level is fixed");
}

#[test]
fn no_merge_is_left_half_done() {
    let marks = ["<", ">"].map(|mark| format!("{} ", mark.repeat(7)));
    let is_left = |text: &String| {
        text.lines()
            .any(|line| marks.iter().any(|mark| line.starts_with(mark)))
    };
    let texts = files()
        .into_iter()
        .filter_map(|path| Some((std::fs::read_to_string(root().join(&path)).ok()?, path)));
    let broken: Vec<_> = texts
        .filter(|(text, _)| is_left(text))
        .map(|(_, path)| path.display().to_string())
        .collect();
    complain(&broken, "a merge's marks are resolved before they are committed");
}
