//! What goes over the uplink at once: a CloudEvents batch, compressed, and the key it is known by.

use std::io;

use sha2::{Digest, Sha256};

use super::encoding::Encoding;
use crate::forward::clock;
use crate::forward::log::Record;
use crate::site::BitRate;

/// The most reports in one batch.
pub(super) const MOST_REPORTS: usize = 256;
/// The most compressed bytes in one batch, unless one report alone is larger.
const MOST_BYTES: usize = 32 * 1024;
/// With a limit on the rate a batch takes no longer than this: an alert may have to wait for it.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(4);
/// However slow the limit is.
const LEAST_BYTES: usize = 4 * 1024;
/// So many keys can the same reports have.
const MOST_BLANKS: usize = 1000;
/// A centre that found a batch too large (413) is offered larger ones again after so many that it took.
const GROW_AFTER: u32 = 32;

/// A batch ready to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parcel {
    /// Compressed JSON array.
    pub(super) body: Vec<u8>,
    pub(super) encoding: Encoding,
    /// First 32 hexadecimal digits of the SHA-256 of the uncompressed body: the same reports have the same key.
    pub(super) key: String,
    /// How many reports are in it.
    pub(super) count: usize,
    /// Bytes of the uncompressed body.
    pub(super) plain: usize,
}

/// How large batches are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// Without trouble.
    most: usize,
    /// Now.
    now: usize,
    taken: u32,
}

impl Size {
    pub(super) fn new(limit: Option<BitRate>) -> Self {
        let slow = limit.map(|rate| rate.bytes_in(LONGEST).clamp(LEAST_BYTES, MOST_BYTES));
        let most = slow.unwrap_or(MOST_BYTES);
        Self {
            most,
            now: most,
            taken: 0,
        }
    }

    /// A batch of so many compressed bytes was too large, and there was more than one report in it.
    pub(super) fn too_large(&mut self, bytes: usize) {
        self.now = (bytes / 2).clamp(1, self.most);
        self.taken = 0;
    }

    /// A batch was taken.
    pub(super) fn taken(&mut self) {
        self.taken += 1;
        if self.now < self.most && self.taken >= GROW_AFTER {
            self.now = (self.now * 2).min(self.most);
            self.taken = 0;
        }
    }

    /// Uncompressed bytes worth reading for one batch: more would hardly compress into it.
    pub(super) fn to_read(&self) -> usize {
        self.now.saturating_mul(16)
    }
}

/// Packs as many of `records` as fit, the first ones, at least one. `blanks` make the body another, and so its key: a
/// server that knows the key may answer without looking at the body.
pub(super) fn pack(records: &[Record], size: &Size, encoding: Encoding, blanks: usize) -> io::Result<Parcel> {
    let mut count = records.len();
    loop {
        let json = render(records.get(..count).unwrap_or(records), blanks);
        let body = encoding.compress(&json)?;
        if body.len() <= size.now || count <= 1 {
            return Ok(Parcel {
                body,
                encoding,
                key: key(&json),
                count,
                plain: json.len(),
            });
        }
        // A little less than proportional, so that the next try mostly fits.
        count = (count * size.now / body.len() * 9 / 10).clamp(1, count - 1);
    }
}

fn key(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON array of the events with our attributes in front; `event` is never an empty object (it has an id).
fn render(records: &[Record], blanks: usize) -> Vec<u8> {
    let mut json = vec![b'['];
    json.resize(1 + blanks % MOST_BLANKS, b' ');
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

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u64) -> Vec<Record> {
        let record = |number| Record {
            seq: number,
            number,
            received: 0,
            source: "/lab/port1".to_owned(),
            id: number.to_string(),
            // Hardly to be compressed.
            event: format!(r#"{{"id":"{}"}}"#, key(&[number.to_le_bytes()].concat())).into_bytes(),
        };
        (1..=count).map(record).collect()
    }

    #[test]
    fn a_batch_is_cut_to_its_size_but_never_below_one_report() {
        let (records, mut size) = (records(2000), Size::new(None));
        let whole = pack(&records, &size, Encoding::Zstd, 0).unwrap();
        assert!(whole.body.len() <= MOST_BYTES && whole.body.len() > MOST_BYTES / 2);
        assert!(whole.count < 2000, "{}", whole.count);
        size.too_large(whole.body.len());
        let half = pack(&records, &size, Encoding::Gzip, 0).unwrap();
        assert!(half.body.len() <= whole.body.len() / 2);
        size.too_large(2);
        assert_eq!(pack(&records, &size, Encoding::Zstd, 0).unwrap().count, 1);
    }

    #[test]
    fn blanks_change_the_key_and_nothing_else() {
        let (records, size) = (records(3), Size::new(None));
        let of = |blanks| pack(&records, &size, Encoding::Identity, blanks).unwrap();
        let value = |parcel: &Parcel| serde_json::from_slice::<serde_json::Value>(&parcel.body).unwrap();
        assert_eq!(of(0), of(0));
        assert_ne!(of(1).key, of(2).key);
        assert_eq!(value(&of(0)), value(&of(7)));
    }

    #[test]
    fn a_size_that_was_too_large_is_tried_again_after_many_that_were_not() {
        let mut size = Size::new(None);
        size.too_large(20_000);
        for _ in 0..GROW_AFTER {
            assert_eq!(size.now, 10_000);
            size.taken();
        }
        assert_eq!(size.now, 20_000);
        (0..2 * GROW_AFTER).for_each(|_| size.taken());
        assert_eq!(size.now, MOST_BYTES);
    }

    #[test]
    fn a_slow_line_gets_small_batches() {
        let of = |rate: &str| Size::new(Some(rate.parse().unwrap())).now;
        assert_eq!(of("8 kbit/s"), LEAST_BYTES);
        assert_eq!(of("32 kbit/s"), 16_000);
        assert_eq!(of("10 Mbit/s"), MOST_BYTES);
    }
}
