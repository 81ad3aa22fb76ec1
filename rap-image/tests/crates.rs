//! Every crate that is compiled into our programs and brings C code is in the bill of materials' table of C code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use rap_image::auditable::{self, Inventory};
use rap_image::hermetic::cargo_home;
use rap_image::sbom::{NATIVE, WITHOUT};

/// Endings of what is compiled by another compiler than rustc, or linked without one.
const FOREIGN: [&str; 11] = ["c", "cc", "cpp", "cxx", "S", "s", "asm", "o", "a", "so", "lib"];

fn tree(edges: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            "rap-core",
            "--features",
            "fips",
        ])
        .args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--prefix",
            "depth",
            "--format",
            "{p}",
            "--edges",
            edges,
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn inventory() -> Inventory {
    auditable::inventory(&tree("normal,build"), &tree("normal,no-proc-macro")).unwrap()
}

fn archive(name: &str, version: &str) -> PathBuf {
    let caches = std::fs::read_dir(cargo_home().join("registry/cache")).unwrap();
    let places = caches.map(|cache| cache.unwrap().path().join(format!("{name}-{version}.crate")));
    places
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("cargo fetch --locked brings {name}"))
}

fn has_foreign_code(archive: &Path) -> bool {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()));
    tar.entries().unwrap().any(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap();
        path.extension()
            .is_some_and(|ending| FOREIGN.iter().any(|foreign| ending == *foreign))
    })
}

#[test]
fn every_crate_with_c_code_is_in_the_table_and_nothing_else_is() {
    let inventory = inventory();
    let foreign: BTreeSet<&str> = inventory
        .compiled_in()
        .filter(|krate| krate.source == "crates.io")
        .filter(|krate| has_foreign_code(&archive(&krate.name, &krate.version)))
        .map(|krate| krate.name.as_str())
        .collect();
    let native = NATIVE.iter().map(|native| native.krate);
    let known: BTreeSet<&str> = native.chain(WITHOUT.iter().map(|(name, _)| *name)).collect();
    assert_eq!(
        foreign, known,
        "look into the crate's build script, then add it to sbom/native.rs"
    );
}

/// What the linker is given is what the list says: nothing of the builder's or the tests' own needs is in it.
#[test]
fn the_list_has_what_the_programs_need_and_no_more() {
    let inventory = inventory();
    let names: BTreeSet<&str> = inventory.compiled_in().map(|krate| krate.name.as_str()).collect();
    for there in [
        "rap-core",
        "netfw",
        "rustls",
        "tokio",
        "zstd-sys",
        "aws-lc-fips-sys",
    ] {
        assert!(names.contains(there), "{there}");
    }
    for not_there in ["syn", "cc", "pgp", "proptest", "fatfs", "indicatif"] {
        assert!(!names.contains(not_there), "{not_there}");
    }
}
