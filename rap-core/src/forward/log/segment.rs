//! One segment: what is known of it in memory, and how that is learnt from the disk.
//!
//! ```text
//! 0      head        what was before: written with the first group
//! ...    records     groups, each written and synced at once; sequences without a gap
//!        confirm     that the last group was synced: overwritten by the next one
//! ...    zeros, or what an older generation left
//! -48    summary     once it is full: first and last sequence and where they end
//! ```
//! Summary and confirmation are not waited for. They are written when everything they speak of was synced. A segment
//! without summary is read as a whole: that costs time at start and nothing else. Without confirmation nobody knows
//! whether the last group was acknowledged, and when it is damaged its later part is not delivered.

use std::io;
use std::ops::RangeInclusive;

use super::frame::{self, Frame, Kind, Owner};
use super::payload::{FOOTER, Head, Numbers, Summary};
use super::scan::{self, Found};
use super::storage::{Barrier, Storage};

/// Bytes read of a segment's beginning before more is known.
const GLANCE: usize = 4096;

/// A segment in use.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) generation: u64,
    /// Sequence of the first record.
    pub(super) first: u64,
    /// Sequence of the last record; less than `first` when there is none.
    pub(super) last: u64,
    /// Offset behind the last record.
    pub(super) end: u64,
    /// Whether nothing may be written to it any more in this generation.
    pub(super) sealed: bool,
    /// Sequences between the first and the last that are not there, as far as known.
    pub(super) missing: Vec<RangeInclusive<u64>>,
}

impl Segment {
    /// Records behind `delivered` that are there.
    pub(super) fn waiting(&self, delivered: u64) -> u64 {
        let from = self.first.max(delivered + 1);
        let gone: u64 = self
            .missing
            .iter()
            .map(|range| overlap(range, from, self.last))
            .sum();
        (self.last + 1).saturating_sub(from).saturating_sub(gone)
    }

    /// Takes note that these sequences are not there; returns those of them that were not known.
    pub(super) fn miss(&mut self, range: &RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let mut news = Vec::new();
        let mut from = *range.start();
        self.missing.sort_by_key(|known| *known.start());
        for known in self
            .missing
            .iter()
            .filter(|known| overlap(known, *range.start(), *range.end()) > 0)
        {
            if *known.start() > from {
                news.push(from..=*known.start() - 1);
            }
            from = *known.end() + 1;
        }
        if from <= *range.end() {
            news.push(from..=*range.end());
        }
        self.missing.extend(news.iter().cloned());
        news
    }

    /// Writes the summary of a full segment; nobody waits for it, and a failure is none.
    pub(super) fn summarize(&self, storage: &dyn Storage, owner: Owner, size: u64) {
        if !self.missing.is_empty() || self.last < self.first {
            return;
        }
        let summary = Summary {
            first: self.first,
            end: self.end,
        };
        self.note(storage, owner, Kind::Summary, &summary.encode(), size - FOOTER);
    }

    /// Says behind the last record that it was synced; nobody waits for it, and a failure is none.
    pub(super) fn confirm(&self, storage: &dyn Storage, owner: Owner, capacity: u64) {
        if self.last >= self.first && self.end + frame::size(0) as u64 <= capacity {
            self.note(storage, owner, Kind::Confirm, &[], self.end);
        }
    }

    fn note(&self, storage: &dyn Storage, owner: Owner, kind: Kind, payload: &[u8], at: u64) {
        let mut buffer = Vec::new();
        let frame = Frame {
            owner,
            kind,
            place: 0,
            generation: self.generation,
            seq: self.last,
            payload,
        };
        frame::encode(&mut buffer, &frame);
        if let Err(error) = storage.write(&self.name, at, &buffer) {
            log::warn!("{}: {kind:?} could not be written: {error}", self.name);
        }
    }
}

/// How many numbers of `range` are from `from` to `to`.
pub(super) fn overlap(range: &RangeInclusive<u64>, from: u64, to: u64) -> u64 {
    (to.min(*range.end()) + 1).saturating_sub(from.max(*range.start()))
}

/// A segment as it was found at start.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) owner: Owner,
    pub(super) segment: Segment,
    /// What its head says, when it is whole.
    pub(super) head: Option<Head>,
    /// What a scan found; `None` when its summary spared that.
    pub(super) found: Option<Found>,
}

/// Looks at head and summary only; `None` when they do not tell enough.
pub(super) fn glance(storage: &dyn Storage, name: &str, size: u64) -> Option<Opened> {
    let mut head = vec![0; GLANCE];
    let read = storage.read(name, 0, &mut head).ok()?;
    head.truncate(read);
    let length = frame::payload_length(&head)?;
    if frame::size(length) > head.len() {
        head.resize(frame::size(length), 0);
        let read = storage.read(name, 0, &mut head).ok()?;
        head.truncate(read);
    }
    let first = frame::decode(&head).filter(|f| f.kind == Kind::Head)?;
    let mut foot = vec![0; usize::try_from(FOOTER).ok()?];
    let read = storage.read(name, size.checked_sub(FOOTER)?, &mut foot).ok()?;
    foot.truncate(read);
    let last = frame::decode(&foot).filter(|f| f.kind == Kind::Summary)?;
    let summary = Summary::decode(last.payload)?;
    let one = last.generation == first.generation && last.owner == first.owner && summary.first == first.seq;
    one.then(|| Opened {
        owner: first.owner,
        segment: Segment {
            name: name.to_owned(),
            generation: first.generation,
            first: first.seq,
            last: last.seq,
            end: summary.end,
            sealed: true,
            missing: Vec::new(),
        },
        head: Head::decode(first.payload),
        found: None,
    })
}

/// Reads all of it; `None` when it holds nothing.
pub(super) fn examine(
    storage: &dyn Storage,
    name: &str,
    numbers: &mut [Numbers; 3],
) -> io::Result<Option<Opened>> {
    let Some(found) = scan::segment(storage, name, numbers)? else {
        return Ok(None);
    };
    let seqs = found.entries.iter().map(|e| e.seq);
    // Without its head the first sequence is that of the first group of which something is left.
    let of_group = found
        .entries
        .first()
        .map(|e| e.seq.saturating_sub(u64::from(e.place)));
    let first = found.head.as_ref().map(|(seq, _)| *seq).or(of_group).unwrap_or(1);
    let mut segment = Segment {
        name: name.to_owned(),
        generation: found.generation,
        first,
        last: seqs.clone().max().unwrap_or(0).max(first.saturating_sub(1)),
        end: found.end,
        sealed: true,
        missing: Vec::new(),
    };
    let mut next = first;
    for seq in seqs {
        if seq > next {
            segment.missing.push(next..=seq - 1);
        }
        next = seq + 1;
    }
    Ok(Some(Opened {
        owner: found.owner,
        segment,
        head: found.head.as_ref().map(|(_, head)| head.clone()),
        found: Some(found),
    }))
}

impl Opened {
    /// The last sequence that was certainly synced: it is said, or a later write into the same segment followed.
    pub(super) fn confirmed(&self) -> u64 {
        let before_group = |e: &scan::Entry| e.group().saturating_sub(1);
        match &self.found {
            Some(found) => found
                .entries
                .iter()
                .map(before_group)
                .max()
                .unwrap_or(0)
                .max(found.confirmed),
            None => self.segment.last,
        }
    }

    /// Forgets what was not acknowledged and must not be delivered; says whether something was.
    ///
    /// When a segment followed, its head tells what was acknowledged: the rest is of a write that failed, and younger
    /// reports may have been delivered since. When none did, it is what lies behind the first damage in the last
    /// group: a write that was cut short comes again, and its later part first would turn the order round.
    pub(super) fn cut(&mut self, acknowledged: Option<u64>) -> bool {
        let confirmed = self.confirmed();
        let Some(found) = &mut self.found else {
            return false;
        };
        let entries = &found.entries;
        let kept = match (acknowledged, entries.last().map(scan::Entry::group)) {
            (Some(acknowledged), _) => entries.partition_point(|e| e.seq <= acknowledged),
            (None, Some(group)) => {
                let begin = entries.partition_point(|e| e.seq < group);
                let in_turn = |(e, seq): &(&scan::Entry, u64)| e.seq == *seq || e.seq <= confirmed;
                begin + entries[begin..].iter().zip(group..).take_while(in_turn).count()
            }
            (None, None) => 0,
        };
        if kept == entries.len() {
            return false;
        }
        found.entries.truncate(kept);
        let last = found.entries.last();
        self.segment.end = last.map_or(0, |e| e.end);
        self.segment.last = last
            .map_or(0, |e| e.seq)
            .max(self.segment.first.saturating_sub(1));
        let last = self.segment.last;
        self.segment.missing.retain(|gap| *gap.start() <= last);
        true
    }

    /// Writes the last group once more and syncs it.
    ///
    /// What a killed process wrote is read from the page cache, and after a failed sync the kernel holds such pages
    /// for clean: only what is written anew is surely on the disk afterwards. Nothing older is touched.
    pub(super) fn settle(&self, storage: &dyn Storage) -> io::Result<()> {
        let Some(found) = &self.found else {
            return Ok(());
        };
        let from = match found.entries.last() {
            Some(last) => {
                let begin = found.entries.partition_point(|e| e.seq < last.group());
                if last.group() <= self.segment.first {
                    0
                } else {
                    found.entries[begin].at
                }
            }
            None => 0,
        };
        let mut bytes = vec![0; usize::try_from(found.end - from).unwrap_or(0)];
        let read = storage.read(&self.segment.name, from, &mut bytes)?;
        storage.write(&self.segment.name, from, &bytes[..read])?;
        storage.sync(&self.segment.name, Barrier::Tail)
    }
}
