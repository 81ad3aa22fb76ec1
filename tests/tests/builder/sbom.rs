//! The bill of materials of the real image, held against the libraries of those who made the formats.

use std::path::Path;
use std::process::Command;

use rap_image::lock::Lock;
use serde_json::Value;

use crate::rig::{self, QUICK, full_store, has, rap_image, repository};

/// Made by scripts/cyclonedx.
const PYTHON: &str = "target/cyclonedx/bin/python";
const VALIDATOR: &str = include_str!("sbom.py");

/// Runs `rap-image` and returns what it said; it must end with `code`.
#[track_caller]
fn said(arguments: &[&str], code: i32) -> String {
    let outcome = rig::run(rap_image().args(arguments), QUICK, None);
    assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.text);
    outcome.text
}

#[test]
fn the_bill_of_the_real_image_is_right_complete_and_the_same_each_time() {
    let lock = Lock::read(&repository().join("overlays/image.lock")).unwrap();
    let image = repository().join("target/image/qemu/disk.img");
    let ready = full_store(&lock).is_some()
        && has(image.is_file(), "target/image/qemu (rap-image build)")
        && has(repository().join(PYTHON).is_file(), "scripts/cyclonedx");
    if !ready {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (image, bill) = (image.to_str().unwrap(), path("sbom.cdx.json"));
    said(&["sbom", "--offline", image, "--out", &bill], 0);
    said(&["sbom", "--offline", image, "--out", &path("again")], 0);
    let bytes = std::fs::read(&bill).unwrap();
    assert_eq!(bytes, std::fs::read(path("again")).unwrap());
    validate(Path::new(&bill));

    let bom: Value = serde_json::from_slice(&bytes).unwrap();
    let found: Value = serde_json::from_str(&said(&["verify", "--json", image], 0)).unwrap();
    let names = |kind: &str| {
        let components = bom["components"].as_array().unwrap().iter();
        components
            .filter(|component| component["bom-ref"].as_str().unwrap().starts_with(kind))
            .count()
    };
    assert_eq!(names("deb:"), found["uki"]["packages"].as_array().unwrap().len());
    assert_eq!(names("program:"), 2);
    assert!(
        names("crate:") > 100 && names("c:") >= 2,
        "{} crates",
        names("crate:")
    );

    // It is this image's bill and this image's lock, and says so when one package more is named.
    let lock = repository().join("overlays/image.lock");
    said(
        &["verify", image, "--sbom", &bill, "--lock", lock.to_str().unwrap()],
        0,
    );
    let text = String::from_utf8(bytes)
        .unwrap()
        .replace("deb:nftables", "deb:nftables2")
        .replace("\"nftables\"", "\"nftables2\"");
    std::fs::write(path("other"), text).unwrap();
    let no = said(&["verify", image, "--sbom", &path("other")], 1);
    assert!(
        no.contains("nftables2@") && no.contains("in the bill of materials, and not in the image"),
        "{no}"
    );
}

fn validate(bill: &Path) {
    let output = Command::new(repository().join(PYTHON))
        .arg("-c")
        .arg(VALIDATOR)
        .arg(bill)
        .output()
        .unwrap();
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{error}");
}
