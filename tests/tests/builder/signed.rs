//! The signatures of the image, by a program that shares no code with ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use rap_image::signing::{PROGRAM_KEY, Signer, sign};

use crate::rig::{has, rap_image, repository};

/// Whether `sbverify` finds `program` signed by the development key.
fn is_signed(program: &Path) -> bool {
    let certificate = repository().join("keys/dev").join(format!("{PROGRAM_KEY}.crt"));
    let mut command = Command::new("sbverify");
    let output = command
        .arg("--cert")
        .arg(certificate)
        .arg(program)
        .output()
        .unwrap();
    output.status.success()
}

fn image() -> Option<PathBuf> {
    let image = repository().join("target/image/qemu");
    let there = has(
        image.join("rap.efi").is_file(),
        "the image (rap-image build --keys keys/dev)",
    ) && has(
        Path::new("/usr/bin/sbverify").exists(),
        "sbverify (package sbsigntool)",
    );
    there.then_some(image)
}

#[test]
fn sbverify_takes_loader_and_image_and_nothing_that_was_changed() {
    let Some(image) = image() else { return };
    let place = tempfile::tempdir().unwrap();
    assert!(is_signed(&image.join("rap.efi")));

    let mut bytes = std::fs::read(image.join("rap.efi")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = place.path().join("changed.efi");
    std::fs::write(&changed, bytes).unwrap();
    assert!(!is_signed(&changed));

    let loader = place.path().join("loader.efi");
    let disk = format!("{}@@1M", image.join("disk.img").display());
    let copied = Command::new("mcopy")
        .args(["-i", &disk, "::EFI/BOOT/BOOTX64.EFI"])
        .arg(&loader)
        .status();
    assert!(copied.unwrap().success());
    assert!(is_signed(&loader));
}

#[test]
fn verify_says_whose_signature_it_is_and_no_for_another_key() {
    let Some(image) = image() else { return };
    let keys = repository().join("keys/dev");
    let verify = |keys: &Path, file: &Path| {
        let output = rap_image()
            .arg("verify")
            .arg("--keys")
            .arg(keys)
            .arg(file)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for file in ["disk.img", "rap.efi"] {
        let (code, said) = verify(&keys, &image.join(file));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("signed by  DEVELOPMENT secure-boot-db"), "{said}");
    }
    let others = tempfile::tempdir().unwrap();
    for kind in ["crt", "key"] {
        let to = others.path().join(format!("{PROGRAM_KEY}.{kind}"));
        std::fs::copy(keys.join(format!("secure-boot-KEK.{kind}")), to).unwrap();
    }
    let (code, said) = verify(others.path(), &image.join("disk.img"));
    assert!(
        code == Some(1) && said.contains("signed with another key"),
        "{said}"
    );
    // The key that the test took for another one can sign.
    let signer = Signer::load(others.path(), PROGRAM_KEY).unwrap();
    assert!(sign(&std::fs::read(image.join("rap.efi")).unwrap(), &signer).is_err());
}
