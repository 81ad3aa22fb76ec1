//! One frame of the log, readable without knowing anything before it.
//!
//! ```text
//! 0   u32 magic "RPF1"      12  u8 owner, u8 kind, u16 place in its group
//! 4   u32 payload length    16  u64 generation of the segment
//! 8   u32 CRC-32C of all    24  u64 sequence within the owner
//!     other bytes           32  payload, then zeros to a multiple of 8
//! ```
//! All integers little endian. Frames start at multiples of 8. No accepted report can contain something that reads
//! as a frame: the small bytes at 12 cannot occur in the text an [`Event`](crate::forward::event::Event) consists of.

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
pub(in crate::forward) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// Whose frames a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Reports of a lane.
    Lane(Lane),
    /// Reports the service centre refuses for good.
    Dead,
}

impl Owner {
    pub(super) const ALL: [Self; 3] = [Self::Lane(Lane::Alert), Self::Lane(Lane::Routine), Self::Dead];

    /// Its byte in a frame, and its place in a table.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Lane(lane) => lane.index(),
            Self::Dead => 2,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lane(lane) => lane.as_str(),
            Self::Dead => "dead-letter",
        }
    }
}

/// What a frame holds. The payloads are in `payload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One report.
    Record,
    /// What was before this segment; the first frame of each.
    Head,
    /// What is in this segment; at the very end of one that is full.
    Summary,
    /// One dead letter.
    Letter,
    /// Everything up to its sequence was synced. Behind the last record, where the next one will overwrite it.
    Confirm,
}

const KINDS: [Kind; 5] = [
    Kind::Record,
    Kind::Head,
    Kind::Summary,
    Kind::Letter,
    Kind::Confirm,
];

/// A frame that passed its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) owner: Owner,
    pub(super) kind: Kind,
    /// How many records of the same write are before it, at most 65,535. What stands before this write was synced.
    pub(super) place: u16,
    pub(super) generation: u64,
    /// Of a record its own, of a head that of the first record behind it, of a summary that of the last.
    pub(super) seq: u64,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame in the segment.
    pub(super) fn size(&self) -> usize {
        size(self.payload.len())
    }

    /// Whether it is a report, of whichever owner.
    pub(super) fn is_entry(&self) -> bool {
        matches!(self.kind, Kind::Record | Kind::Letter)
    }
}

/// Bytes of a frame with `payload` bytes of payload.
pub(super) const fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Appends the frame to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = buffer.len();
    let length = u32::try_from(frame.payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut rest = [0_u8; HEADER - 12];
    // Both fit: there are three owners and five kinds.
    rest[0] = u8::try_from(frame.owner.index()).unwrap_or(u8::MAX);
    rest[1] = KINDS
        .iter()
        .zip(0..)
        .find_map(|(k, i)| (*k == frame.kind).then_some(i))
        .unwrap_or(u8::MAX);
    rest[2..4].copy_from_slice(&frame.place.to_le_bytes());
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
    let length = payload_length(bytes)?;
    let header = bytes.get(..HEADER)?;
    let payload = bytes.get(HEADER..HEADER + length)?;
    if bytes.len() < size(length) {
        return None;
    }
    if u32_at(header, 8)? != crc32c(&[&header[..8], &header[12..], payload]) {
        return None;
    }
    Some(Frame {
        owner: *Owner::ALL.get(usize::from(header[12]))?,
        kind: *KINDS.get(usize::from(header[13]))?,
        place: u16::from_le_bytes([header[14], header[15]]),
        generation: u64_at(header, 16)?,
        seq: u64_at(header, 24)?,
        payload,
    })
}

/// How long a payload the header at the start of `bytes` announces, if it may be a header at all.
pub(super) fn payload_length(bytes: &[u8]) -> Option<usize> {
    if bytes.get(..4)? != MAGIC {
        return None;
    }
    let length = usize::try_from(u32_at(bytes, 4)?).ok()?;
    (length <= MAX).then_some(length)
}

pub(in crate::forward) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(in crate::forward) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_comes_back_and_one_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..100), seq: u64, generation: u64, place: u16,
            owner in 0..3_usize, kind in 0..5_usize, flip: usize,
        ) {
            let (owner, kind) = (Owner::ALL[owner], KINDS[kind]);
            let frame = Frame { owner, kind, place, generation, seq, payload: &payload };
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
        }
    }
}
