//! `[files]`: how much room instruments' data files may take.

use super::mistake::Fault;
use super::read::{At, Reader, Section};

/// When nothing is said.
const ROOM: u64 = 1 << 30;
/// The least room: an empty share is of no use.
const LEAST: u64 = 1 << 20;
/// The most, so that sums cannot overflow.
const MOST: u64 = 1 << 44;

/// `[files]`, all of it optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// `room = "1GiB"`: bytes of all ports' files together, shared out equally; fewer where the disk has no room.
    pub room: u64,
    /// `largest = "256MiB"`: bytes of one file; `None` for a port's share.
    pub largest: Option<u64>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            room: ROOM,
            largest: None,
        }
    }
}

/// Decodes the table, for so many ports.
pub(super) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>, ports: usize) -> Files {
    let mut files = Files::default();
    let Some(value) = root.table.get("files") else {
        return files;
    };
    let Some(table) = reader.section_of(value, "files") else {
        return files;
    };
    reader.refuse_unknown(table, "files", &["room", "largest"]);
    if let Some(room) = size(reader, table, "room", "\"1GiB\"") {
        files.room = room.value;
    }
    if let Some(largest) = size(reader, table, "largest", "\"256MiB\"") {
        let share = files.room / ports.max(1) as u64;
        if largest.value > share {
            let expected = format!("at most a port's share of room, {share} bytes");
            let fix = "make largest smaller, or room larger";
            let (at, found) = (largest.span.start, format!("{} bytes", largest.value));
            reader.note(Fault::Conflict, at, &largest.field, found, expected, fix);
        }
        files.largest = Some(largest.value);
    }
    files
}

/// A whole number and a unit, such as `"512MiB"`.
fn size(reader: &mut Reader<'_>, table: Section<'_>, key: &str, example: &str) -> Option<At<u64>> {
    let text = reader.optional(table, "files", key, example)?;
    let bytes = parse(&text.value).filter(|bytes| (LEAST..=MOST).contains(bytes));
    if bytes.is_none() {
        let fix = format!("write a whole number and KiB, MiB, GiB or TiB, such as {example}");
        reader.invalid(&text, "a size from 1MiB to 16TiB", &fix);
    }
    bytes.map(|bytes| text.with(bytes))
}

fn parse(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (digits, shift) = units
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), shift)))?;
    let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::tests::mistakes;
    use crate::site::{EXAMPLE, Site};

    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1MiB", 1 << 20), ("0 GiB", 0), ("16TiB", MOST), ("3KiB", 3072)] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "1",
            "MiB",
            "-1MiB",
            "+1MiB",
            "1.5GiB",
            "1MB",
            "99999999999TiB",
            "1GiB2",
        ] {
            assert_eq!(parse(text).filter(|b| *b > 0), None, "{text}");
        }
    }

    #[test]
    fn left_out_it_is_a_gibibyte() {
        let at = EXAMPLE.find("[files]").unwrap();
        let end = at + EXAMPLE[at..].find("[[trigger]]").unwrap();
        let text = EXAMPLE.replace(&EXAMPLE[at..end], "");
        let site = Site::parse(&text, Path::new("site.toml")).unwrap();
        assert_eq!(site.files, Files::default());
        let site = Site::parse(EXAMPLE, Path::new("site.toml")).unwrap();
        assert_eq!((site.files.room, site.files.largest), (2 << 30, Some(256 << 20)));
    }

    /// Expects exactly one mistake, of `fault`, whose text ends so.
    fn check(from: &str, to: &str, fault: Fault, expected: &str) {
        let found = mistakes(from, to);
        let kinds: Vec<Fault> = found.list.iter().map(|mistake| mistake.fault).collect();
        assert_eq!(kinds, [fault], "{found}");
        let end = format!(": {expected}\nsite.toml: 1 mistake");
        assert!(found.to_string().ends_with(&end), "{found}");
    }

    #[test]
    fn no_size() {
        check(
            "room = \"2GiB\"",
            "room = \"2GB\"",
            Fault::Invalid,
            "files.room: found \"2GB\", expected a size from 1MiB to 16TiB\n    fix: write a whole number and KiB, MiB, GiB \
             or TiB, such as \"1GiB\"",
        );
    }

    #[test]
    fn a_file_larger_than_a_share() {
        check(
            "largest = \"256MiB\"",
            "largest = \"2GiB\"",
            Fault::Conflict,
            "files.largest: found 2147483648 bytes, expected at most a port's share of room, 1073741824 bytes\n    fix: make \
             largest smaller, or room larger",
        );
    }

    #[test]
    fn a_field_nobody_reads() {
        check(
            "largest = \"256MiB\"",
            "large = \"256MiB\"",
            Fault::Unknown,
            "files.large: found a field that nobody reads, expected one of room, largest\n    fix: did you mean largest? \
             otherwise remove it",
        );
    }
}
