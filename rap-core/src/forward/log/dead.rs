//! Dead letters: reports the service centre refuses for good, kept with the reason until younger ones need the room.
//!
//! Invariants: a report is durable among the dead letters before its lane's cursor passes it; it is there once, also
//! when the box stopped between the two; the oldest go first, a segment at a time, and how many went is known.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::entry::Entry;
use super::frame::{self, Owner};
use super::payload;
use super::{AppendError, Batch, Log, Record};
use crate::forward::lane::Lane;

/// Longest reason kept, in bytes.
const REASON: usize = 512;

/// A report that will not be delivered, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its sequence among the dead letters.
    pub seq: u64,
    /// The lane it was in; `"alert"` or `"routine"`.
    pub lane: String,
    /// Why it was refused, in words.
    pub reason: String,
    /// When it was given up, milliseconds since 1970-01-01 UTC by the box's clock.
    pub buried: u64,
    /// The report, with its sequence and number in its lane.
    pub record: Record,
}

/// How many dead letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// Kept and readable.
    pub kept: u64,
    /// Sequences given up for younger ones.
    pub dropped: u64,
}

impl Log {
    /// Moves `batch`, which the service centre refuses for good, to the dead letters: durable there first, then the
    /// lane's cursor passes it. `now` is in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Then the batch still waits in its lane. An error of the cursor alone is none: after a restart the batch is
    /// peeked again, and burying it again keeps it once.
    pub fn bury(&mut self, lane: Lane, batch: &Batch, reason: &str, now: u64) -> Result<(), AppendError> {
        let found = self.found_letters().map_err(AppendError::Storage)?;
        let fresh = batch
            .records
            .iter()
            .filter(|record| !found.contains(&(lane, record.seq)));
        let letters = fresh.map(|record| Entry::Letter {
            lane,
            reason: shortened(reason),
            buried: now,
            record: record.clone(),
        });
        self.append_entries(Owner::Dead, letters.collect())?;
        if let Err(error) = self.advance(lane, batch) {
            log::warn!("how far delivery came could not be stored: {error}");
        }
        Ok(())
    }

    /// Dead letters behind sequence `after`, oldest first, at most `count`.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn dead_letters(&mut self, after: u64, count: usize) -> io::Result<Vec<DeadLetter>> {
        let queue = &mut self.queues[Owner::Dead.index()];
        let mut letters = Vec::new();
        let floor = after.max(queue.delivered);
        queue.walk(self.storage.as_ref(), floor, |frame, _| {
            if letters.len() == count {
                return false;
            }
            letters.extend(letter(frame));
            true
        })?;
        Ok(letters)
    }

    /// How many dead letters there are.
    #[must_use]
    pub fn dead_letter_count(&self) -> DeadLetters {
        let queue = &self.queues[Owner::Dead.index()];
        DeadLetters {
            kept: queue.waiting(),
            dropped: queue.delivered,
        }
    }

    /// The letters that were there before the first burial since start: only then may one be buried again.
    fn found_letters(&mut self) -> io::Result<Arc<HashSet<(Lane, u64)>>> {
        if let Some(found) = &self.found_letters {
            return Ok(Arc::clone(found));
        }
        let of = |name: &str| Lane::ALL.into_iter().find(|lane| lane.as_str() == name);
        let letters = self.dead_letters(0, usize::MAX)?;
        let found = letters
            .iter()
            .filter_map(|letter| Some((of(&letter.lane)?, letter.record.seq)));
        let found: Arc<HashSet<_>> = Arc::new(found.collect());
        self.found_letters = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Gives up the oldest segment of dead letters and returns it for reuse, once the disk knows.
    pub(super) fn drop_oldest_letters(&mut self) -> Option<String> {
        let queue = &mut self.queues[Owner::Dead.index()];
        let oldest = queue.segments.front()?;
        let (last, count) = (oldest.last, oldest.waiting(queue.delivered));
        if let Err(error) = queue.advance(self.storage.as_ref(), last) {
            log::warn!("no room for a dead letter, and the oldest cannot be given up: {error}");
            return None;
        }
        log::warn!("{count} dead letter(s) are given up for younger ones");
        queue.segments.pop_front().map(|segment| segment.name)
    }
}

fn letter(frame: &frame::Frame<'_>) -> Option<DeadLetter> {
    let (lane, reason, buried, record) = payload::decode_letter(frame.payload)?;
    Some(DeadLetter {
        seq: frame.seq,
        lane,
        reason,
        buried,
        record,
    })
}

fn shortened(reason: &str) -> String {
    let mut end = reason.len().min(REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}
