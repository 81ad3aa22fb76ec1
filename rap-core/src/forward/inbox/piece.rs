//! How a file's content lies in the folder: `ORDER.NUMBER`, pieces of [`PIECE`] bytes and a last one with the rest, each
//! whole or not there. So a file grows by the operations of `folder`, and what is here is told by looking.

use std::io;

use super::{OrderId, PIECE};
use crate::digest::{Hasher, Sha256};
use crate::folder::Folder;

/// The name of a piece.
pub(super) fn name(id: OrderId, index: u64) -> String {
    format!("{id}.{index}")
}

/// Whose piece this is, if it is one.
pub(super) fn parse(name: &str) -> Option<(OrderId, u64)> {
    let (id, index) = name.split_once('.')?;
    let (id, index) = (id.parse().ok()?, index.parse().ok()?);
    (self::name(id, index) == name).then_some((id, index))
}

/// How many pieces a file of `bytes` has.
pub(super) fn count(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE)
}

/// Bytes of a piece of a file of `bytes`; 0 behind its end.
pub(super) fn length(bytes: u64, index: u64) -> u64 {
    bytes.saturating_sub(index.saturating_mul(PIECE)).min(PIECE)
}

/// The digest of a file that is whole.
pub(super) fn digest(folder: &impl Folder, id: OrderId, bytes: u64) -> io::Result<Sha256> {
    let mut hasher = Hasher::new();
    for index in 0..count(bytes) {
        hasher.update(read(folder, id, bytes, index)?);
    }
    Ok(hasher.finish())
}

/// The bytes of a piece.
///
/// # Errors
/// Also when it is not there or has another length.
pub(super) fn read(folder: &impl Folder, id: OrderId, bytes: u64, index: u64) -> io::Result<Vec<u8>> {
    let name = name(id, index);
    let content = folder.read(&name)?.unwrap_or_default();
    if content.len() as u64 == length(bytes, index) {
        Ok(content)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name} has {} bytes", content.len()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_named_counted_and_measured() {
        let id: OrderId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(parse(&name(id, 7)), Some((id, 7)));
        for other in [
            "inbox.json",
            "x.1",
            &format!("{id}.01"),
            &format!("{id}.+1"),
            &format!(".{id}.1"),
            &id.to_string(),
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!((count(1), count(PIECE), count(PIECE + 1)), (1, 1, 2));
        assert_eq!(
            (length(PIECE + 5, 0), length(PIECE + 5, 1), length(PIECE + 5, 2)),
            (PIECE, 5, 0)
        );
        assert_eq!(length(1, u64::MAX), 0);
    }
}
