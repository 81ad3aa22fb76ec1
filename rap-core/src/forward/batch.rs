//! What goes over the uplink at once: a CloudEvents batch, compressed, and the key it is known by.

use std::io;

use sha2::{Digest, Sha256};

use super::clock;
use super::log::{self, Record};

/// The most reports in one batch.
pub(super) const MOST_REPORTS: usize = 256;
/// The most compressed bytes in one batch, unless one report alone is larger.
pub(super) const MOST_BYTES: usize = 32 * 1024;
/// Uncompressed bytes read for one batch: more would hardly compress into [`MOST_BYTES`].
pub(super) const READ_BYTES: usize = 512 * 1024;

const LEVEL: i32 = 6;

/// A batch ready to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parcel {
    /// zstd-compressed JSON array.
    pub(super) body: Vec<u8>,
    /// First 32 hexadecimal digits of the SHA-256 of the uncompressed body: the same reports have the same key.
    pub(super) key: String,
}

/// Packs as many of `batch`'s reports as fit, at most `most`, and cuts `batch` to those.
pub(super) fn pack(batch: &mut log::Batch, most: usize) -> io::Result<Parcel> {
    batch.truncate(most.max(1));
    loop {
        let json = render(&batch.records);
        let body = zstd::bulk::compress(&json, LEVEL)?;
        let count = batch.records.len();
        if body.len() <= MOST_BYTES || count <= 1 {
            let key = Sha256::digest(&json)
                .iter()
                .take(16)
                .map(|b| format!("{b:02x}"))
                .collect();
            return Ok(Parcel { body, key });
        }
        // A little less than proportional, so that the next try mostly fits.
        batch.truncate((count * MOST_BYTES / body.len() * 9 / 10).clamp(1, count - 1));
    }
}

/// A JSON array of the events with our attributes in front; `event` is never an empty object (it has an id).
fn render(records: &[Record]) -> Vec<u8> {
    let mut json = vec![b'['];
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        let ours = format!(
            r#"{{"rapsequence":"{:020}","rapreceived":"{}","#,
            record.number,
            clock::text(record.received)
        );
        json.extend_from_slice(ours.as_bytes());
        json.extend_from_slice(record.event.get(1..).unwrap_or_default());
    }
    json.push(b']');
    json
}
