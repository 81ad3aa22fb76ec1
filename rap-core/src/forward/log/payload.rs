//! What the frames of each kind hold. All integers little endian; `text` is a u16 length and so many bytes of UTF-8.
//!
//! ```text
//! record   u64 number, u64 received ms, text source, text id, event
//! head     u64 last acknowledged sequence before, then for each source: text source, u64 its last number
//! summary  u64 first sequence, u64 offset behind the last record      (the last sequence is the frame's own)
//! letter   u64 sequence in its lane, u64 buried ms, text lane, text reason, record
//! ```

use std::collections::BTreeMap;

use super::Record;
use super::frame::{self, u64_at};

/// The last number given to each source.
pub(super) type Numbers = BTreeMap<String, u64>;

/// Bytes at the end of a segment that are for its summary alone.
pub(super) const FOOTER: u64 = frame::size(16) as u64;

/// What was before a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The last sequence that was acknowledged, or found durable, before this segment was begun.
    pub(super) previous: u64,
    pub(super) numbers: Numbers,
}

impl Head {
    pub(super) fn encode(previous: u64, numbers: &Numbers) -> Vec<u8> {
        let mut payload = previous.to_le_bytes().to_vec();
        for (source, number) in numbers {
            put_text(&mut payload, source);
            payload.extend_from_slice(&number.to_le_bytes());
        }
        payload
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let previous = u64_at(payload, 0)?;
        let mut rest = &payload[8..];
        let mut numbers = Numbers::new();
        while let Some((source, behind)) = text(rest) {
            numbers.insert(source, u64_at(behind, 0)?);
            rest = &behind[8..];
        }
        Some(Self { previous, numbers })
    }
}

/// What is in a full segment: every sequence from the first to the last, up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Summary {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&self.first.to_le_bytes());
        payload[8..].copy_from_slice(&self.end.to_le_bytes());
        payload
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        Some(Self {
            first: u64_at(payload, 0)?,
            end: u64_at(payload, 8)?,
        })
    }
}

pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let mut payload = Vec::with_capacity(record_size(&record.source, &record.id, &record.event));
    put_record(&mut payload, record);
    payload
}

/// Bytes [`encode_record`] will make.
pub(super) fn record_size(source: &str, id: &str, event: &[u8]) -> usize {
    20 + source.len() + id.len() + event.len()
}

pub(super) fn decode_record(seq: u64, payload: &[u8]) -> Option<Record> {
    let number = u64_at(payload, 0)?;
    let received = u64_at(payload, 8)?;
    let (source, rest) = text(payload.get(16..)?)?;
    let (id, event) = text(rest)?;
    Some(Record {
        seq,
        number,
        received,
        source,
        id,
        event: event.to_vec(),
    })
}

/// A report that was refused for good, with why.
pub(super) fn encode_letter(lane: &str, reason: &str, buried: u64, record: &Record) -> Vec<u8> {
    let mut payload = Vec::with_capacity(letter_size(lane, reason, record));
    payload.extend_from_slice(&record.seq.to_le_bytes());
    payload.extend_from_slice(&buried.to_le_bytes());
    put_text(&mut payload, lane);
    put_text(&mut payload, reason);
    put_record(&mut payload, record);
    payload
}

/// Bytes [`encode_letter`] will make.
pub(super) fn letter_size(lane: &str, reason: &str, record: &Record) -> usize {
    20 + lane.len() + reason.len() + record_size(&record.source, &record.id, &record.event)
}

/// Lane, reason, time of burial, and the report with its sequence in its lane.
pub(super) fn decode_letter(payload: &[u8]) -> Option<(String, String, u64, Record)> {
    let seq = u64_at(payload, 0)?;
    let buried = u64_at(payload, 8)?;
    let (lane, rest) = text(payload.get(16..)?)?;
    let (reason, rest) = text(rest)?;
    Some((lane, reason, buried, decode_record(seq, rest)?))
}

fn put_record(payload: &mut Vec<u8>, record: &Record) {
    payload.extend_from_slice(&record.number.to_le_bytes());
    payload.extend_from_slice(&record.received.to_le_bytes());
    put_text(payload, &record.source);
    put_text(payload, &record.id);
    payload.extend_from_slice(&record.event);
}

fn put_text(payload: &mut Vec<u8>, text: &str) {
    payload.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    payload.extend_from_slice(text.as_bytes());
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let length = usize::from(u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?));
    let text = std::str::from_utf8(bytes.get(2..2 + length)?).ok()?;
    Some((text.to_owned(), &bytes[2 + length..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn payloads_come_back(seq: u64, number: u64, received: u64, source in ".{0,20}", id in ".{0,20}", reason in ".{0,20}", event: Vec<u8>) {
            let record = Record { seq, number, received, source, id, event };
            prop_assert_eq!(decode_record(seq, &encode_record(&record)), Some(record.clone()));
            let letter = encode_letter("alert", &reason, 7, &record);
            prop_assert_eq!(letter.len(), letter_size("alert", &reason, &record));
            prop_assert_eq!(decode_letter(&letter), Some(("alert".to_owned(), reason, 7, record.clone())));
            let head = Head { previous: seq, numbers: Numbers::from([(record.source, number), (record.id, seq)]) };
            prop_assert_eq!(Head::decode(&Head::encode(head.previous, &head.numbers)), Some(head));
            let summary = Summary { first: seq, end: number };
            prop_assert_eq!(Summary::decode(&summary.encode()), Some(summary));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_record(1, &bytes);
            let _ = Head::decode(&bytes);
            let _ = Summary::decode(&bytes);
            let _ = decode_letter(&bytes);
        }
    }
}
