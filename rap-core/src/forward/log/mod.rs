//! The durable log: what was acknowledged is in it until the service centre's receipt says otherwise.
//!
//! A directory of segments of equal size, zero-filled and synced before use and recycled afterwards. A segment
//! belongs to one lane at a time; its frames say which, and in which generation of the segment (see `frame`). Each
//! lane has a cursor (see `cursor`).
//!
//! Invariants
//! - [`Log::append`] returns `Ok` only after `fdatasync` of everything it was given.
//! - After a failed write or sync the segment is sealed at the last good frame and never written again in that
//!   generation: the same pages are not retried, because the kernel may have marked them clean.
//! - A segment is reused only after the cursor that passes it is synced.
//! - Opening succeeds whatever the content is: damage is skipped exactly, reported, and everything whole is kept.
//! - Sequences within a lane and numbers within a source and lane only grow, also over a restart.
//! - Bounded: at most [`Config::total`] bytes; a tenth of it can only be taken by alerts.

mod cursor;
mod frame;
mod scan;
#[cfg(test)]
mod sim;
mod space;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use self::cursor::Cursor;
use self::frame::{Frame, Kind};
use self::space::Space;
pub use self::storage::{Disk, Storage};
use super::lane::Lane;

/// How much room the log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of one segment; more than the largest report needs.
    pub segment: u64,
    /// Bytes of all segments together, lowered at start to what the disk has room for.
    pub total: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment: 4 * 1024 * 1024,
            total: 256 * 1024 * 1024,
        }
    }
}

/// A report to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The port it came from, as the event's `source`.
    pub source: String,
    /// The event's id.
    pub id: String,
    /// When it came, milliseconds since 1970-01-01 UTC by the box's clock.
    pub received: u64,
    /// The event as JSON.
    pub event: Vec<u8>,
}

/// A report in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its sequence in the lane.
    pub seq: u64,
    /// Its number among the reports of its source in this lane, from 1; gaps are numbers never acknowledged.
    pub number: u64,
    /// When it came, milliseconds since 1970-01-01 UTC by the box's clock.
    pub received: u64,
    /// The event's `source`.
    pub source: String,
    /// The event's id.
    pub id: String,
    /// The event as JSON.
    pub event: Vec<u8>,
}

/// Some undelivered reports, oldest first, and where the log goes on behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The reports.
    pub records: Vec<Record>,
    next: Position,
}

impl Batch {
    /// Keeps only the first `count` reports.
    pub fn truncate(&mut self, count: usize) {
        if count < self.records.len() {
            self.records.truncate(count);
            // Where the kept ones end is not known; reading again from the start of the batch skips them by sequence.
            self.next = Position::default();
        }
    }
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be read or the cursor not made.
    #[error("the log's directory cannot be used")]
    Directory(#[source] io::Error),
}

/// Why reports were not taken. Nobody must be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room for this lane until something is delivered.
    #[error("the log is full")]
    Full,
    /// A report larger than a segment.
    #[error("the report is larger than {limit} bytes")]
    TooLarge {
        /// The most that fits.
        limit: u64,
    },
    /// The disk failed; the segment is sealed and the next attempt uses another.
    #[error("the disk refused to store")]
    Storage(#[source] io::Error),
}

/// A place in a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    generation: u64,
    offset: u64,
}

#[derive(Debug)]
struct Segment {
    name: String,
    generation: u64,
    end: u64,
    last_seq: u64,
    sealed: bool,
}

#[derive(Debug)]
struct LaneLog {
    segments: VecDeque<Segment>,
    cursor: Cursor,
    delivered: u64,
    /// What the cursor on the disk says; segments up to here may be reused.
    durable: u64,
    position: Position,
    next_seq: u64,
    waiting: u64,
    numbers: BTreeMap<String, u64>,
}

/// The log of both lanes. One owner writes; reading goes through the same owner.
pub struct Log {
    storage: Box<dyn Storage>,
    config: Config,
    space: Space,
    lanes: [LaneLog; 2],
    next_generation: u64,
}

impl Log {
    /// Opens the log, or makes an empty one.
    ///
    /// # Errors
    /// When the directory itself cannot be used; never because of what is in it.
    pub fn open(storage: Box<dyn Storage>, config: Config) -> Result<Self, OpenError> {
        let mut space = Space::open(storage.as_ref(), &config).map_err(OpenError::Directory)?;
        let mut numbers = scan::Numbers::default();
        let mut found = Vec::new();
        for name in space.take_all() {
            match scan::segment(storage.as_ref(), &name, &mut numbers) {
                Ok(Some(segment)) => found.push((name, segment)),
                Ok(None) => space.give_back(name),
                Err(error) => log::error!("segment {name} cannot be read and is left alone: {error}"),
            }
        }
        found.sort_by_key(|(_, segment)| segment.generation);
        let next_generation = found.last().map_or(1, |(_, s)| s.generation + 1);
        let mut lanes = Vec::new();
        for (lane, numbers) in Lane::ALL.into_iter().zip(numbers) {
            let (cursor, delivered) = Cursor::open(storage.as_ref(), format!("cursor-{}", lane.as_str()))
                .map_err(OpenError::Directory)?;
            let (of_lane, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, s)| s.lane == lane);
            found = rest;
            let log = LaneLog::recover(storage.as_ref(), lane, of_lane, cursor, delivered, numbers);
            lanes.push(log);
        }
        let lanes: [LaneLog; 2] = lanes
            .try_into()
            .map_err(|_| OpenError::Directory(io::Error::other("two lanes expected")))?;
        let mut log = Self {
            storage,
            config,
            space,
            lanes,
            next_generation,
        };
        for lane in Lane::ALL {
            log.release(lane);
        }
        let held = log.lanes[Lane::Alert.index()].segments.len();
        log.space.prepare(log.storage.as_ref(), held);
        Ok(log)
    }

    /// Appends all of `records` in order and returns when they are durable.
    ///
    /// # Errors
    /// Then nobody may be acknowledged, though some of the records may be in the log and be delivered.
    pub fn append(&mut self, lane: Lane, records: Vec<NewRecord>) -> Result<(), AppendError> {
        let mut rest: VecDeque<NewRecord> = records.into();
        while let Some(first) = rest.front() {
            let size = frame::size(frame::record_size(&first.source, &first.id, &first.event)) as u64;
            self.make_room(lane, size)?;
            self.write_group(lane, &mut rest)?;
        }
        Ok(())
    }

    /// The oldest undelivered reports of a lane: at most `count`, and no more than `bytes` of events unless the first
    /// alone is larger.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn peek(&self, lane: Lane, count: usize, bytes: usize) -> io::Result<Batch> {
        let log = &self.lanes[lane.index()];
        let mut records = Vec::new();
        let mut size = 0;
        let mut next = log.position;
        for segment in &log.segments {
            if segment.generation < log.position.generation || segment.last_seq <= log.delivered {
                continue;
            }
            let from = if segment.generation == log.position.generation {
                log.position.offset
            } else {
                0
            };
            let storage = self.storage.as_ref();
            let take = |record: Record, behind: u64| {
                if record.seq <= log.delivered {
                    return true;
                }
                size += record.event.len();
                if records.len() == count || (size > bytes && !records.is_empty()) {
                    return false;
                }
                records.push(record);
                next = Position {
                    generation: segment.generation,
                    offset: behind,
                };
                true
            };
            if !scan::records(
                storage,
                &segment.name,
                segment.generation,
                from,
                segment.end,
                take,
            )? {
                break;
            }
        }
        Ok(Batch { records, next })
    }

    /// Moves the cursor behind `batch`, which has the service centre's receipt.
    ///
    /// # Errors
    /// When the cursor could not be made durable: delivery goes on, and after a restart the batch is sent again.
    pub fn advance(&mut self, lane: Lane, batch: &Batch) -> io::Result<()> {
        let log = &mut self.lanes[lane.index()];
        let Some(last) = batch.records.last() else {
            return Ok(());
        };
        log.delivered = last.seq.max(log.delivered);
        log.position = batch.next.max(log.position);
        log.waiting = log.waiting.saturating_sub(batch.records.len() as u64);
        log.cursor.store(self.storage.as_ref(), log.delivered)?;
        log.durable = log.delivered;
        self.release(lane);
        Ok(())
    }

    /// Undelivered reports in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> u64 {
        self.lanes[lane.index()].waiting
    }

    fn make_room(&mut self, lane: Lane, size: u64) -> Result<(), AppendError> {
        let log = &self.lanes[lane.index()];
        let segment = self.config.segment;
        if let Some(active) = log.segments.back()
            && !active.sealed
            && active.end + size <= segment
        {
            return Ok(());
        }
        let head = frame::encode_checkpoint(log.numbers.iter().map(|(s, n)| (s.as_str(), *n)));
        let limit = segment
            .saturating_sub(frame::size(head.len()) as u64)
            .min(frame::MAX as u64);
        if size > limit {
            return Err(AppendError::TooLarge { limit });
        }
        let alerts_hold = self.lanes[Lane::Alert.index()].segments.len();
        let name = self
            .space
            .take(self.storage.as_ref(), lane, alerts_hold)
            .ok_or(AppendError::Full)?;
        let log = &mut self.lanes[lane.index()];
        if let Some(active) = log.segments.back_mut() {
            active.sealed = true;
        }
        log.segments.push_back(Segment {
            name,
            generation: self.next_generation,
            end: 0,
            last_seq: 0,
            sealed: false,
        });
        self.next_generation += 1;
        self.release(lane);
        Ok(())
    }

    /// Writes as many of `rest` as fit into the active segment, and syncs.
    fn write_group(&mut self, lane: Lane, rest: &mut VecDeque<NewRecord>) -> Result<(), AppendError> {
        let log = &mut self.lanes[lane.index()];
        let Some(active) = log.segments.back_mut() else {
            return Err(AppendError::Full);
        };
        let mut buffer = Vec::new();
        let mut put = |kind, seq, payload: &[u8]| {
            let frame = Frame {
                lane,
                kind,
                generation: active.generation,
                seq,
                payload,
            };
            frame::encode(&mut buffer, &frame);
            buffer.len() as u64
        };
        let mut size = 0;
        if active.end == 0 {
            let head = frame::encode_checkpoint(log.numbers.iter().map(|(s, n)| (s.as_str(), *n)));
            size = put(Kind::Checkpoint, log.next_seq, &head);
        }
        let mut count = 0;
        while let Some(first) = rest.front() {
            let needed = frame::size(frame::record_size(&first.source, &first.id, &first.event)) as u64;
            if active.end + size + needed > self.config.segment {
                break;
            }
            let Some(new) = rest.pop_front() else { break };
            let number = log.numbers.entry(new.source.clone()).or_default();
            *number += 1;
            let record = new.numbered(log.next_seq, *number);
            size = put(Kind::Record, record.seq, &frame::encode_record(&record));
            log.next_seq += 1;
            count += 1;
        }
        let written = self
            .storage
            .write(&active.name, active.end, &buffer)
            .and_then(|()| self.storage.sync(&active.name));
        if let Err(error) = written {
            active.sealed = true;
            return Err(AppendError::Storage(error));
        }
        active.end += size;
        active.last_seq = log.next_seq - 1;
        log.waiting += count;
        Ok(())
    }

    /// Gives back the segments a durable cursor has passed, except the one being written.
    fn release(&mut self, lane: Lane) {
        let log = &mut self.lanes[lane.index()];
        while let Some(first) = log.segments.front()
            && first.last_seq <= log.durable
            && first.sealed
            && log.segments.len() > 1
        {
            if let Some(segment) = log.segments.pop_front() {
                self.space.give_back(segment.name);
            }
        }
    }
}

impl LaneLog {
    fn recover(
        storage: &dyn Storage,
        lane: Lane,
        found: Vec<(String, scan::Found)>,
        cursor: Cursor,
        delivered: u64,
        numbers: BTreeMap<String, u64>,
    ) -> Self {
        let mut segments = VecDeque::new();
        let mut waiting = 0;
        let mut next_seq = delivered + 1;
        for (name, segment) in found {
            let last_seq = segment.seqs.last().copied().unwrap_or(0);
            let undelivered = segment.seqs.iter().filter(|seq| **seq > delivered).count() as u64;
            for range in segment.damaged.iter().filter(|_| undelivered > 0) {
                log::error!(
                    "{} log: bytes {} to {} of {name} are damaged and skipped; everything else is kept",
                    lane.as_str(),
                    range.start,
                    range.end,
                );
            }
            waiting += undelivered;
            next_seq = next_seq.max(last_seq + 1);
            segments.push_back(Segment {
                name,
                generation: segment.generation,
                end: segment.end,
                last_seq,
                sealed: true,
            });
        }
        // What a killed process wrote but did not sync is read from the page cache: make it durable before it counts.
        if let Some(active) = segments.back_mut() {
            active.sealed = storage.sync(&active.name).is_err();
        }
        Self {
            segments,
            cursor,
            delivered,
            durable: delivered,
            position: Position::default(),
            next_seq,
            waiting,
            numbers,
        }
    }
}

impl NewRecord {
    fn numbered(self, seq: u64, number: u64) -> Record {
        Record {
            seq,
            number,
            received: self.received,
            source: self.source,
            id: self.id,
            event: self.event,
        }
    }
}
