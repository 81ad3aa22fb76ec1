//! The receipts of docs/protocol.md §2 and §2.1: the only answers by which a batch or a file is delivered.

use serde::Deserialize;

use crate::digest::Sha256;

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

#[derive(Debug, Deserialize)]
struct FileReceipt {
    receipt: String,
    have: u64,
}

/// How much of the file the centre has, by a receipt for it.
pub(in crate::forward) fn of_file(body: &[u8], digest: &Sha256) -> Option<u64> {
    let receipt: FileReceipt = serde_json::from_slice(body).ok()?;
    (receipt.receipt == digest.to_string()).then_some(receipt.have)
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

    #[test]
    fn a_files_receipt_says_how_much_of_it_is_there() {
        let digest = Sha256::of(b"x");
        let receipt = |name: &str, have: &str| format!("{{\"receipt\":\"{name}\",\"have\":{have}}}");
        let of = |text: String| of_file(text.as_bytes(), &digest);
        assert_eq!(of(receipt(&digest.to_string(), "7")), Some(7));
        assert_eq!(of(receipt(&Sha256::of(b"y").to_string(), "7")), None);
        for wrong in ["-1", "1.5", "\"7\"", "18446744073709551616"] {
            assert_eq!(of(receipt(&digest.to_string(), wrong)), None, "{wrong}");
        }
        assert_eq!(of("<html>".to_owned()), None);
    }
}
