//! What stands on a device while it is written: in its second sector, where the partition table's header will be.
//!
//! ```text
//! 0   16   "RAP-FLASH-BEGUN\n"
//! 16  64   build id of the image that was being written, in ASCII, zeros behind it
//! 80  432  zeros
//! ```
//!
//! The table's header takes its place as the very last thing that is written: a device has either the mark or a table.

use std::ops::Range;

use crate::boot::disk::{Disk, DiskError};

/// Bytes of the device.
pub const PLACE: Range<usize> = 512..1024;

const MAGIC: &[u8; 16] = b"RAP-FLASH-BEGUN\n";
const BUILD: Range<usize> = 16..80;

/// The mark's sector.
#[must_use]
pub fn encode(build: &str) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..MAGIC.len()].copy_from_slice(MAGIC);
    let length = build.len().min(BUILD.len());
    sector[BUILD][..length].copy_from_slice(&build.as_bytes()[..length]);
    sector
}

/// The build id in a mark's sector, empty when it is none that could be printed; `None` when there is no mark.
#[must_use]
pub fn decode(sector: &[u8; 512]) -> Option<String> {
    let rest = sector.strip_prefix(MAGIC)?;
    let text: Vec<u8> = rest[..BUILD.len()]
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    let is_plain = text.iter().all(u8::is_ascii_hexdigit);
    Some(
        String::from_utf8(text)
            .ok()
            .filter(|_| is_plain)
            .unwrap_or_default(),
    )
}

/// Which build an interrupted flash was writing to `device`; `None` when none was.
///
/// # Errors
/// When the device cannot be read.
pub fn find(device: &impl Disk) -> Result<Option<String>, DiskError> {
    let mut sector = [0; 512];
    device.read_at(&mut sector, PLACE.start as u64)?;
    Ok(decode(&sector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_was_being_written_and_only_what_can_be_printed() {
        let build = "5f".repeat(32);
        assert_eq!(decode(&encode(&build)), Some(build.clone()));
        assert_eq!(decode(&encode(&(build.clone() + "00"))), Some(build));
        assert_eq!(decode(&encode("\u{1b}[31m")), Some(String::new()));
        assert_eq!(decode(&[0; 512]), None);
    }
}
