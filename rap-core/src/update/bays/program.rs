//! The UKI in a slot: how long it is and what it says of itself, from its headers alone ("PE Format", Microsoft).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, ensure};

use crate::boot::disk::SLOT_BYTES;

/// All headers lie within the first page of a UKI of ours.
const HEADERS: usize = 4096;
const SECTION_HEADER: usize = 40;
/// Bytes of `.osrel` that are read, at most.
const OSREL: usize = 4096;

/// What a UKI is.
#[derive(Debug)]
pub(super) struct Program {
    /// Its length, with its signature.
    pub(super) bytes: u64,
    /// `BUILD_ID` of its `.osrel`.
    pub(super) build_id: Option<String>,
    /// `VERSION_ID` of its `.osrel`.
    pub(super) version: Option<String>,
}

/// Reads the headers of the UKI at `start`.
pub(super) fn read(slot: &File, start: u64) -> anyhow::Result<Program> {
    let mut headers = vec![0; HEADERS];
    slot.read_exact_at(&mut headers, start)?;
    let number = |at: usize, width: usize| {
        let bytes = headers.get(at..at.checked_add(width)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let not = "the slot holds no program";
    ensure!(headers.starts_with(b"MZ"), not);
    let pe = usize::try_from(number(0x3c, 4).context(not)?)?;
    ensure!(headers.get(pe..pe.saturating_add(4)) == Some(b"PE\0\0"), not);
    let sections = number(pe + 6, 2).context(not)?;
    let table = pe + 24 + usize::try_from(number(pe + 20, 2).context(not)?)?;
    let (mut bytes, mut osrel) = (0, None);
    for section in 0..usize::try_from(sections)? {
        let at = table + section * SECTION_HEADER;
        let name = headers.get(at..at + 8).context(not)?;
        let raw = (number(at + 20, 4).context(not)?, number(at + 16, 4).context(not)?);
        if name.starts_with(b".osrel\0") {
            let content = number(at + 8, 4).context(not)?.min(raw.1);
            osrel = Some((raw.0, usize::try_from(content)?.min(OSREL)));
        }
        bytes = bytes.max(raw.0 + raw.1);
    }
    // The signature: the fifth data directory, 112 bytes into the optional header of PE32+.
    let entry = pe + 24 + 112 + 4 * 8;
    let signature = number(entry, 4).context(not)? + number(entry + 4, 4).context(not)?;
    let bytes = bytes.max(signature);
    ensure!(bytes > 0 && bytes < SLOT_BYTES, not);
    let mut text = Vec::new();
    if let Some((at, length)) = osrel {
        text.resize(length, 0);
        slot.read_exact_at(&mut text, start + at)?;
    }
    let text = String::from_utf8_lossy(&text);
    let field = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let clean = line.filter(|value| value.len() <= 64 && value.bytes().all(|b| b.is_ascii_graphic()));
        clean.map(str::to_owned)
    };
    Ok(Program {
        bytes,
        build_id: field("BUILD_ID"),
        version: field("VERSION_ID"),
    })
}
