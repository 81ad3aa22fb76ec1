//! Reading one segment, whatever state it is in.
//!
//! A segment holds the frames of its newest generation, perhaps with damaged ranges between them, and after them
//! zeros or what an older generation left. A walk never stops at damage: it steps on until a whole frame of the
//! generation follows, or none does.

use std::collections::BTreeMap;
use std::io;

use super::frame::{self, ALIGN, Kind, MAX};
use super::storage::Storage;
use crate::forward::lane::Lane;

/// What a segment was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) lane: Lane,
    pub(super) generation: u64,
    /// Offset behind the last frame of the generation.
    pub(super) end: u64,
    /// Sequences of the records, in order.
    pub(super) seqs: Vec<u64>,
    /// Damaged ranges between frames of the generation.
    pub(super) damaged: Vec<std::ops::Range<u64>>,
}

/// The last number seen for each source and lane; older generations count too.
pub(super) type Numbers = [BTreeMap<String, u64>; 2];

/// Scans the whole file `name`; `None` when it holds no frame at all.
pub(super) fn segment(storage: &dyn Storage, name: &str, numbers: &mut Numbers) -> io::Result<Option<Found>> {
    let size = usize::try_from(storage.size(name)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size];
    let read = storage.read(name, 0, &mut bytes)?;
    bytes.truncate(read);

    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some(frame) = frame::decode(&bytes[at..]) else {
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
    let mut found = Found {
        lane: frames[0].1.lane,
        generation,
        end: 0,
        seqs: Vec::new(),
        damaged: Vec::new(),
    };
    for (at, frame) in frames {
        let at = at as u64;
        if at > found.end {
            found.damaged.push(found.end..at);
        }
        if frame.kind == Kind::Record {
            found.seqs.push(frame.seq);
        }
        found.end = at + frame.size() as u64;
    }
    Ok(Some(found))
}

fn note_numbers(frame: &frame::Frame<'_>, numbers: &mut Numbers) {
    let table = &mut numbers[frame.lane.index()];
    let mut note = |source: String, number: u64| {
        let last = table.entry(source).or_default();
        *last = number.max(*last);
    };
    match frame.kind {
        Kind::Record => {
            if let Some(record) = frame::decode_record(frame.seq, frame.payload) {
                note(record.source, record.number);
            }
        }
        Kind::Checkpoint => {
            for (source, number) in frame::decode_checkpoint(frame.payload) {
                note(source, number);
            }
        }
    }
}

/// Walks the records of `generation` in file `name` from `from` to `end`, calling `take` with each and the offset
/// behind it until it says stop. Returns whether the end was reached.
pub(super) fn records(
    storage: &dyn Storage,
    name: &str,
    generation: u64,
    from: u64,
    end: u64,
    mut take: impl FnMut(super::Record, u64) -> bool,
) -> io::Result<bool> {
    let mut buffer = Vec::new();
    let mut at = from;
    while at < end {
        // Long enough that a whole frame at its start is always within it.
        let want = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(MAX + frame::HEADER + ALIGN);
        buffer.resize(want, 0);
        let got = storage.read(name, at, &mut buffer)?;
        buffer.truncate(got);
        let last = at + got as u64 >= end || got < want;
        let mut i = 0;
        while i < buffer.len() {
            match frame::decode(&buffer[i..]) {
                Some(frame) => {
                    i += frame.size();
                    let record = (frame.kind == Kind::Record && frame.generation == generation)
                        .then(|| frame::decode_record(frame.seq, frame.payload))
                        .flatten();
                    if let Some(record) = record
                        && !take(record, at + i as u64)
                    {
                        return Ok(false);
                    }
                }
                // Perhaps only cut off by the buffer: read again from here.
                None if !last && i > 0 => break,
                None => i += ALIGN,
            }
        }
        at += i as u64;
        if last {
            break;
        }
    }
    Ok(true)
}
