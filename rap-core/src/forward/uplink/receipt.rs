//! The receipt of docs/protocol.md §2: the only answer by which a batch is delivered.

use serde::Deserialize;

/// The media type of a receipt.
pub(super) const MEDIA_TYPE: &str = "application/vnd.rap.receipt+json";

#[derive(Debug, Deserialize)]
struct Receipt {
    receipt: String,
    events: usize,
}

/// Whether `body` is the receipt for the batch `key` of `count` events.
pub(in crate::forward) fn is_for(body: &[u8], key: &str, count: usize) -> bool {
    let receipt = serde_json::from_slice::<Receipt>(body);
    receipt.is_ok_and(|receipt| receipt.receipt == key && receipt.events == count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_for_this_batch_or_none() {
        assert!(is_for(br#"{"receipt":"k","events":2}"#, "k", 2));
        for wrong in [
            &br#"{"receipt":"k","events":1}"#[..],
            br#"{"receipt":"x","events":2}"#,
            b"<html>",
            b"{}",
        ] {
            assert!(!is_for(wrong, "k", 2));
        }
    }
}
