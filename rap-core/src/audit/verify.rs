//! Reading a trail again, and holding every record against the one before it.

use std::io;
use std::path::Path;

use super::disk::{Directory, Folder};
use super::record::{Link, Record};
use super::store::{self, Room};

/// The most breaks that are told.
const MOST: usize = 100;

/// What is in a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Verdict {
    /// Records that are there.
    pub(crate) records: u64,
    /// The numbers of the first and the last.
    pub(crate) first: u64,
    /// See `first`.
    pub(crate) last: u64,
    /// The digest of the last one: whoever has seen it elsewhere knows that nothing was cut off.
    pub(crate) head: String,
    /// Where the chain is broken, and how. Empty is what it should be.
    pub(crate) breaks: Vec<String>,
}

/// Reads the trail in `folder`: each record that can be read to `each`, in order; and whether the chain holds.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn read(folder: &Path, each: impl FnMut(&Record)) -> io::Result<Verdict> {
    check(&Directory(folder.to_owned()), Room::default(), each)
}

pub(super) fn check(folder: &impl Folder, room: Room, mut each: impl FnMut(&Record)) -> io::Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut expected: Option<Link> = None;
    // The digests before records that went, by the records that say so.
    let mut dropped: Vec<(u64, String)> = Vec::new();
    let mut begin: Option<Link> = None;
    for first in store::files(folder)? {
        let name = store::name(first);
        let content = folder.read(&name, store::whole(room))?;
        if expected.is_some_and(|link| link.number != first) {
            verdict.complain(format!("{name}: the records before {first} are missing"));
        }
        let mut rest = content.as_slice();
        let mut line_number = 0;
        while !rest.is_empty() {
            line_number += 1;
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = end.map_or((rest, &rest[rest.len()..]), |end| {
                (&rest[..end], &rest[end + 1..])
            });
            rest = after;
            let place = || format!("{name}, line {line_number}");
            let parsed = std::str::from_utf8(line).ok().and_then(Record::parse);
            let Some(record) = parsed.filter(|_| end.is_some()) else {
                verdict.complain(format!("{}: this is no record", place()));
                expected = expected.map(|link| link.after(line));
                continue;
            };
            begin.get_or_insert(record.link);
            match expected {
                Some(link) if link.number != record.link.number => verdict.complain(format!(
                    "{}: record {} where {} was expected",
                    place(),
                    record.link.number,
                    link.number
                )),
                Some(link) if link.before != record.link.before => verdict.complain(format!(
                    "{}: record {} does not follow the one before it: one of them was changed",
                    place(),
                    record.link.number
                )),
                _ => {}
            }
            if record.kind == "RECORDS-DROPPED" {
                let last = record.parameter("last").and_then(|last| last.parse().ok());
                let digest = record.parameter("digest").map(str::to_owned);
                dropped.extend(last.zip(digest));
            }
            verdict.records += 1;
            verdict.last = record.link.number;
            expected = Some(record.link.after(line));
            each(&record);
        }
    }
    if let Some(begin) = begin {
        verdict.first = begin.number;
        let explained = begin == Link::first()
            || dropped.iter().any(|(last, digest)| {
                last.checked_add(1) == Some(begin.number) && *digest == begin.before.to_string()
            });
        if !explained {
            verdict.complain(format!(
                "the trail begins with record {}, and no record says what became of those before it",
                begin.number
            ));
        }
    }
    verdict.head = expected.map(|link| link.before.to_string()).unwrap_or_default();
    Ok(verdict)
}

impl Verdict {
    fn complain(&mut self, what: String) {
        if self.breaks.len() < MOST {
            self.breaks.push(what);
        }
    }
}
