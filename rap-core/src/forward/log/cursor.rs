//! How far a lane has been delivered: two slots written in turn, so that a torn write leaves the other.
//!
//! ```text
//! slot at 0 and at 4096:  "RPC1", u32 CRC-32C of the rest, u64 turn, u64 delivered sequence   (little endian)
//! ```
//! Losing both slots only causes re-sending.

use std::io;

use super::frame::{crc32c, u32_at, u64_at};
use super::storage::Storage;

const SLOT: u64 = 4096;
const SIZE: usize = 24;

/// The cursor of one lane in its file.
#[derive(Debug)]
pub(super) struct Cursor {
    name: String,
    turn: u64,
}

impl Cursor {
    /// Reads the cursor in file `name`, which is made when it is missing. Also returns the delivered sequence, 0 at first.
    pub(super) fn open(storage: &dyn Storage, name: String) -> io::Result<(Self, u64)> {
        if !storage.list()?.contains(&name) {
            let temporary = format!("{name}.new");
            storage.create(&temporary)?;
            storage.write(&temporary, 0, &[0; 8192])?;
            storage.sync(&temporary)?;
            storage.rename(&temporary, &name)?;
            storage.sync_directory()?;
        }
        let newest = [0, SLOT]
            .into_iter()
            .filter_map(|at| {
                let mut bytes = [0_u8; SIZE];
                // An unreadable slot is a lost slot.
                (storage.read(&name, at, &mut bytes).ok()? == SIZE).then_some(())?;
                decode(&bytes)
            })
            .max();
        let (turn, delivered) = newest.unwrap_or((0, 0));
        Ok((Self { name, turn }, delivered))
    }

    /// Writes and syncs the next slot. On an error the other slot still holds the position before.
    pub(super) fn store(&mut self, storage: &dyn Storage, delivered: u64) -> io::Result<()> {
        let turn = self.turn + 1;
        let at = if turn.is_multiple_of(2) { 0 } else { SLOT };
        storage.write(&self.name, at, &encode(turn, delivered))?;
        storage.sync(&self.name)?;
        self.turn = turn;
        Ok(())
    }
}

fn encode(turn: u64, delivered: u64) -> [u8; SIZE] {
    let mut bytes = [0_u8; SIZE];
    bytes[..4].copy_from_slice(b"RPC1");
    bytes[8..16].copy_from_slice(&turn.to_le_bytes());
    bytes[16..].copy_from_slice(&delivered.to_le_bytes());
    let crc = crc32c(&[&bytes[8..]]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SIZE]) -> Option<(u64, u64)> {
    let whole = bytes[..4] == *b"RPC1" && u32_at(bytes, 4)? == crc32c(&[&bytes[8..]]);
    if whole {
        Some((u64_at(bytes, 8)?, u64_at(bytes, 16)?))
    } else {
        None
    }
}
