//! What the builder reads of the archive, of packages and of a stranger's image.

use std::cmp::Ordering;
use std::io::Read as _;

use rap_image::archive::SUITES;
use rap_image::archive::index::Index;
use rap_image::archive::release::Release;
use rap_image::archive::stanza::stanzas;
use rap_image::archive::version::compare;
use rap_image::auditable::{self, Inventory};
use rap_image::deb::Contents;
use rap_image::uki::Program;
use rap_image::{deb, elf, modules, sbom, verify};

/// Bytes of a package looked at: a bomb is stopped by whoever reads, here as there.
const MOST: u64 = 1 << 20;

pub(crate) fn deb(bytes: &[u8]) {
    let mut tar = Vec::new();
    if let Ok(data) = deb::data(bytes) {
        let _ = data.take(MOST).read_to_end(&mut tar);
    } else {
        // The tar inside is reached without a compressor's checksum too.
        tar = bytes.to_vec();
    }
    if let Ok(contents) = Contents::read(crate::file_of(&tar)) {
        let paths: Vec<_> = contents.paths().map(str::to_owned).collect();
        for path in paths.iter().take(16) {
            assert!(
                !path.starts_with('/') && path.split('/').all(|part| part != ".."),
                "{path}"
            );
            let _ = contents.content(path);
        }
    }
}

pub(crate) fn release(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for suite in &SUITES {
            let _ = Release::parse(suite, text);
        }
    }
}

pub(crate) fn packages(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for stanza in stanzas(text) {
        let _ = stanza.fields().count();
        let _ = stanza.lines("SHA256").count();
    }
    let mut index = Index::default();
    if index.add(&SUITES[0], text).is_ok() {
        let _ = (index.newest("a"), index.providers("a"));
    }
}

/// Three versions, one a line: the order is an order.
pub(crate) fn debian_version(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let [a, b, c] = [(); 3].map(|()| lines.next().unwrap_or_default());
    assert_eq!(compare(a, a), Ordering::Equal);
    assert_eq!(compare(a, b), compare(b, a).reverse());
    if compare(a, b).is_le() && compare(b, c).is_le() {
        assert!(compare(a, c).is_le());
    }
}

pub(crate) fn elf(bytes: &[u8]) {
    if elf::is_elf(bytes) {
        let _ = elf::needs(bytes);
    }
}

pub(crate) fn kernel_module(bytes: &[u8]) {
    let _ = modules::needs("m.ko", bytes);
    let _ = modules::needs("m.ko.xz", bytes);
}

pub(crate) fn uki(bytes: &[u8]) {
    if let Ok(program) = Program::parse(bytes) {
        let _ = program.check();
        let _ = (
            program.required(".linux"),
            program.is_signed(),
            program.authenticode(),
        );
    }
}

/// A partition of at most 64 KiB, as `rap-image verify` reads it.
pub(crate) fn fat(bytes: &[u8]) {
    let mut partition = bytes.to_vec();
    partition.resize(64 * 1024, 0);
    let _ = verify::file_in_partition(&crate::file_of(&partition), partition.len() as u64, "RAP.EFI");
}

/// A signature attached to a program: it is nobody's, whatever it says.
pub(crate) fn signature(bytes: &[u8]) {
    assert!(!rap_image::signing::is_right(bytes));
}

/// A program, and the section of crates on its own.
pub(crate) fn auditable(bytes: &[u8]) {
    let _ = (Inventory::of_program(bytes), auditable::compilers(bytes));
    if let Ok(inventory) = Inventory::decode(bytes) {
        let encoded = inventory.encode().unwrap();
        assert_eq!(Inventory::decode(&encoded).unwrap(), inventory);
    }
    let _ = auditable::attach(bytes, b"content");
}

/// A package's `copyright`: whatever it says, an expression has nothing in it that SPDX does not allow.
pub(crate) fn copyright(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(expression) = sbom::of_copyright(&text) {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " ()-.".contains(letter);
        assert!(expression.chars().all(is_plain), "{expression:?}");
    }
}
