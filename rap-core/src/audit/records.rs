//! The trail for who carries it away: the records after a place, as far as they are on the medium.
//!
//! One user besides root is answered. Invariants: a record that a power cut could still take is not given out, so no copy
//! has a record that the trail has not; a batch is bounded; what is given out is a line as it was written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::disk::{Directory, Folder};
use super::record::{Link, Record};
use super::store::{self, Room};
use crate::control::{self, Answer, Asked, Guest};
use crate::digest::Sha256;
use crate::init::users;

/// The user who carries the trail away.
const CARRIER: &str = "rap-trail";
/// Whose group it has: that of the keys (`init::folders`).
const KEYS: &str = "rap-forward";
/// Records at once.
const MOST: usize = 128;
/// Bytes at once, about.
const ROOM: usize = 32 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The records from this place on: its number, and the digest of the line before it.
    From {
        /// The place.
        place: Link,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The place of the first line; the one that was asked for where there is none.
    pub(crate) from: Link,
    /// The records, in order.
    pub(crate) lines: Vec<String>,
    /// The place after the last line.
    pub(crate) next: Link,
    /// The numbers from the place that was asked for to the oldest record: they made room.
    pub(crate) gone: Option<(u64, u64)>,
    /// The trail is not the one that the place is of, and this is its beginning.
    pub(crate) anew: bool,
    /// The number of the last record on the medium.
    pub(crate) last: u64,
}

/// Answers at `socket` about the trail in `folder`; `last` is the number of the last record on the medium.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn answer_at(socket: &Path, folder: &Path, last: Arc<AtomicU64>) -> anyhow::Result<()> {
    let folder = Directory(folder.to_owned());
    let guest = || {
        let (user, group) = (users::lookup(CARRIER).ok()?.user, users::lookup(KEYS).ok()?.group);
        Some(Guest { user, group })
    };
    control::start_for("audit", socket, guest(), move |asked: Asked<Request>| {
        let Request::From { place } = asked.request;
        let batch = from(&folder, Room::default(), place, last.load(Ordering::Acquire));
        match batch.and_then(|batch| Ok(serde_json::to_value(batch)?)) {
            Ok(batch) => Answer::Done(batch),
            Err(error) => Answer::Refused(format!("the trail cannot be read: {error}")),
        }
    })
}

/// The records from `place` on to the one with the number `last`.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn from(folder: &impl Folder, room: Room, place: Link, last: u64) -> io::Result<Batch> {
    let none = Batch {
        from: place,
        lines: Vec::new(),
        next: place,
        gone: None,
        anew: false,
        last,
    };
    let files = store::files(folder)?;
    let Some(oldest) = files.first().copied() else {
        return Ok(none);
    };
    if place.number == last.saturating_add(1) {
        return Ok(none);
    }
    if place.number < oldest {
        let batch = collect(folder, room, &files, (oldest, None), none)?;
        return Ok(Batch {
            gone: Some((place.number, batch.from.number.saturating_sub(1))),
            ..batch
        });
    }
    if place.number <= last {
        let batch = collect(
            folder,
            room,
            &files,
            (place.number, Some(place.before)),
            none.clone(),
        )?;
        if batch.from == place {
            return Ok(batch);
        }
    }
    let batch = collect(folder, room, &files, (oldest, None), none)?;
    Ok(Batch { anew: true, ..batch })
}

/// Fills `batch` with the records from the number on. Where there is a digest, and it is not the one that the first record
/// has of the line before, none is taken.
fn collect(
    folder: &impl Folder,
    room: Room,
    files: &[u64],
    (from, before): (u64, Option<Sha256>),
    mut batch: Batch,
) -> io::Result<Batch> {
    let file = files.iter().rposition(|first| *first <= from).unwrap_or(0);
    let (mut bytes, mut before) = (0, before);
    batch.from.number = 0;
    for first in &files[file..] {
        let content = folder.read(&store::name(*first), store::whole(room))?;
        // What is no text is no record; what is no record any more is for `verify` to tell.
        let text = String::from_utf8_lossy(&content);
        for line in text.lines() {
            let Some(record) = Record::parse(line).filter(|record| record.link.number >= from) else {
                continue;
            };
            let full = batch.lines.len() == MOST || (bytes > 0 && bytes + line.len() > ROOM);
            let other = before.take().is_some_and(|before| before != record.link.before);
            if full || other || record.link.number > batch.last {
                return Ok(batch);
            }
            if batch.lines.is_empty() {
                batch.from = record.link;
            }
            bytes += line.len();
            batch.next = record.link.after(line.as_bytes());
            batch.lines.push(line.to_owned());
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Kind};
    use super::super::record::Origin;
    use super::super::store::Store;
    use super::super::store::sim::Sim;
    use super::*;

    const SMALL: Room = Room { file: 1000, files: 4 };

    fn origin() -> Origin {
        Origin {
            wall: "2026-11-28T18:00:00Z".to_owned(),
            host: "box1".to_owned(),
            service: "netd".to_owned(),
        }
    }

    fn trail(count: usize) -> (Sim, u64) {
        let disk = Sim::default();
        let mut store = Store::open(disk.clone(), SMALL, origin()).unwrap();
        for n in 0..count {
            store
                .append(origin(), Event::new(Kind::SiteKept, format!("number {n}")))
                .unwrap();
        }
        (disk, store.last())
    }

    /// Everything from `place` on, a batch after the other.
    fn all(disk: &Sim, mut place: Link, last: u64) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let batch = from(disk, SMALL, place, last).unwrap();
            if batch.lines.is_empty() {
                return lines;
            }
            lines.extend(batch.lines);
            place = batch.next;
        }
    }

    #[test]
    fn batches_go_on_where_the_one_before_ended() {
        let (disk, last) = trail(9);
        let whole = all(&disk, Link::first(), last);
        assert_eq!((whole.len() as u64, last), (9, 9));
        for (before, line) in whole.iter().enumerate() {
            let place = Record::parse(line).unwrap().link;
            assert_eq!(all(&disk, place, last), whole[before..]);
        }
    }

    #[test]
    fn what_is_not_on_the_medium_is_not_given_out() {
        let (disk, last) = trail(9);
        for known in 0..=last {
            assert_eq!(all(&disk, Link::first(), known).len() as u64, known);
        }
    }

    #[test]
    fn what_made_room_is_said_with_its_numbers() {
        let (disk, last) = trail(60);
        let batch = from(&disk, SMALL, Link::first(), last).unwrap();
        let (first, through) = batch.gone.unwrap();
        assert!(first == 1 && through > 1 && !batch.anew);
        assert_eq!(batch.from.number, through + 1);
        assert_eq!(batch.lines.len() as u64, last - through);
    }

    #[test]
    fn a_trail_that_is_another_one_is_given_from_its_beginning() {
        let (disk, last) = trail(5);
        // One that was longer, and one that went on otherwise.
        let longer = Link {
            number: 90,
            before: Sha256::of(b"x"),
        };
        let other = Link {
            number: 3,
            before: Sha256::of(b"x"),
        };
        for place in [longer, other] {
            let batch = from(&disk, SMALL, place, last).unwrap();
            assert!(batch.anew && batch.gone.is_none(), "{batch:?}");
            assert_eq!((batch.from, batch.lines.len()), (Link::first(), 5));
        }
        let (empty, _) = trail(0);
        assert!(from(&empty, SMALL, longer, 0).unwrap().lines.is_empty());
    }
}
