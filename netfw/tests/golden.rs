//! Every golden ruleset is one that nft takes, and its two forms are the same to nft.
//!
//! Needs root and `nft` (nftables). `NETFW_NFT` names a second one to try as well, such as the one of an image.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use netfw::netns::Namespace;
use serde_json::{Value, json};

/// A namespace that goes with the test.
struct Place(Namespace);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

impl Place {
    /// What nft says to `arguments`, with `input`.
    fn nft(&self, nft: &Path, arguments: &[&str], input: &str) -> String {
        let run = || {
            let mut child = Command::new(nft)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", nft.display()));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        };
        let output = self.0.run(run).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} {arguments:?}: {complaint}",
            nft.display()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What nft lists after it took `input`, and nothing before: a line an object.
    fn listed_after(&self, nft: &Path, arguments: &[&str], input: &str) -> Vec<String> {
        self.nft(nft, &["flush", "ruleset"], "");
        self.nft(nft, arguments, input);
        let mut listing = serde_json::from_str(&self.nft(nft, &["-j", "list", "ruleset"], "")).unwrap();
        forget_handles(&mut listing);
        let objects = listing["nftables"].as_array().unwrap().iter();
        objects.map(Value::to_string).collect()
    }
}

/// Handles count up from load to load.
fn forget_handles(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("handle");
            object.values_mut().for_each(forget_handles);
        }
        Value::Array(array) => array.iter_mut().for_each(forget_handles),
        _ => {}
    }
}

/// The golden files of one form, in order.
fn golden(form: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == form))
        .collect();
    files.sort();
    files
}

/// A golden file of JSON is a command a line.
fn transaction(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let commands: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    json!({ "nftables": commands }).to_string()
}

#[test]
fn nft_takes_every_golden_ruleset_in_both_forms_as_the_same() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "needs root");
        println!("skipped: needs root");
        return;
    }
    let place = Place(Namespace::Named(format!("netfw-golden{}", std::process::id())));
    place.0.create(|| Ok::<_, netfw::netns::Error>(())).unwrap();
    let second = std::env::var_os("NETFW_NFT").map(PathBuf::from);
    for nft in [PathBuf::from("/usr/sbin/nft")].into_iter().chain(second) {
        let (texts, transactions) = (golden("nft"), golden("json"));
        assert!(!texts.is_empty());
        assert_eq!(texts.len(), transactions.len());
        for (text, transaction_file) in texts.iter().zip(&transactions) {
            assert_eq!(text.file_stem(), transaction_file.file_stem());
            let from_text = place.listed_after(&nft, &["-f", "-"], &std::fs::read_to_string(text).unwrap());
            let from_json = place.listed_after(&nft, &["-j", "-f", "-"], &transaction(transaction_file));
            for (one, other) in from_text.iter().zip(&from_json) {
                assert_eq!(one, other, "{} with {}", text.display(), nft.display());
            }
            assert_eq!(from_text.len(), from_json.len(), "{}", text.display());
            assert!(
                from_json
                    .iter()
                    .filter(|object| object.contains("\"rule\""))
                    .count()
                    > 3,
                "{from_json:?}"
            );
        }
    }
}
