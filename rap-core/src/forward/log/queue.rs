//! What one owner has in the log, from the oldest undelivered record to the segment being written.
//!
//! Invariants
//! - Sequences only grow, also over a restart; within a segment none is left out when it is written.
//! - After a failed write or sync a segment is sealed at its last good frame: the same pages are not retried, because
//!   the kernel may have marked them clean.
//! - A segment is given back only when the cursor on the disk has passed it and a younger one is on the disk, whose head
//!   keeps the numbers.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;

use super::cursor::Cursor;
use super::entry::Entry;
use super::frame::{self, Frame, Kind, Owner};
use super::payload::{Head, Numbers};
use super::scan::{self, Stretch};
use super::segment::{Segment, overlap};
use super::storage::{Barrier, Storage};

/// Reads of the same place that may fail before it is stepped over.
const PATIENCE: u32 = 3;

/// A place in a queue: behind all records before `seq`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) generation: u64,
    pub(super) offset: u64,
    pub(super) seq: u64,
}

/// What was acknowledged and could not be read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Damaged places found since start.
    pub places: u64,
    /// Reports that were in them.
    pub reports: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) owner: Owner,
    pub(super) segments: VecDeque<Segment>,
    pub(super) cursor: Cursor,
    pub(super) delivered: u64,
    /// What the cursor on the disk says; segments up to here may be reused.
    pub(super) durable: u64,
    pub(super) position: Position,
    pub(super) next_seq: u64,
    /// The last sequence that was acknowledged.
    pub(super) acknowledged: u64,
    pub(super) numbers: Numbers,
    pub(super) losses: Losses,
    pub(super) unreadable: u32,
}

impl Queue {
    /// Undelivered records.
    pub(super) fn waiting(&self) -> u64 {
        self.segments.iter().map(|s| s.waiting(self.delivered)).sum()
    }

    /// Bytes of the undelivered records, frames and all; at start, before anything is delivered, also those delivered
    /// before of the same segment.
    pub(super) fn bytes(&self) -> u64 {
        let waiting = self.segments.iter().filter(|s| s.waiting(self.delivered) > 0);
        let behind = |s: &Segment| {
            let here = s.generation == self.position.generation;
            if here { self.position.offset } else { 0 }
        };
        waiting.map(|s| s.end.saturating_sub(behind(s))).sum()
    }

    /// Whether `size` bytes go into the segment being written.
    pub(super) fn has_room(&self, size: u64, capacity: u64) -> bool {
        self.segments
            .back()
            .is_some_and(|active| !active.sealed && active.end + size <= capacity)
    }

    /// The head the next segment would get.
    pub(super) fn head(&self) -> Vec<u8> {
        Head::encode(self.acknowledged, &self.numbers)
    }

    /// Seals the segment being written, which holds no more, and begins `name`, whose content is void from now on.
    pub(super) fn begin(&mut self, storage: &dyn Storage, name: String, generation: u64, size: u64) {
        if let Some(active) = self.segments.back_mut().filter(|s| !s.sealed) {
            active.sealed = true;
            active.summarize(storage, self.owner, size);
        }
        self.segments.push_back(Segment {
            name,
            generation,
            first: self.next_seq,
            last: self.next_seq - 1,
            end: 0,
            sealed: false,
            missing: Vec::new(),
        });
    }

    /// Writes as many of `rest` as fit into the segment being written, and syncs.
    pub(super) fn write_group(
        &mut self,
        storage: &dyn Storage,
        rest: &mut VecDeque<Entry>,
        capacity: u64,
    ) -> io::Result<()> {
        let head = self.head();
        let Some(active) = self.segments.back_mut() else {
            return Err(io::Error::other("no segment was begun"));
        };
        let mut buffer = Vec::new();
        let mut put = |kind, place, seq, payload: &[u8]| {
            let frame = Frame {
                owner: self.owner,
                kind,
                place,
                generation: active.generation,
                seq,
                payload,
            };
            frame::encode(&mut buffer, &frame);
            buffer.len() as u64
        };
        let mut size = 0;
        if active.end == 0 {
            size = put(Kind::Head, 0, self.next_seq, &head);
        }
        let mut place = 0_u16;
        while rest
            .front()
            .is_some_and(|e| active.end + size + e.size() <= capacity)
            && let Some(entry) = rest.pop_front()
        {
            let (kind, payload) = entry.encode(self.next_seq, &mut self.numbers);
            size = put(kind, place, self.next_seq, &payload);
            place = place.saturating_add(1);
            self.next_seq += 1;
        }
        let written = storage
            .write(&active.name, active.end, &buffer)
            .and_then(|()| storage.sync(&active.name, Barrier::Group));
        if let Err(error) = written {
            active.sealed = true;
            return Err(error);
        }
        active.end += size;
        active.last = self.next_seq - 1;
        active.confirm(storage, self.owner, capacity);
        self.acknowledged = active.last;
        Ok(())
    }

    /// Walks the records behind `floor`, calling `take` with each and the position behind it, until it says stop.
    ///
    /// Damage is stepped over, said once, and counted. A place the disk cannot read is an error first, because that
    /// may pass, and damage when it does not.
    pub(super) fn walk(
        &mut self,
        storage: &dyn Storage,
        floor: u64,
        mut take: impl FnMut(&Frame<'_>, Position) -> bool,
    ) -> io::Result<()> {
        let start = self.position;
        for index in 0..self.segments.len() {
            let segment = &self.segments[index];
            if segment.generation < start.generation || segment.last <= floor {
                continue;
            }
            let (from, mut next) = if segment.generation == start.generation {
                (start.offset, start.seq)
            } else {
                (0, segment.first)
            };
            let stretch = Stretch {
                name: &segment.name,
                generation: segment.generation,
                from,
                end: segment.end,
                around: self.unreadable >= PATIENCE,
            };
            let (mut gaps, mut behind) = (Vec::new(), from);
            let walked = scan::records(storage, stretch, |frame, at, end| {
                if frame.seq > next {
                    gaps.push((next..=frame.seq - 1, behind..at));
                }
                (next, behind) = (frame.seq + 1, end);
                let position = Position {
                    generation: frame.generation,
                    offset: end,
                    seq: next,
                };
                frame.seq <= floor || take(frame, position)
            });
            let all = match walked {
                Ok(all) => all,
                Err(error) => {
                    self.unreadable += 1;
                    return Err(error);
                }
            };
            if all && next <= segment.last {
                gaps.push((next..=segment.last, behind..segment.end));
            }
            for (gap, bytes) in gaps {
                let acknowledged = self.acknowledged;
                self.miss(index, &gap, &bytes, acknowledged);
            }
            if !all {
                break;
            }
        }
        Ok(())
    }

    /// Takes note that sequences of a segment are not there; those up to `acknowledged` are a loss.
    pub(super) fn miss(
        &mut self,
        index: usize,
        gap: &RangeInclusive<u64>,
        bytes: &std::ops::Range<u64>,
        acknowledged: u64,
    ) {
        let segment = &mut self.segments[index];
        let news = segment.miss(gap);
        let lost: u64 = news
            .iter()
            .map(|new| overlap(new, self.delivered + 1, acknowledged))
            .sum();
        if lost > 0 {
            self.losses.places += 1;
            self.losses.reports += lost;
            log::error!(
                "{} log: bytes {} to {} of {} are damaged, {lost} report(s) in them are lost; everything else is kept",
                self.owner.as_str(),
                bytes.start,
                bytes.end,
                segment.name,
            );
        }
    }

    /// Moves the cursor to `delivered`.
    pub(super) fn advance(&mut self, storage: &dyn Storage, delivered: u64) -> io::Result<()> {
        self.delivered = delivered.max(self.delivered);
        self.unreadable = 0;
        self.cursor.store(storage, self.delivered)?;
        self.durable = self.delivered;
        Ok(())
    }

    /// A segment whose first write failed, to be begun anew when there is no other.
    ///
    /// It is never given to another owner: after a power cut it may turn out that the write was whole.
    pub(super) fn failed(&mut self) -> Option<String> {
        let failed = self.segments.iter().position(|s| s.sealed && s.end == 0)?;
        self.segments.remove(failed).map(|segment| segment.name)
    }

    /// Segments a durable cursor has passed, except the last one that is on the disk.
    pub(super) fn release(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        let mut younger = false;
        for index in (0..self.segments.len()).rev() {
            let segment = &self.segments[index];
            let (passed, written) = (segment.last <= self.durable, segment.end > 0);
            if segment.sealed && passed && (younger || !written) {
                names.extend(self.segments.remove(index).map(|segment| segment.name));
            }
            younger |= written;
        }
        names.reverse();
        names
    }
}
