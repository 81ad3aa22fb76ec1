//! Every input worth keeping, through its target: what the fuzzer found once is never broken again.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test ends it, with its error"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in rap_fuzz::TARGETS {
        let folder = corpus().join(name);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            // Shown when the target panics.
            println!("{}", file.display());
            target(&std::fs::read(&file).unwrap());
        }
        target(b"");
    }
}

#[test]
fn every_corpus_has_its_target_and_is_small() {
    let names: BTreeSet<_> = rap_fuzz::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(names.len(), rap_fuzz::TARGETS.len());
    for folder in std::fs::read_dir(corpus()).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        assert!(names.contains(&name), "corpus/{name} has no target");
        let sizes = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len());
        let bytes: u64 = sizes.sum();
        assert!(
            bytes <= 64 * 1024,
            "corpus/{name} has {bytes} bytes, at most 64 KiB are kept"
        );
    }
}
