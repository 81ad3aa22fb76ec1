//! What must hold, whatever happened: nothing acknowledged is lost, or comes in another order, or is reported lost when
//! it is not; what was passed does not come again; no more is used than configured.

use std::collections::{HashMap, HashSet};

use super::super::frame::{self, Kind, Owner};
use super::super::*;
use super::model::{Key, Model, key};
use super::sim::{Overwritten, SimDisk};

/// `Err` says which promise was broken.
pub(super) type Check = Result<(), String>;

impl Model {
    pub(super) fn check_always(&mut self) -> Check {
        let used = self.disk.used();
        ensure(used <= self.config.total, || {
            format!("{used} bytes on the disk, {} configured", self.config.total)
        })?;
        for lane in Lane::ALL {
            let losses = self.log().figures(lane).losses;
            ensure(self.harm.places > 0 || losses == Losses::default(), || {
                format!("{lane:?}: {losses:?} though nothing was damaged")
            })?;
        }
        for overwritten in self.disk.take_overwritten() {
            self.check_overwritten(&overwritten)?;
        }
        Ok(())
    }

    /// Nothing acknowledged is overwritten before the cursor on the platter has passed it.
    fn check_overwritten(&self, overwritten: &Overwritten) -> Check {
        let before = frames(&overwritten.before);
        let generation = |frames: &[(usize, frame::Frame<'_>)]| frames.iter().map(|f| f.1.generation).max();
        if generation(&before) == generation(&frames(&overwritten.after)) || self.harm.places > 0 {
            return Ok(());
        }
        for (_, frame) in before
            .iter()
            .filter(|(_, f)| Some(f.generation) == generation(&before))
        {
            let Owner::Lane(lane) = frame.owner else { continue };
            let cursor = format!("cursor-{}", lane.as_str());
            let platter = SimDisk::new(1, 1 << 20);
            let (_, passed) = match overwritten.cursors.get(&cursor) {
                Some(bytes) => {
                    drop(
                        platter
                            .create(&cursor)
                            .and_then(|()| platter.write(&cursor, 0, bytes)),
                    );
                    cursor::Cursor::read(&platter, cursor)
                }
                None => cursor::Cursor::read(&platter, cursor),
            };
            let acknowledged = self.frames[lane.index()].contains(&(frame.generation, frame.seq));
            ensure(!acknowledged || frame.seq <= passed, || {
                format!(
                    "{lane:?}: {} overwritten, the cursor on the disk is at {passed}",
                    frame.seq
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn check_centre(&self) -> Check {
        for lane in Lane::ALL {
            let mut known = HashSet::new();
            let fresh = |r: &&Record| known.insert(key(r));
            let first: Vec<&Record> = self.centre[lane.index()].iter().filter(fresh).collect();
            let place: HashMap<Key, usize> = first.iter().enumerate().map(|(i, r)| (key(r), i)).collect();
            let mut last: HashMap<&str, usize> = HashMap::new();
            for acknowledged in &self.acknowledged[lane.index()] {
                let buried = self.buried.iter().any(|(_, _, key)| key == acknowledged);
                let gone = buried || self.harm.records.contains(acknowledged);
                if gone {
                    continue;
                }
                let Some(index) = place.get(acknowledged) else {
                    return Err(format!("{lane:?}: {acknowledged:?} was acknowledged and is lost"));
                };
                let before = last.insert(&acknowledged.0, *index);
                ensure(before.is_none_or(|b| b < *index), || {
                    format!("{lane:?}: {acknowledged:?} overtook")
                })?;
            }
            if self.harm.places == 0 && !self.harm.opening {
                // What was buried and sent after all, because the cursor was lost, comes late.
                let sent = first
                    .into_iter()
                    .filter(|r| self.buried.iter().all(|(_, _, k)| *k != key(r)));
                check_numbers(lane, &self.centre[lane.index()], &sent.collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    pub(super) fn check_letters(&mut self) -> Check {
        if self.harm.places > 0 {
            return Ok(());
        }
        let letters = self
            .log()
            .dead_letters(0, usize::MAX)
            .map_err(|e| e.to_string())?;
        let count = self.log().dead_letter_count();
        ensure(count.kept == letters.len() as u64, || {
            format!("{count:?}, {} there", letters.len())
        })?;
        let there: Vec<_> = letters
            .iter()
            .map(|l| (l.lane.clone(), l.record.seq, key(&l.record)))
            .collect();
        let once: HashSet<_> = there.iter().collect();
        ensure(once.len() == there.len(), || {
            format!("a dead letter is there twice: {there:?}")
        })?;
        // A letter of a burial that failed may be there before those of one that did not: only the set counts.
        let gone = self.buried.iter().find(|letter| !there.contains(letter));
        ensure(gone.is_none() || count.dropped > 0, || {
            format!("{gone:?} was buried, {count:?}, there {there:?}")
        })
    }
}

/// Each sequence and each number means one report, and the reports come in their order.
fn check_numbers(lane: Lane, all: &[Record], first: &[&Record]) -> Check {
    let mut seqs = HashMap::new();
    let mut numbers = HashMap::new();
    for record in all {
        let same = *seqs.entry(record.seq).or_insert_with(|| key(record)) == key(record);
        let number = numbers
            .entry((&record.source, record.number))
            .or_insert_with(|| key(record));
        ensure(same && *number == key(record), || {
            format!(
                "{lane:?}: sequence {} or number {} was another report's",
                record.seq, record.number
            )
        })?;
    }
    let mut seq = 0;
    let mut last: HashMap<&str, u64> = HashMap::new();
    for record in first {
        let before = last.insert(&record.source, record.number).unwrap_or(0);
        ensure(before < record.number, || {
            format!("{lane:?}: number {} after {before}", record.number)
        })?;
        ensure(seq < record.seq, || {
            format!("{lane:?}: sequence {} after {seq}", record.seq)
        })?;
        seq = record.seq;
    }
    Ok(())
}

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// All whole frames of a segment with their offsets.
pub(super) fn frames(bytes: &[u8]) -> Vec<(usize, frame::Frame<'_>)> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match frame::decode(&bytes[at..]) {
            Some(frame) => {
                frames.push((at, frame));
                at += frame.size();
            }
            None => at += frame::ALIGN,
        }
    }
    frames
}

pub(super) fn record_of(frame: &frame::Frame<'_>) -> Option<Record> {
    match frame.kind {
        Kind::Record => payload::decode_record(frame.seq, frame.payload),
        Kind::Letter => payload::decode_letter(frame.payload).map(|(_, _, _, record)| record),
        Kind::Head | Kind::Summary | Kind::Confirm => None,
    }
}
