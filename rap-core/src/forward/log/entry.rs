//! What is appended: a report to its lane, or a refused one to the dead letters.

use super::frame::{self, Kind};
use super::payload::{self, Numbers};
use super::{NewRecord, Record};
use crate::forward::lane::Lane;

/// A record before it has its sequence.
#[derive(Debug)]
pub(super) enum Entry {
    Report(NewRecord),
    Letter {
        lane: Lane,
        reason: String,
        /// Milliseconds since 1970 by the box's clock.
        buried: u64,
        record: Record,
    },
}

impl Entry {
    /// Bytes of its frame.
    pub(super) fn size(&self) -> u64 {
        let payload = match self {
            Self::Report(new) => payload::record_size(&new.source, &new.id, &new.event),
            Self::Letter {
                lane, reason, record, ..
            } => payload::letter_size(lane.as_str(), reason, record),
        };
        frame::size(payload) as u64
    }

    /// Gives a report its number.
    pub(super) fn encode(self, seq: u64, numbers: &mut Numbers) -> (Kind, Vec<u8>) {
        match self {
            Self::Report(new) => {
                let number = numbers.entry(new.source.clone()).or_default();
                *number += 1;
                let record = Record {
                    seq,
                    number: *number,
                    received: new.received,
                    source: new.source,
                    id: new.id,
                    event: new.event,
                };
                (Kind::Record, payload::encode_record(&record))
            }
            Self::Letter {
                lane,
                reason,
                buried,
                record,
            } => (
                Kind::Letter,
                payload::encode_letter(lane.as_str(), &reason, buried, &record),
            ),
        }
    }
}
