//! How far a lane has been delivered: two slots written in turn, so that a torn write leaves the other.
//!
//! ```text
//! slot at 0 and at 4096:  "RPC1", u32 CRC-32C of the rest, u64 turn, u64 delivered sequence   (little endian)
//! ```
//! Losing both slots only causes re-sending. The file keeps its size from the first write on, so that a full disk
//! does not keep a cursor from moving.

use std::io;

use super::frame::{crc32c, u32_at, u64_at};
use super::storage::{Barrier, Storage};

const SLOT: usize = 4096;
const SIZE: usize = 24;
/// Bytes of the file.
pub(super) const FILE: u64 = 2 * SLOT as u64;

/// The cursor of one lane in its file.
#[derive(Debug)]
pub(super) struct Cursor {
    name: String,
    turn: u64,
    made: bool,
    /// Whether the file was there and nothing in it is damaged: then what lies before the position was delivered.
    pub(super) whole: bool,
}

impl Cursor {
    /// Reads the cursor in file `name`. Also returns the delivered sequence, 0 when the file says nothing.
    pub(super) fn read(storage: &dyn Storage, name: String) -> (Self, u64) {
        let slots = [0, SLOT].map(|at| {
            let mut bytes = [0_u8; SIZE];
            // An unreadable slot is a lost slot.
            let read = storage.read(&name, at as u64, &mut bytes).unwrap_or(0);
            (read == SIZE).then_some(bytes)
        });
        let newest = slots.iter().flatten().filter_map(decode).max();
        let (turn, delivered) = newest.unwrap_or((0, 0));
        let cursor = Self {
            made: storage.size(&name).is_ok_and(|size| size == FILE),
            whole: newest.is_some()
                && slots
                    .iter()
                    .all(|slot| slot.is_some_and(|b| b == [0; SIZE] || decode(&b).is_some())),
            name,
            turn,
        };
        (cursor, delivered)
    }

    /// Writes and syncs the next slot. On an error the other slot still holds the position before.
    pub(super) fn store(&mut self, storage: &dyn Storage, delivered: u64) -> io::Result<()> {
        let turn = self.turn + 1;
        let at = if turn.is_multiple_of(2) { 0 } else { SLOT };
        if self.made {
            storage.write(&self.name, at as u64, &encode(turn, delivered))?;
        } else {
            let mut bytes = [0; 2 * SLOT];
            bytes[at..at + SIZE].copy_from_slice(&encode(turn, delivered));
            storage.create(&self.name)?;
            storage.write(&self.name, 0, &bytes)?;
        }
        storage.sync(&self.name, Barrier::Cursor)?;
        if !self.made {
            storage.sync_directory(Barrier::CursorName)?;
            self.made = true;
        }
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
