//! What the updater reads of a release, and what the desk reads of a kernel to make one.

use std::io::{Cursor, Read as _, Write as _};

use liblzma::write::XzEncoder;
use rap_core::digest::Sha256;
use rap_core::release::{File, Over, Patch};
use rap_core::update::apply::{ApplyError, Header, patched};
use rap_image::patch::kernel;

/// Bytes of the image that patches are applied to, and of the one they are to make.
const OLD: usize = 4096;
const NEW: u64 = 100_000;

/// A patch as it comes, and the bytes as instructions, which are reached without a compressor's checksums.
pub(crate) fn patch(bytes: &[u8]) {
    apply(bytes);
    let mut encoder = XzEncoder::new(Header { kernel: None }.bytes(), 0);
    encoder.write_all(bytes).unwrap();
    apply(&encoder.finish().unwrap());
}

fn apply(patch: &[u8]) {
    let old: Vec<u8> = (0..OLD).map(|at| at.to_le_bytes()[0]).collect();
    let new = File {
        bytes: NEW,
        sha256: Sha256::of(b"none of what comes out"),
    };
    // A header that asks for the packer's 800 MB is tried by unit tests; here its numbers are only held against the files.
    let said = |over| Patch {
        from: new.sha256,
        over,
        memory_mib: 1024,
        pieces: Vec::new(),
    };
    let raw = patched(&said(Over::Raw), patch, Cursor::new(&old), new);
    if let Ok(mut made) = raw {
        let mut out = Vec::new();
        let error = made.read_to_end(&mut out).unwrap_err();
        assert!(ApplyError::within(&error).is_some());
        assert!(out.len() as u64 <= NEW);
    }
    let _ = patched(&said(Over::UnpackedKernel), patch, Cursor::new(&old), new).is_ok();
}

/// A kernel, as the section of an image.
pub(crate) fn bzimage(bytes: &[u8]) {
    if let Ok(place) = kernel::payload(bytes) {
        assert!(place.end <= bytes.len());
    }
    let _ = kernel::find(bytes).is_ok();
}
