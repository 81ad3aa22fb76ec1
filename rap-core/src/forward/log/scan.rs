//! Reading segments, whatever state they are in.
//!
//! A segment holds the frames of its newest generation, perhaps with damaged ranges between them, and after them
//! zeros or what an older generation left. A walk never stops at damage: it steps on until a whole frame of the
//! generation follows, or none does.

use std::io;
use std::ops::Range;

use super::frame::{self, ALIGN, Frame, HEADER, Kind, MAX, Owner};
use super::payload::{self, FOOTER, Head, Numbers};
use super::storage::Storage;

/// Read at once while walking; a longer frame is read for itself.
const CHUNK: usize = 256 * 1024;
/// What is skipped when the disk cannot read it.
const SECTOR: usize = 512;

/// What a segment was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) owner: Owner,
    pub(super) generation: u64,
    /// Sequence of the first record behind the head, and the head, when it is whole.
    pub(super) head: Option<(u64, Head)>,
    /// Records of the generation, in order.
    pub(super) entries: Vec<Entry>,
    /// Offset behind the last record, or the head.
    pub(super) end: u64,
    /// The last sequence that was certainly synced, as far as it is said.
    pub(super) confirmed: u64,
    /// Damaged ranges between frames of the generation.
    pub(super) damaged: Vec<Range<u64>>,
    /// Whether its summary is at its end.
    pub(super) full: bool,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) place: u16,
    pub(super) at: u64,
    pub(super) end: u64,
}

impl Entry {
    /// The first sequence of the write it was part of.
    pub(super) fn group(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.place))
    }
}

/// Scans the whole file `name`; `None` when it holds no frame at all. Numbers of older generations count too.
pub(super) fn segment(
    storage: &dyn Storage,
    name: &str,
    numbers: &mut [Numbers; 3],
) -> io::Result<Option<Found>> {
    let bytes = read_around(storage, name)?;
    let body = bytes.len().saturating_sub(FOOTER_BYTES);
    let mut frames = Vec::new();
    let mut at = 0;
    while at < body {
        let Some(frame) = frame::decode(&bytes[at..body]) else {
            at += ALIGN;
            continue;
        };
        note_numbers(&frame, numbers);
        frames.push((at, frame));
        at += frame.size();
    }
    let Some(generation) = frames.iter().map(|(_, f)| f.generation).max() else {
        return Ok(None);
    };
    frames.retain(|(_, f)| f.generation == generation);
    let summary = frame::decode(&bytes[body..]);
    let mut found = Found {
        owner: frames[0].1.owner,
        generation,
        head: None,
        entries: Vec::new(),
        end: 0,
        confirmed: 0,
        damaged: Vec::new(),
        full: summary.is_some_and(|f| f.kind == Kind::Summary && f.generation == generation),
    };
    for (at, frame) in frames {
        let at = at as u64;
        if frame.kind == Kind::Confirm {
            found.confirmed = frame.seq;
            continue;
        }
        if at > found.end {
            found.damaged.push(found.end..at);
        }
        found.end = at + frame.size() as u64;
        if frame.is_entry() {
            found.entries.push(Entry {
                seq: frame.seq,
                place: frame.place,
                at,
                end: found.end,
            });
        } else if let Some(head) = Head::decode(frame.payload) {
            found.head = Some((frame.seq, head));
        }
    }
    Ok(Some(found))
}

#[allow(clippy::cast_possible_truncation, reason = "48 bytes")]
const FOOTER_BYTES: usize = FOOTER as usize;

/// The whole file; what the disk cannot read is zeros.
fn read_around(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let size = usize::try_from(storage.size(name)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size];
    if let Err(error) = storage.read(name, 0, &mut bytes) {
        log::error!("{name}: {error}; what can be read of it is kept");
        for (i, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            if storage.read(name, (i * SECTOR) as u64, sector).is_err() {
                sector.fill(0);
            }
        }
    }
    Ok(bytes)
}

fn note_numbers(frame: &Frame<'_>, numbers: &mut [Numbers; 3]) {
    let table = &mut numbers[frame.owner.index()];
    let mut note = |source: String, number: u64| {
        let last = table.entry(source).or_default();
        *last = number.max(*last);
    };
    match frame.kind {
        Kind::Record => {
            if let Some(record) = payload::decode_record(frame.seq, frame.payload) {
                note(record.source, record.number);
            }
        }
        Kind::Head => {
            for (source, number) in Head::decode(frame.payload).unwrap_or_default().numbers {
                note(source, number);
            }
        }
        Kind::Letter | Kind::Summary | Kind::Confirm => {}
    }
}

/// What to walk over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) name: &'a str,
    pub(super) generation: u64,
    pub(super) from: u64,
    pub(super) end: u64,
    /// Whether to step over what the disk cannot read.
    pub(super) around: bool,
}

/// Walks the records of a stretch, calling `take` with each, where it begins and where it ends, until it says stop.
/// Returns whether the end was reached.
pub(super) fn records(
    storage: &dyn Storage,
    stretch: Stretch<'_>,
    mut take: impl FnMut(&Frame<'_>, u64, u64) -> bool,
) -> io::Result<bool> {
    let mut buffer = Vec::new();
    let mut at = stretch.from;
    let mut chunk = CHUNK;
    while at < stretch.end {
        let want = usize::try_from(stretch.end - at).unwrap_or(usize::MAX).min(chunk);
        buffer.resize(want, 0);
        let got = match storage.read(stretch.name, at, &mut buffer) {
            Ok(got) => got,
            Err(_) if stretch.around => read_sectors(storage, stretch.name, at, &mut buffer),
            Err(error) => return Err(error),
        };
        buffer.truncate(got);
        let last = at + got as u64 >= stretch.end || got < want;
        let mut i = 0;
        while i < buffer.len() {
            match frame::decode(&buffer[i..]) {
                Some(frame) => {
                    let begin = at + i as u64;
                    i += frame.size();
                    if frame.is_entry()
                        && frame.generation == stretch.generation
                        && !take(&frame, begin, at + i as u64)
                    {
                        return Ok(false);
                    }
                }
                // Perhaps only cut off by the buffer: read again from here.
                None if !last && is_cut_off(&buffer[i..]) => break,
                None => i += ALIGN,
            }
        }
        at += i as u64;
        chunk = if i == 0 { HEADER + MAX + ALIGN } else { CHUNK };
        if last {
            break;
        }
    }
    Ok(true)
}

fn is_cut_off(bytes: &[u8]) -> bool {
    match frame::payload_length(bytes) {
        Some(length) => frame::size(length) > bytes.len(),
        None => bytes.len() < HEADER,
    }
}

fn read_sectors(storage: &dyn Storage, name: &str, at: u64, buffer: &mut [u8]) -> usize {
    let length = buffer.len();
    // Sectors of the file, not of the buffer.
    let first = SECTOR - usize::try_from(at % SECTOR as u64).unwrap_or(0);
    let mut done = 0;
    while done < length {
        let step = if done == 0 { first } else { SECTOR }.min(length - done);
        let part = &mut buffer[done..done + step];
        if storage.read(name, at + done as u64, part).is_err() {
            part.fill(0);
        }
        done += step;
    }
    length
}
