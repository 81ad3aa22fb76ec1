//! Repositories for the tests: right ones, and one for each attack, made by python-tuf and by tough, each once a run.
//!
//! A repository of the same name is the same in both; python/make.py says in comments what each is. What is made with
//! tough leaves out what cannot be written with its types (names that lead elsewhere, a key it does not know).

mod tough;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::rig::{PROFILE, SBOM, manifest, skip};

/// All repositories of one maker.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    /// Both manifests and the bill of materials lie in the folder already.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in [1, 2] {
            std::fs::write(folder.path().join(format!("manifest-{number}")), manifest(number)).unwrap();
        }
        std::fs::write(folder.path().join("sbom"), SBOM).unwrap();
        Self { folder }
    }
}

/// The repositories of both makers, as far as they are there.
pub(crate) fn all() -> Vec<&'static Path> {
    python().into_iter().chain([by_tough()]).collect()
}

/// Those made by python-tuf; says that it is skipped where that is missing.
pub(crate) fn python() -> Option<&'static Path> {
    static MADE: OnceLock<Option<Made>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let python = interpreter()?;
        let made = Made::new();
        let folder = made.folder.path();
        let output = Command::new(python)
            .arg(script("make.py"))
            .arg(folder)
            .args(["manifest-1", "manifest-2", "sbom"].map(|name| folder.join(name)))
            .arg(PROFILE)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(made)
    });
    if made.is_none() {
        skip("python-tuf: scripts/python-tuf makes its environment");
    }
    made.as_ref().map(|made| made.folder.path())
}

/// Those made by tough.
pub(crate) fn by_tough() -> &'static Path {
    static MADE: OnceLock<Made> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = Made::new();
        tough::make(made.folder.path());
        made
    });
    made.folder.path()
}

/// The Python that has python-tuf.
pub(crate) fn interpreter() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python-tuf/bin/python");
    path.is_file().then_some(path)
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/update/python")
        .join(name)
}
