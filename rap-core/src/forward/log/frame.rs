//! One frame of the log: a report or a checkpoint, readable without knowing anything before it.
//!
//! ```text
//! 0   u32 magic "RPF1"      12  u8 lane, u8 kind, u16 zero
//! 4   u32 payload length    16  u64 generation of the segment
//! 8   u32 CRC-32C of all    24  u64 sequence within the lane
//!     other bytes           32  payload, then zeros to a multiple of 8
//! ```
//! All integers little endian. Frames start at multiples of 8. No accepted report can contain something that reads
//! as a frame: the zeros at 14 cannot occur in the text an [`Event`](crate::forward::event::Event) consists of.

use super::Record;
use crate::forward::lane::Lane;

/// Bytes before the payload.
pub(super) const HEADER: usize = 32;
/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// The largest frame this log will write or read.
pub(super) const MAX: usize = 1024 * 1024;

const MAGIC: [u8; 4] = *b"RPF1";
const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// CRC-32C (Castagnoli), as everything in the log is checked with.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One [`Record`].
    Record,
    /// The last number given to each source, at the head of every segment.
    Checkpoint,
}

/// A frame that passed its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) lane: Lane,
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) seq: u64,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame in the segment.
    pub(super) fn size(&self) -> usize {
        size(self.payload.len())
    }
}

/// Bytes of a frame with `payload` bytes of payload.
pub(super) fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Appends the frame to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = buffer.len();
    let length = u32::try_from(frame.payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut rest = [0_u8; HEADER - 12];
    rest[0] = u8::from(frame.lane == Lane::Routine);
    rest[1] = u8::from(frame.kind == Kind::Checkpoint);
    rest[4..12].copy_from_slice(&frame.generation.to_le_bytes());
    rest[12..20].copy_from_slice(&frame.seq.to_le_bytes());
    let crc = crc32c(&[&MAGIC, &length, &rest, frame.payload]);
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&length);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&rest);
    buffer.extend_from_slice(frame.payload);
    buffer.resize(start + frame.size(), 0);
}

/// Reads the frame at the start of `bytes`; `None` when there is no whole, undamaged one.
pub(super) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let header = bytes.get(..HEADER)?;
    if header[..4] != MAGIC {
        return None;
    }
    let length = usize::try_from(u32_at(header, 4)?).ok()?;
    if length > MAX {
        return None;
    }
    let payload = bytes.get(HEADER..HEADER + length)?;
    if bytes.len() < size(length) {
        return None;
    }
    if u32_at(header, 8)? != crc32c(&[&header[..8], &header[12..], payload]) {
        return None;
    }
    let lane = *Lane::ALL.get(usize::from(header[12]))?;
    let kind = match header[13] {
        0 => Kind::Record,
        1 => Kind::Checkpoint,
        _ => return None,
    };
    Some(Frame {
        lane,
        kind,
        generation: u64_at(header, 16)?,
        seq: u64_at(header, 24)?,
        payload,
    })
}

/// `u64 number, u64 received ms, u16 + source, u16 + id, event`.
pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let mut payload = Vec::with_capacity(record_size(&record.source, &record.id, &record.event));
    payload.extend_from_slice(&record.number.to_le_bytes());
    payload.extend_from_slice(&record.received.to_le_bytes());
    for text in [&record.source, &record.id] {
        payload.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        payload.extend_from_slice(text.as_bytes());
    }
    payload.extend_from_slice(&record.event);
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

/// `(u16 + source, u64 number)` for each source.
pub(super) fn encode_checkpoint<'a>(numbers: impl Iterator<Item = (&'a str, u64)>) -> Vec<u8> {
    let mut payload = Vec::new();
    for (source, number) in numbers {
        payload.extend_from_slice(&u16::try_from(source.len()).unwrap_or(u16::MAX).to_le_bytes());
        payload.extend_from_slice(source.as_bytes());
        payload.extend_from_slice(&number.to_le_bytes());
    }
    payload
}

pub(super) fn decode_checkpoint(mut payload: &[u8]) -> Vec<(String, u64)> {
    let mut numbers = Vec::new();
    while let Some((source, rest)) = text(payload) {
        let Some(number) = u64_at(rest, 0) else { break };
        numbers.push((source, number));
        payload = &rest[8..];
    }
    numbers
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let length = usize::from(u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?));
    let text = std::str::from_utf8(bytes.get(2..2 + length)?).ok()?;
    Some((text.to_owned(), &bytes[2 + length..]))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_comes_back_and_one_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..100), seq: u64, generation: u64, flip: usize,
        ) {
            let frame = Frame { lane: Lane::Alert, kind: Kind::Record, generation, seq, payload: &payload };
            let mut bytes = Vec::new();
            encode(&mut bytes, &frame);
            prop_assert_eq!(bytes.len(), frame.size());
            prop_assert_eq!(decode(&bytes), Some(frame));
            let bit = flip % ((HEADER + payload.len()) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode_record(1, &bytes);
            let _ = decode_checkpoint(&bytes);
        }
    }
}
