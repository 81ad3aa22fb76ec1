//! Reading a trail again, or a copy of it, and holding every record against the one before it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;

use super::disk::{Directory, Folder};
use super::record::{Link, Record};
use super::store::{self, Room};

/// The most breaks that are told.
const MOST: usize = 100;

/// What is in a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Records that are there.
    pub records: u64,
    /// The numbers of the first and the last.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// The digest of the last one: whoever has seen it elsewhere knows that nothing was cut off.
    pub head: String,
    /// Where the chain is broken, and how. Empty is what it should be.
    pub breaks: Vec<String>,
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

/// Holds the records of a copy against one another: whoever had them, in whatever order, twice or more. A record is
/// looked for from the first `<` of a line on.
pub fn copy<'a>(lines: impl Iterator<Item = &'a str>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut records: BTreeMap<u64, (Record, &str)> = BTreeMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let line = line.find('<').map_or(line, |at| &line[at..]);
        let Some(record) = Record::parse(line) else {
            let shown: String = line.chars().take(80).collect();
            verdict.complain(format!("this is no record: {shown}"));
            continue;
        };
        let number = record.link.number;
        match records.entry(number) {
            Entry::Vacant(entry) => drop(entry.insert((record, line))),
            Entry::Occupied(entry) if entry.get().1 == line => {}
            Entry::Occupied(_) => {
                verdict.complain(format!("record {number} is there twice, and each is another"))
            }
        }
    }
    let mut expected = Link::first();
    for (record, line) in records.values() {
        let Link { number, before } = record.link;
        if number > expected.number {
            verdict.complain(format!(
                "records {} to {} are missing",
                expected.number,
                number - 1
            ));
        } else if before != expected.before {
            verdict.complain(format!(
                "record {number} does not follow the one before it: one of them was changed"
            ));
        }
        expected = record.link.after(line.as_bytes());
    }
    verdict.records = records.len() as u64;
    verdict.first = records.keys().next().copied().unwrap_or_default();
    verdict.last = records.keys().next_back().copied().unwrap_or_default();
    if !records.is_empty() {
        verdict.head = expected.before.to_string();
    }
    verdict
}

impl Verdict {
    fn complain(&mut self, what: String) {
        if self.breaks.len() < MOST {
            self.breaks.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Kind};
    use super::super::record::Origin;
    use super::*;

    fn lines(count: u64) -> Vec<String> {
        let mut link = Link::first();
        let origin = Origin {
            wall: "2026-11-28T18:00:00Z".to_owned(),
            host: "box1".to_owned(),
            service: "netd".to_owned(),
        };
        let line = |number| {
            let event = Event::new(Kind::SiteKept, format!("number {number}"));
            let line = Record::new(link, origin.clone(), event).line();
            link = link.after(line.as_bytes());
            line
        };
        (1..=count).map(line).collect()
    }

    fn breaks(lines: &[String]) -> Vec<String> {
        copy(lines.iter().map(String::as_str)).breaks
    }

    #[test]
    fn a_copy_may_have_records_twice_and_in_another_order() {
        let mut all = lines(5);
        let head = copy(all.iter().map(String::as_str)).head;
        all.extend_from_within(2..4);
        all.reverse();
        all[0].insert_str(0, "2026-11-28T18:00:00 box1 ");
        let verdict = copy(all.iter().map(String::as_str));
        assert_eq!((verdict.records, verdict.first, verdict.last), (5, 1, 5));
        assert_eq!((verdict.breaks, verdict.head), (Vec::new(), head));
        assert_eq!(copy([].into_iter()), Verdict::default());
    }

    #[test]
    fn what_is_missing_changed_or_no_record_is_told() {
        let all = lines(5);
        let mut fewer = all.clone();
        fewer.drain(1..3);
        assert_eq!(breaks(&fewer), ["records 2 to 3 are missing"]);
        let mut changed = all.clone();
        changed[1] = changed[1].replace("number 2", "number 7");
        assert_eq!(
            breaks(&changed),
            ["record 3 does not follow the one before it: one of them was changed"]
        );
        changed.push(all[1].clone());
        assert_eq!(
            breaks(&changed)[0],
            "record 2 is there twice, and each is another"
        );
        assert_eq!(
            breaks(&[all[0].clone(), "hello".to_owned()]),
            ["this is no record: hello"]
        );
    }
}
