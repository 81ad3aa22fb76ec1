//! What this box has seen of the repository's metadata, kept over restarts and power cuts.
//!
//! ```text
//! known-a, known-b:   SHA-256 of the rest, in hexadecimal, and a line's end; then JSON: format, count, roots, timestamp, snapshot
//! ```
//!
//! Invariants: each copy is replaced as a whole, one after the other, so one of them is whole at every moment; the whole
//! one with the higher count is right. Damage to one costs nothing. Damage to both is said aloud ([`Memory::lost`]), the
//! copies are set aside as `damaged-a` and `damaged-b` when the next check has passed, and what then still holds is the
//! image's root, the floor of the release's number and the floor of the clock, which are kept elsewhere. Nothing is
//! written when nothing is new.

use std::io;

use serde::{Deserialize, Serialize};

use super::transport::Heard;
use crate::digest::Sha256;
use crate::folder::Folder;

const FORMAT: u32 = 1;
const COPIES: [&str; 2] = ["known-a", "known-b"];
const ASIDE: [&str; 2] = ["damaged-a", "damaged-b"];
/// Roots kept, at most; the oldest give way, since newer images bring newer roots.
const MOST_KEPT: usize = 32;
/// Bytes of hexadecimal digits and the line's end.
const HEAD: usize = 65;

/// What was seen. Texts as they were signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// [`FORMAT`].
    format: u32,
    /// Rises with each change.
    count: u64,
    /// Roots, oldest first, each signed by the one before it.
    pub(super) roots: Vec<String>,
    /// `timestamp.json`
    pub(super) timestamp: Option<String>,
    /// `snapshot.json`
    pub(super) snapshot: Option<String>,
}

/// What the folder holds.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) known: Known,
    /// In words, when something was remembered and is lost.
    pub(super) lost: Option<String>,
    /// Which copies are as they should be.
    right: [bool; 2],
}

/// One copy.
#[derive(Debug, PartialEq, Eq)]
enum Copy {
    Absent,
    Damaged,
    Whole(Known),
}

impl Memory {
    pub(super) fn read(folder: &impl Folder) -> io::Result<Self> {
        let mut copies = [Copy::Absent, Copy::Absent];
        for (copy, name) in copies.iter_mut().zip(COPIES) {
            *copy = Copy::of(folder.read(name)?);
        }
        let newest = copies
            .iter()
            .filter_map(Copy::known)
            .max_by_key(|known| known.count);
        let is_lost = newest.is_none() && copies.contains(&Copy::Damaged);
        let known = newest.cloned().unwrap_or_default();
        let right = [0, 1].map(|index: usize| copies[index].known() == Some(&known));
        Ok(Self {
            known,
            lost: is_lost.then(|| {
                "what this box had seen of the update repository is damaged on the disk and was set aside: older \
                 metadata is recognised from now on only; older releases are, as before"
                    .to_owned()
            }),
            right,
        })
    }

    /// Remembers what was just proven: the roots from the image's on, and what came.
    pub(super) fn remember(
        self,
        mut roots: Vec<String>,
        heard: &Heard,
        folder: &mut impl Folder,
    ) -> io::Result<()> {
        roots.extend(heard.roots());
        let surplus = roots.len().saturating_sub(MOST_KEPT);
        roots.drain(..surplus);
        let mut next = Known {
            format: FORMAT,
            count: self.known.count,
            roots,
            timestamp: heard.timestamp(),
            snapshot: heard.snapshot(),
        };
        let mut right = self.right;
        if next != self.known {
            next.count = next.count.saturating_add(1);
            right = [false, false];
        }
        if self.lost.is_some() {
            for (name, aside) in COPIES.into_iter().zip(ASIDE) {
                if folder.read(name)?.is_some() {
                    folder.rename(name, aside)?;
                }
            }
            folder.sync()?;
        }
        // A copy that is not whole is written first: at no moment is there none.
        let mut order = [0, 1];
        order.sort_by_key(|index| self.right[*index]);
        for index in order {
            if !right[index] {
                folder.replace(COPIES[index], &next.to_bytes()?)?;
            }
        }
        Ok(())
    }
}

impl Copy {
    fn of(content: Option<Vec<u8>>) -> Self {
        let Some(content) = content else {
            return Self::Absent;
        };
        Known::of_bytes(&content).map_or(Self::Damaged, Self::Whole)
    }

    fn known(&self) -> Option<&Known> {
        match self {
            Self::Whole(known) => Some(known),
            Self::Absent | Self::Damaged => None,
        }
    }
}

impl Known {
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let rest = serde_json::to_vec(self)?;
        let mut content = format!("{}\n", Sha256::of(&rest)).into_bytes();
        content.extend_from_slice(&rest);
        Ok(content)
    }

    fn of_bytes(content: &[u8]) -> Option<Self> {
        let (head, rest) = content.split_at_checked(HEAD)?;
        let digest: Sha256 = std::str::from_utf8(head).ok()?.strip_suffix('\n')?.parse().ok()?;
        if Sha256::of(rest) != digest {
            return None;
        }
        let known: Self = serde_json::from_slice(rest).ok()?;
        (known.format == FORMAT).then_some(known)
    }
}

/// Puts `content` to the parser of what is remembered: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_known(content: &[u8]) -> bool {
    Known::of_bytes(content).is_some()
}

#[cfg(test)]
mod tests;
