//! What a UKI says of itself, from its first bytes and its section `.osrel`: how long it is and which image is in it.
//!
//! Whether the rest of it is whole only its digest says. Everything here was read from a disk and may be anything:
//! nothing is believed that does not lie within [`LONGEST`].
//!
//! Sources: Microsoft's "PE Format" ("COFF File Header", "Optional Header", "Section Table"); UAPI.5 (`.osrel`);
//! os-release(5).

use std::ops::Range;

use super::disk::SLOT_BYTES;

/// Bytes of a UKI's beginning that hold its headers: what [`Headers::parse`] is given.
pub const HEAD: usize = 4096;
/// Bytes of a UKI, at most: it has to fit into a slot.
pub const LONGEST: u64 = SLOT_BYTES;
/// Bytes of `.osrel`, at most.
pub const RELEASE_LIMIT: u64 = 4096;

const SECTION_HEADER: usize = 40;
/// Of the optional header: how many data directories follow, and where the fifth, the signature's, is.
const DIRECTORIES_AT: usize = 108;
const SIGNATURE_AT: usize = 144;

/// Why bytes are no UKI of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UkiError {
    /// Not a PE32+ program, or a damaged one.
    #[error("no program that firmware starts: {0}")]
    NotPe(&'static str),
    /// No `.osrel`, or one that does not say which image it is.
    #[error("a program that does not say which image it is: {0}")]
    NoRelease(&'static str),
}

/// What the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// How long the file is, with its signature.
    pub bytes: u64,
    /// Where `.osrel` is in it; at most [`RELEASE_LIMIT`] bytes.
    pub release: Range<u64>,
}

impl Headers {
    /// Reads the first [`HEAD`] bytes of a file.
    ///
    /// # Errors
    /// When they are no PE32+ program's, a section lies outside of what a slot can hold, or `.osrel` is missing or too
    /// long.
    pub fn parse(head: &[u8; HEAD]) -> Result<Self, UkiError> {
        if head[..2] != *b"MZ" {
            return Err(UkiError::NotPe("it does not begin with MZ"));
        }
        let cut = UkiError::NotPe("its headers are longer than 4096 bytes");
        let pe = usize::try_from(number(head, 0x3c).ok_or(cut)?).map_err(|_| cut)?;
        let coff = head.get(pe..).ok_or(cut)?;
        if coff.get(..4) != Some(b"PE\0\0") || short(coff, 24) != Some(0x20b) {
            return Err(UkiError::NotPe("no PE32+ header"));
        }
        let optional = &coff[24..];
        let length = usize::from(short(coff, 20).ok_or(cut)?);
        let table = optional.get(length..).ok_or(cut)?;
        let count = usize::from(short(coff, 6).ok_or(cut)?);
        let sections = table.get(..count * SECTION_HEADER).ok_or(cut)?;
        let mut end = HEAD as u64;
        let mut release = None;
        for section in sections.chunks_exact(SECTION_HEADER) {
            let raw = range(section, 20, 16).ok_or(cut)?;
            end = end.max(raw.end);
            if section.starts_with(b".osrel\0\0") {
                let meant = u64::from(number(section, 8).ok_or(cut)?);
                release = Some(raw.start..raw.end.min(raw.start + meant));
            }
        }
        if number(optional, DIRECTORIES_AT).is_some_and(|count| count > 4) && length >= SIGNATURE_AT + 8 {
            end = end.max(range(optional, SIGNATURE_AT, SIGNATURE_AT + 4).ok_or(cut)?.end);
        }
        if end > LONGEST {
            return Err(UkiError::NotPe("its sections are longer than a slot"));
        }
        let release = release.ok_or(UkiError::NoRelease("no section .osrel"))?;
        if release.end - release.start > RELEASE_LIMIT {
            return Err(UkiError::NoRelease("its .osrel is longer than 4096 bytes"));
        }
        Ok(Self { bytes: end, release })
    }
}

/// Which image a UKI is, as its `.osrel` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// [`BuildInfo::build_id`](crate::build_info::BuildInfo::build_id).
    pub build_id: String,
    /// [`BuildInfo::version`](crate::build_info::BuildInfo::version).
    pub version: String,
}

impl Release {
    /// Reads the content of `.osrel`.
    ///
    /// # Errors
    /// When it is no text, or does not have a `BUILD_ID` and a `VERSION_ID` of 1 to 64 printable characters.
    pub fn parse(content: &[u8]) -> Result<Self, UkiError> {
        let text = std::str::from_utf8(content).map_err(|_| UkiError::NoRelease("its .osrel is no text"))?;
        let field = |key: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            let value = value.trim_matches('"');
            let clean = !value.is_empty() && value.len() <= 64 && !value.contains(char::is_control);
            clean.then(|| value.to_owned())
        };
        Ok(Self {
            build_id: field("BUILD_ID").ok_or(UkiError::NoRelease("no BUILD_ID in its .osrel"))?,
            version: field("VERSION_ID").ok_or(UkiError::NoRelease("no VERSION_ID in its .osrel"))?,
        })
    }
}

/// The bytes from the number at `from`, as many as the number at `length`; an empty range where there are none.
fn range(bytes: &[u8], from: usize, length: usize) -> Option<Range<u64>> {
    let (from, length) = (u64::from(number(bytes, from)?), u64::from(number(bytes, length)?));
    Some(if length == 0 { 0..0 } else { from..from + length })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([found[0], found[1], found[2], found[3]]))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let found = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([found[0], found[1]]))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A program of `bytes` bytes in all that says it is the image `build_id`; `seed` decides the rest of it.
    pub(crate) fn program(build_id: &str, bytes: usize, seed: u64) -> Vec<u8> {
        let release = format!("ID=rap\nVERSION_ID=1.{seed}\nBUILD_ID={build_id}\n");
        let mut chance = seed | 1;
        let mut uki: Vec<u8> = std::iter::repeat_with(|| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance.to_le_bytes()[0]
        })
        .take(bytes)
        .collect();
        uki[..HEAD].fill(0);
        let mut put = |at: usize, value: &[u8]| uki[at..at + value.len()].copy_from_slice(value);
        put(0, b"MZ");
        put(0x3c, &[0x80]);
        put(0x80, b"PE\0\0");
        put(0x86, &[2, 0]);
        put(0x94, &[240, 0]);
        put(0x98, &[0x0b, 0x02]);
        put(0x98 + 108, &[16]);
        let mut section = |number: usize, name: &[u8], from: usize, length: usize, raw: usize| {
            let at = 0x98 + 240 + number * 40;
            put(at, name);
            put(at + 8, &u32::try_from(length).unwrap().to_le_bytes());
            put(at + 16, &u32::try_from(raw).unwrap().to_le_bytes());
            put(at + 20, &u32::try_from(from).unwrap().to_le_bytes());
        };
        section(0, b".osrel", 4096, release.len(), 512);
        section(1, b".linux", 4608, bytes - 4608, bytes - 4608);
        put(4096, &[0; 512]);
        put(4096, release.as_bytes());
        uki
    }

    fn head(uki: &[u8]) -> [u8; HEAD] {
        uki[..HEAD].try_into().unwrap()
    }

    #[test]
    fn a_program_says_how_long_it_is_and_which() {
        let id = "ab".repeat(32);
        let uki = program(&id, 10_000, 7);
        let headers = Headers::parse(&head(&uki)).unwrap();
        assert_eq!(headers.bytes, 10_000);
        let content = &uki[usize::try_from(headers.release.start).unwrap()..][..96];
        assert_eq!(headers.release.end - headers.release.start, content.len() as u64);
        let release = Release::parse(content).unwrap();
        assert_eq!((release.build_id, release.version), (id, "1.7".to_owned()));
    }

    #[test]
    fn a_signature_belongs_to_the_file() {
        let mut uki = head(&program("x", 10_000, 1));
        uki[0x98 + 144..][..8].copy_from_slice(&[0x10, 0x27, 0, 0, 0xe8, 3, 0, 0]);
        assert_eq!(Headers::parse(&uki).unwrap().bytes, 11_000);
    }

    #[test]
    fn what_is_none_says_why() {
        let good = head(&program("x", 10_000, 1));
        let with = |at: usize, value: &[u8]| {
            let mut bad = good;
            bad[at..at + value.len()].copy_from_slice(value);
            Headers::parse(&bad).unwrap_err().to_string()
        };
        assert!(with(0, b"ZM").contains("MZ"));
        assert!(with(0x98, b"\x0b\x01").contains("PE32+"));
        assert!(with(0x3c, &[255; 4]).contains("4096"));
        assert!(with(0x86, &[255; 2]).contains("4096"));
        assert!(with(0x98 + 240 + 40 + 19, &[0x7f]).contains("longer than a slot"));
        assert!(with(0x98 + 240, b".other").contains("no section .osrel"));
        assert!(with(0x98 + 240 + 8, &[0, 64, 0, 0, 0, 0, 0, 0, 0, 64]).contains("longer than 4096"));
        for (text, why) in [
            (&b"\xff"[..], "no text"),
            (b"VERSION_ID=1\n", "BUILD_ID"),
            (b"BUILD_ID=\nVERSION_ID=1\n", "BUILD_ID"),
            (b"BUILD_ID=x\n", "VERSION_ID"),
        ] {
            let found = Release::parse(text).unwrap_err().to_string();
            assert!(found.contains(why), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(changes in proptest::collection::vec((0..600_usize, any::<u8>()), 0..20)) {
            let mut bytes = head(&program("x", 10_000, 1));
            for (at, value) in changes {
                bytes[at] = value;
            }
            if let Ok(headers) = Headers::parse(&bytes) {
                prop_assert!(headers.bytes <= LONGEST);
                prop_assert!(headers.release.end - headers.release.start <= RELEASE_LIMIT);
            }
        }
    }
}
