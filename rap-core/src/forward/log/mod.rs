//! The durable log: what was acknowledged is in it until the service centre's receipt says otherwise.
//!
//! A directory of segments of equal size, zero-filled and synced before use and recycled afterwards (`space`). A
//! segment belongs to one owner at a time, a lane or the dead letters; its frames say which, and in which generation
//! of the segment (`segment`, `frame`, `payload`). Each owner has a cursor (`cursor`) and its segments in order
//! (`queue`). Starting reads heads and summaries, and whole only what has none (`recover`).
//!
//! Invariants
//! - [`Log::append`] returns `Ok` only after `fdatasync` of everything it was given.
//! - What [`Log::advance`] returned `Ok` for is not peeked again, also after a restart, unless the cursor is damaged.
//! - After a failed write or sync the segment is sealed at the last good frame and never written again in that
//!   generation: the same pages are not retried, because the kernel may have marked them clean.
//! - A segment is reused only after the cursor that passes it is synced.
//! - Opening succeeds whatever the content is: damage is skipped exactly, reported, and everything whole is kept.
//! - Sequences within a lane and numbers within a source and lane only grow, also over a restart.
//! - Bounded: at most [`Config::total`] bytes; a tenth of it can only be taken by alerts, and one segment only by dead
//!   letters. What is needed of it is made before it is needed ([`Log::preparation`]).
//! - Each wait for the disk is needed: `tests::mutation` leaves out each in turn and sees one of these broken.
//!
//! Assumed of the disk: a sector of 512 bytes is written whole or not at all. Nothing is assumed of the order in which
//! sectors, sizes and names get there before a sync.

mod cursor;
mod dead;
mod entry;
mod frame;
mod payload;
mod queue;
mod recover;
mod scan;
mod segment;
mod space;
mod storage;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use self::cursor::Cursor;
pub use self::dead::{DeadLetter, DeadLetters};
use self::entry::Entry;
use self::frame::Owner;
pub(super) use self::frame::{crc32c, u32_at, u64_at};
use self::payload::FOOTER;
pub use self::queue::Losses;
use self::queue::{Position, Queue};
use self::space::Space;
pub use self::space::{Preparation, Prepared};
pub use self::storage::{Barrier, Disk, Storage};
use super::lane::Lane;

/// How much room the log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of one segment, a multiple of 4096; more than the largest report needs.
    pub segment: u64,
    /// Bytes of all files of the log together; fewer are used when the disk has no room.
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

impl Config {
    /// How many segments there may be, beside the cursors.
    fn segments(&self) -> usize {
        let cursors = (Owner::ALL.len() as u64 + 1) * cursor::FILE;
        usize::try_from(self.total.saturating_sub(cursors) / self.segment.max(1)).unwrap_or(usize::MAX)
    }

    /// Bytes of a segment that records may take.
    fn capacity(&self) -> u64 {
        self.segment.saturating_sub(FOOTER)
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
    /// Its number among the reports of its source in this lane, from 1; gaps are numbers never acknowledged, or
    /// reports lost with the part of the disk they were on.
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

/// Some undelivered reports, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The reports.
    pub records: Vec<Record>,
    /// For each report where the log goes on behind it.
    behind: Vec<Position>,
}

impl Batch {
    /// Keeps only the first `count` reports.
    pub fn truncate(&mut self, count: usize) {
        self.records.truncate(count);
        self.behind.truncate(count);
    }
}

/// What is in a lane, in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Undelivered reports.
    pub waiting: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Sequence of the last report that was acknowledged: how many were, since the log was made.
    pub taken: u64,
    /// Sequence up to which all is delivered or buried.
    pub passed: u64,
    /// What was acknowledged and found damaged since start.
    pub losses: Losses,
}

/// How much of its room the log uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the segments in use.
    pub used: u64,
    /// Bytes of all segments there may be at present, by the configuration and by the disk.
    pub limit: u64,
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be read.
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

/// The log of both lanes and the dead letters. One owner writes; reading goes through the same owner.
pub struct Log {
    storage: Arc<dyn Storage>,
    config: Config,
    space: Space,
    queues: [Queue; 3],
    next_generation: u64,
    /// Counts the starts, so that no generation is used twice: see `recover`.
    run: Cursor,
    /// Whether what was found at start is surely on the disk, and this start counted.
    settled: bool,
    /// Lane and sequence of the dead letters found at start, once somebody asked.
    found_letters: Option<Arc<HashSet<(Lane, u64)>>>,
}

impl Log {
    /// Opens the log, or makes an empty one.
    ///
    /// # Errors
    /// When the directory itself cannot be read; never because of what is in it, or because it is full.
    pub fn open(storage: Box<dyn Storage>, config: Config) -> Result<Self, OpenError> {
        let mut log = recover::open(Arc::from(storage), config).map_err(OpenError::Directory)?;
        if let Err(error) = log.settle() {
            log::warn!("the log takes no reports until the disk stores again: {error}");
        }
        log.prepare();
        for owner in Owner::ALL {
            let queue = &mut log.queues[owner.index()];
            // Read from the page cache after a kill, the cursor may not be on the disk.
            if let Err(error) = queue.advance(log.storage.as_ref(), queue.delivered) {
                log::warn!("the {} cursor cannot be stored: {error}", owner.as_str());
            }
            log.release(owner);
        }
        Ok(log)
    }

    /// Appends all of `records` in order and returns when they are durable.
    ///
    /// # Errors
    /// Then nobody may be acknowledged, though some of the records may be in the log and be delivered.
    pub fn append(&mut self, lane: Lane, records: Vec<NewRecord>) -> Result<(), AppendError> {
        let rest = records.into_iter().map(Entry::Report).collect();
        self.append_entries(Owner::Lane(lane), rest)
    }

    /// The oldest undelivered reports of a lane: at most `count`, and no more than `bytes` of events unless the first
    /// alone is larger.
    ///
    /// # Errors
    /// When the disk cannot be read. A place that stays unreadable is stepped over at the fourth attempt.
    pub fn peek(&mut self, lane: Lane, count: usize, bytes: usize) -> io::Result<Batch> {
        let queue = &mut self.queues[lane.index()];
        let mut batch = Batch::default();
        let mut size = 0;
        queue.walk(self.storage.as_ref(), queue.delivered, |frame, behind| {
            // A frame that passed its check and is no record was not written by this version: nobody can deliver it.
            let Some(record) = payload::decode_record(frame.seq, frame.payload) else {
                return true;
            };
            size += record.event.len();
            if batch.records.len() == count || (size > bytes && !batch.records.is_empty()) {
                return false;
            }
            batch.records.push(record);
            batch.behind.push(behind);
            true
        })?;
        Ok(batch)
    }

    /// Moves the cursor behind `batch`, which has the service centre's receipt.
    ///
    /// # Errors
    /// When the cursor could not be made durable: delivery goes on, and after a restart the batch is sent again.
    pub fn advance(&mut self, lane: Lane, batch: &Batch) -> io::Result<()> {
        let (Some(last), Some(behind)) = (batch.records.last(), batch.behind.last()) else {
            return Ok(());
        };
        let queue = &mut self.queues[lane.index()];
        queue.position = queue.position.max(*behind);
        let stored = queue.advance(self.storage.as_ref(), last.seq);
        self.release(Owner::Lane(lane));
        stored
    }

    /// Undelivered reports in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> u64 {
        self.queues[lane.index()].waiting()
    }

    /// What is in a lane.
    #[must_use]
    pub fn figures(&self, lane: Lane) -> Figures {
        let queue = &self.queues[lane.index()];
        Figures {
            waiting: queue.waiting(),
            bytes: queue.bytes(),
            taken: queue.acknowledged,
            passed: queue.delivered,
            losses: queue.losses,
        }
    }

    /// How much of its room the log uses.
    #[must_use]
    pub fn room(&self) -> Room {
        let held: usize = self.held().iter().sum();
        let bytes = |segments: usize| (segments as u64).saturating_mul(self.config.segment);
        Room {
            used: bytes(held),
            limit: bytes(self.space.limit()),
        }
    }

    /// Bytes of the partition that nobody else may take, so that the log can grow to its bound.
    #[must_use]
    pub fn claim(&self) -> u64 {
        self.space.claim()
    }

    /// The next segment that should be made before it is needed, if one should. Make it without holding the log, and
    /// give what came of it to [`Log::prepared`]; there is one at a time.
    pub fn preparation(&mut self) -> Option<Preparation> {
        let held = self.held();
        self.space.preparation(&self.storage, held)
    }

    /// Takes over a prepared segment. `false` when there was no room for it: ask again later.
    pub fn prepared(&mut self, prepared: Prepared) -> bool {
        self.space.prepared(prepared)
    }

    /// Makes what should be there before it is needed.
    fn prepare(&mut self) {
        while let Some(preparation) = self.preparation() {
            if !self.prepared(preparation.make()) {
                break;
            }
        }
    }

    /// Makes sure of what appending relies on.
    ///
    /// A process that was killed between renaming a segment and the directory's sync leaves a name that a power cut
    /// would still take away. And a write that was cut short may have left frames where nobody looks at start.
    fn settle(&mut self) -> io::Result<()> {
        if !self.settled {
            self.storage.sync_directory(Barrier::Names)?;
            let run = self.next_generation / recover::GENERATIONS_A_RUN;
            self.run.store(self.storage.as_ref(), run)?;
            self.settled = true;
        }
        Ok(())
    }

    fn append_entries(&mut self, owner: Owner, mut rest: VecDeque<Entry>) -> Result<(), AppendError> {
        self.settle().map_err(AppendError::Storage)?;
        while let Some(first) = rest.front() {
            self.make_room(owner, first.size())?;
            self.queues[owner.index()]
                .write_group(self.storage.as_ref(), &mut rest, self.config.capacity())
                .map_err(AppendError::Storage)?;
            self.release(owner);
        }
        Ok(())
    }

    fn make_room(&mut self, owner: Owner, size: u64) -> Result<(), AppendError> {
        let capacity = self.config.capacity();
        let queue = &self.queues[owner.index()];
        if queue.has_room(size, capacity) {
            return Ok(());
        }
        let head = frame::size(queue.head().len()) as u64;
        let limit = capacity.saturating_sub(head).min(frame::MAX as u64);
        if size > limit {
            return Err(AppendError::TooLarge { limit });
        }
        let name = self.take(owner).ok_or(AppendError::Full)?;
        let queue = &mut self.queues[owner.index()];
        queue.begin(
            self.storage.as_ref(),
            name,
            self.next_generation,
            self.config.segment,
        );
        self.next_generation += 1;
        Ok(())
    }

    fn take(&mut self, owner: Owner) -> Option<String> {
        if let Some(name) = self.take_free(owner) {
            return Some(name);
        }
        self.catch_up();
        let name = self
            .take_free(owner)
            .or_else(|| self.queues[owner.index()].failed());
        match owner {
            Owner::Dead => name.or_else(|| self.drop_oldest_letters()),
            Owner::Lane(_) => name,
        }
    }

    fn take_free(&mut self, owner: Owner) -> Option<String> {
        let held = self.held();
        let room = owner != Owner::Dead || held[owner.index()] < self.space.most_dead();
        room.then(|| self.space.take(&self.storage, owner, held))
            .flatten()
    }

    /// Stores the cursors that could not be stored when they were moved, and gives back what they pass. A lane in which
    /// nothing waits passes all it has: what its segments hold was delivered, damaged, or never acknowledged.
    fn catch_up(&mut self) {
        for owner in Lane::ALL.map(Owner::Lane) {
            let queue = &mut self.queues[owner.index()];
            let passed = match queue.waiting() {
                0 => queue.next_seq - 1,
                _ => queue.delivered,
            };
            if queue.durable < passed
                && let Err(error) = queue.advance(self.storage.as_ref(), passed)
            {
                log::warn!("the {} cursor cannot be stored: {error}", owner.as_str());
            }
            self.release(owner);
        }
    }

    fn held(&self) -> space::Held {
        [0, 1, 2].map(|i: usize| self.queues[i].segments.len())
    }

    /// Gives back the segments a durable cursor has passed, except the one being written.
    fn release(&mut self, owner: Owner) {
        for name in self.queues[owner.index()].release() {
            self.space.give_back(self.storage.as_ref(), name);
        }
    }
}
