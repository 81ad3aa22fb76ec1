//! Files that were delivered lately, so that an agent that posts one again hears so and need not send it.
//!
//! ```text
//! file "delivered": 1024 slots of 64 bytes, written in turn:
//!   u32 CRC-32C of the rest, u32 0, u64 turn, u64 size, SHA-256 of source, 0 and digest   (little endian)
//! ```
//! Nothing here is waited for: a slot that is lost costs sending the file once more, which the service centre recognises.

use std::collections::{HashMap, VecDeque};
use std::io;

use sha2::{Digest as _, Sha256};

use super::shelf::Key;
use crate::forward::log::{Storage, crc32c, u32_at, u64_at};

const NAME: &str = "delivered";
const SLOT: usize = 64;
const SLOTS: usize = 1024;

type Hash = [u8; 32];

/// The files delivered last, by the hash of their key, with their sizes.
#[derive(Debug, Default)]
pub(super) struct Past {
    sizes: HashMap<Hash, u64>,
    order: VecDeque<Hash>,
    turn: u64,
}

impl Past {
    /// Reads what is known; damage is forgotten.
    pub(super) fn read(storage: &dyn Storage) -> Self {
        let mut bytes = vec![0; SLOTS * SLOT];
        let length = storage.read(NAME, 0, &mut bytes).unwrap_or(0);
        let mut slots: Vec<_> = bytes[..length].chunks_exact(SLOT).filter_map(decode).collect();
        slots.sort_unstable();
        let mut past = Self::default();
        for (turn, size, hash) in slots {
            past.turn = turn;
            past.add(hash, size);
        }
        past
    }

    /// The size of a file that was delivered lately.
    pub(super) fn size_of(&self, key: &Key) -> Option<u64> {
        self.sizes.get(&hash_of(key)).copied()
    }

    /// Remembers a file.
    pub(super) fn remember(&mut self, storage: &dyn Storage, key: &Key, size: u64) {
        let hash = hash_of(key);
        self.turn += 1;
        self.add(hash, size);
        if let Err(error) = write(storage, self.turn, size, &hash) {
            log::debug!("that a file was delivered is not remembered over a restart: {error}");
        }
    }

    fn add(&mut self, hash: Hash, size: u64) {
        if self.sizes.insert(hash, size).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > SLOTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.sizes.remove(&oldest);
        }
    }
}

fn hash_of(key: &Key) -> Hash {
    let text = format!("{}\0{}", key.source, key.digest);
    Sha256::digest(text.as_bytes()).into()
}

fn write(storage: &dyn Storage, turn: u64, size: u64, hash: &Hash) -> io::Result<()> {
    let mut bytes = [0; SLOT];
    bytes[8..16].copy_from_slice(&turn.to_le_bytes());
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[24..56].copy_from_slice(hash);
    let check = crc32c(&[&bytes[8..]]);
    bytes[..4].copy_from_slice(&check.to_le_bytes());
    if storage.size(NAME).is_err() {
        storage.create(NAME)?;
    }
    storage.write(NAME, turn % SLOTS as u64 * SLOT as u64, &bytes)
}

fn decode(bytes: &[u8]) -> Option<(u64, u64, Hash)> {
    let turn = u64_at(bytes, 8).filter(|turn| (1..u64::MAX / 2).contains(turn))?;
    let whole = u32_at(bytes, 0)? == crc32c(&[&bytes[8..]]);
    whole.then_some((turn, u64_at(bytes, 16)?, bytes[24..56].try_into().ok()?))
}
