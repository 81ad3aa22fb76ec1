//! A file on the box's disk: a page that says what it is and how far it came, then its bytes.
//!
//! ```text
//! 0     "RPD1", u32 CRC-32C of the rest, u32 length, JSON: source, digest, size, name, type, received
//! 2048  mark: "RPM1", u32 CRC-32C of the rest of its 512 bytes, u64 turn, u64 have, u64 first, u64 order,
//! 3072  mark       u32 CRC-32C of the bytes first..have, u8 phase, u8 0, u16 length and text of the reason
//! 4096  the file's bytes
//! ```
//! All integers little endian. The description is written once. Marks are written in turn, each with the bytes it is
//! about and before one sync for both: a mark holds when these bytes have its checksum, else the one before does.

use serde::{Deserialize, Serialize};

use super::label::{FileName, MediaType};
use crate::digest::Sha256;
use crate::forward::log::{crc32c, u32_at, u64_at};

/// Bytes before the file's own.
pub(super) const HEAD: usize = 4096;
/// Bytes of a mark.
const MARK: usize = 512;
/// Where the two marks are.
const PLACES: [usize; 2] = [2048, 3072];
/// Longest reason kept, in bytes.
const REASON: usize = 400;

/// What a file is; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Where it came from, `/SITE/PORT`.
    pub source: String,
    /// SHA-256 of all its bytes.
    pub digest: Sha256,
    /// How many bytes it has, at least 1.
    pub size: u64,
    /// Its name, for people.
    pub name: FileName,
    /// Its media type.
    pub media: MediaType,
    /// When its first bytes came, milliseconds since 1970-01-01 UTC by the box's clock.
    pub received: u64,
}

/// Where a file is between the instrument and the service centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It comes; all its bytes may be there, but not yet their digest.
    Part,
    /// It was acknowledged, and waits to be delivered.
    Whole,
    /// The service centre refused it.
    Refused,
}

/// How far a file came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Counts the marks of this file, from 1.
    pub(super) turn: u64,
    pub(super) phase: Phase,
    /// Bytes that are there.
    pub(super) have: u64,
    /// The bytes from here to `have` came with this mark.
    pub(super) first: u64,
    /// Their CRC-32C.
    pub(super) check: u32,
    /// Grows over all files of the box: who was first.
    pub(super) order: u64,
    /// Why it was refused.
    pub(super) reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDescription {
    source: String,
    digest: String,
    size: u64,
    name: String,
    r#type: String,
    received: u64,
}

impl Description {
    /// The page's beginning. With our own bounds on sources, names and types it fits; `None` when it does not.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let raw = RawDescription {
            source: self.source.clone(),
            digest: self.digest.to_string(),
            size: self.size,
            name: self.name.as_str().to_owned(),
            r#type: self.media.as_str().to_owned(),
            received: self.received,
        };
        let json = serde_json::to_vec(&raw).ok()?;
        let length = u32::try_from(json.len()).ok()?;
        let mut bytes = b"RPD1".to_vec();
        bytes.extend_from_slice(&crc32c(&[&length.to_le_bytes(), &json]).to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&json);
        (bytes.len() <= PLACES[0]).then_some(bytes)
    }

    /// Reads the page's beginning; `None` when it is damaged.
    pub(super) fn decode(page: &[u8]) -> Option<Self> {
        let (head, rest) = page.get(..PLACES[0])?.split_at(12);
        let json = rest.get(..usize::try_from(u32_at(head, 8)?).ok()?)?;
        if head[..4] != *b"RPD1" || u32_at(head, 4)? != crc32c(&[&head[8..], json]) {
            return None;
        }
        let raw: RawDescription = serde_json::from_slice(json).ok()?;
        // It stands in a header, and would end every request.
        let is_source = raw.source.starts_with('/') && raw.source.bytes().all(|b| b.is_ascii_graphic());
        Some(Self {
            source: is_source.then_some(raw.source)?,
            digest: raw.digest.parse().ok()?,
            size: Some(raw.size).filter(|size| (1..=super::MOST_BYTES).contains(size))?,
            name: FileName::new(raw.name).ok()?,
            media: raw.r#type.parse().ok()?,
            received: raw.received,
        })
    }
}

impl Mark {
    /// Where this mark is in the file.
    pub(super) fn place(&self) -> usize {
        PLACES[usize::from(self.turn.is_multiple_of(2))]
    }

    /// The mark of a file of `size` bytes after this one, about no bytes yet.
    pub(super) fn next(&self, order: u64) -> Self {
        Self {
            turn: self.turn + 1,
            phase: self.phase,
            have: self.have,
            first: self.have,
            check: crc32c(&[]),
            order,
            reason: String::new(),
        }
    }

    pub(super) fn encode(&self) -> [u8; MARK] {
        let reason = self.reason.as_bytes();
        let reason = &reason[..self.reason.floor_char_boundary(REASON)];
        let mut bytes = [0; MARK];
        bytes[..4].copy_from_slice(b"RPM1");
        for (at, number) in [
            (8, self.turn),
            (16, self.have),
            (24, self.first),
            (32, self.order),
        ] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&self.check.to_le_bytes());
        bytes[44] = self.phase.byte();
        // At most REASON.
        let length = u16::try_from(reason.len()).unwrap_or_default();
        bytes[46..48].copy_from_slice(&length.to_le_bytes());
        bytes[48..48 + reason.len()].copy_from_slice(reason);
        let check = crc32c(&[&bytes[8..]]);
        bytes[4..8].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], size: u64) -> Option<Self> {
        if bytes.get(..4)? != b"RPM1" || u32_at(bytes, 4)? != crc32c(&[&bytes[8..]]) {
            return None;
        }
        let length = usize::from(u16::from_le_bytes([bytes[46], bytes[47]]));
        let mark = Self {
            turn: u64_at(bytes, 8)?,
            phase: Phase::of(bytes[44])?,
            have: u64_at(bytes, 16)?,
            first: u64_at(bytes, 24)?,
            check: u32_at(bytes, 40)?,
            order: u64_at(bytes, 32)?,
            reason: String::from_utf8(bytes.get(48..48 + length)?.to_vec()).ok()?,
        };
        let possible = mark.first <= mark.have && mark.have <= size && mark.turn < u64::MAX / 2;
        let complete = mark.phase == Phase::Part || mark.have == size;
        (possible && complete && mark.order < u64::MAX / 2).then_some(mark)
    }

    /// The marks of a page, the newest first.
    pub(super) fn all(page: &[u8], size: u64) -> Vec<Self> {
        let mut marks: Vec<_> = PLACES
            .iter()
            .filter_map(|at| Self::decode(page.get(*at..at + MARK)?, size))
            .collect();
        marks.sort_by_key(|mark| std::cmp::Reverse(mark.turn));
        marks
    }
}

impl Phase {
    fn byte(self) -> u8 {
        match self {
            Self::Part => 0,
            Self::Whole => 1,
            Self::Refused => 2,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Part, Self::Whole, Self::Refused]
            .into_iter()
            .find(|phase| phase.byte() == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            source: "/lab/port1".to_owned(),
            digest: Sha256::of(b"x"),
            size: 7,
            name: FileName::new("\"\u{e9}".repeat(85)).unwrap(),
            media: MediaType::default(),
            received: 3,
        }
    }

    fn mark(turn: u64, phase: Phase, have: u64) -> Mark {
        Mark {
            turn,
            phase,
            have,
            first: 2,
            check: 9,
            order: 4,
            reason: "a reason".to_owned(),
        }
    }

    fn page(marks: &[Mark]) -> Vec<u8> {
        let mut page = description().encode().unwrap();
        page.resize(HEAD, 0);
        for mark in marks {
            page[mark.place()..mark.place() + MARK].copy_from_slice(&mark.encode());
        }
        page
    }

    #[test]
    fn what_was_written_is_read() {
        let marks = [mark(4, Phase::Refused, 7), mark(3, Phase::Part, 5)];
        let page = page(&marks);
        assert_eq!(Description::decode(&page), Some(description()));
        assert_eq!(Mark::all(&page, 7), marks);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let whole = page(&[mark(4, Phase::Whole, 7), mark(3, Phase::Part, 5)]);
        let length = description().encode().unwrap().len();
        for at in 0..length {
            let mut page = whole.clone();
            page[at] ^= 1;
            assert_eq!(Description::decode(&page), None, "byte {at}");
        }
        let newest = mark(4, Phase::Whole, 7).place();
        for at in newest..newest + MARK {
            let mut page = whole.clone();
            page[at] ^= 0x80;
            assert_eq!(Mark::all(&page, 7), [mark(3, Phase::Part, 5)], "byte {at}");
        }
        assert_eq!(Description::decode(&whole[..100]), None);
        assert!(Mark::all(&whole[..100], 7).is_empty());
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_no_source() {
        for source in ["", "lab/port1", "/lab/port 1", "/lab\r\nx: y", "/l\u{e4}b/port1"] {
            let mut wrong = description();
            wrong.source = source.to_owned();
            let mut page = wrong.encode().unwrap();
            page.resize(HEAD, 0);
            assert_eq!(Description::decode(&page), None, "{source:?}");
        }
    }

    #[test]
    fn impossible_marks_are_no_marks() {
        for wrong in [
            mark(1, Phase::Part, 8),
            mark(1, Phase::Part, 1),
            mark(1, Phase::Whole, 6),
            mark(u64::MAX, Phase::Part, 5),
        ] {
            assert!(
                Mark::all(&page(std::slice::from_ref(&wrong)), 7).is_empty(),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut long = mark(1, Phase::Refused, 7);
        long.reason = "x".to_owned() + &"€".repeat(300);
        let read = Mark::all(&page(std::slice::from_ref(&long)), 7).remove(0);
        assert!(long.reason.starts_with(&read.reason) && read.reason.len() > REASON - 3);
    }
}
