//! What stands before a patch's instructions.
//!
//! ```text
//!  0   8  "RAPPATCH"
//!  8   4  format, 1                       all numbers are little-endian
//! 12   4  0: over the raw UKI, and the instructions follow; 1: over the unpacked kernel:
//! 16  24  the old kernel's stretch: where it begins in the UKI, bytes packed, bytes unpacked
//! 40  24  the new kernel's
//! 64  32  SHA-256 of the new kernel, packed
//! ```

use std::io::{self, Read};

use super::{ApplyError, KERNEL_LIMIT, memory};
use crate::boot::disk::SLOT_BYTES;
use crate::digest::Sha256;
use crate::release::{Over, Patch};

const MAGIC: [u8; 8] = *b"RAPPATCH";
const FORMAT: u32 = 1;

/// The head of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where the kernels are, when the patch is over the unpacked one.
    pub kernel: Option<Kernel>,
}

/// The kernels of both images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// In the UKI the patch is from.
    pub old: Stretch,
    /// In the UKI it makes.
    pub new: Stretch,
    /// Of the new one, packed.
    pub packed: Sha256,
}

/// A stretch of a UKI that is a zstd frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Bytes of the UKI before it.
    pub at: u64,
    /// Its bytes as they are in the UKI.
    pub packed: u64,
    /// Its bytes when unpacked.
    pub unpacked: u64,
}

impl Stretch {
    /// The length of a file of `bytes` with this stretch unpacked.
    #[must_use]
    pub fn unpacked_file(&self, bytes: u64) -> u64 {
        bytes - self.packed + self.unpacked
    }
}

impl Header {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(u32::from(self.kernel.is_some()).to_le_bytes());
        if let Some(kernel) = &self.kernel {
            for stretch in [kernel.old, kernel.new] {
                for number in [stretch.at, stretch.packed, stretch.unpacked] {
                    bytes.extend(number.to_le_bytes());
                }
            }
            bytes.extend(kernel.packed.as_bytes());
        }
        bytes
    }

    /// Reads it from the beginning of a patch; the instructions are left in `pieces`.
    ///
    /// # Errors
    /// When there is no such header.
    pub fn read(pieces: &mut impl Read) -> Result<Self, ApplyError> {
        let wrong = |found: String, expected| Err(ApplyError::Header { found, expected });
        let magic: [u8; 8] = array(pieces)?;
        if magic != MAGIC {
            return wrong(format!("\"{}\"", magic.escape_ascii()), "\"RAPPATCH\"");
        }
        let format = u32::from_le_bytes(array(pieces)?);
        if format != FORMAT {
            return wrong(format!("format {format}"), "format 1");
        }
        let kernel = match u32::from_le_bytes(array(pieces)?) {
            0 => None,
            1 => Some(Kernel {
                old: stretch(pieces)?,
                new: stretch(pieces)?,
                packed: Sha256::from(array(pieces)?),
            }),
            other => return wrong(format!("kind {other}"), "kind 0 or 1"),
        };
        Ok(Self { kernel })
    }

    /// Over what the patch is.
    #[must_use]
    pub fn over(&self) -> Over {
        if self.kernel.is_some() {
            Over::UnpackedKernel
        } else {
            Over::Raw
        }
    }

    /// Bytes that the instructions make for a UKI of `bytes`; the header was [checked](Self::check) against that.
    pub(super) fn unpacked(&self, bytes: u64) -> u64 {
        self.kernel
            .map_or(bytes, |kernel| kernel.new.unpacked_file(bytes))
    }

    /// Holds the numbers against what they are about: the manifest's word, and the two UKIs' lengths.
    pub(super) fn check(&self, patch: &Patch, old: u64, new: u64) -> Result<(), ApplyError> {
        if self.over() != patch.over {
            return Err(ApplyError::Header {
                found: format!("a patch of kind {:?}", self.over()),
                expected: "the kind that the manifest says",
            });
        }
        for (bytes, what) in [(old, "the old image's length"), (new, "the new image's length")] {
            bounded(what, bytes, SLOT_BYTES)?;
        }
        let Some(kernel) = &self.kernel else {
            return Ok(());
        };
        for (stretch, bytes) in [(kernel.old, old), (kernel.new, new)] {
            bounded("the kernel's place", stretch.at, bytes)?;
            bounded("the kernel's packed length", stretch.packed, bytes - stretch.at)?;
            bounded("the kernel's unpacked length", stretch.unpacked, KERNEL_LIMIT)?;
        }
        let most = patch.memory_mib.saturating_mul(1 << 20);
        bounded("the memory to apply it", memory(self), most)
    }
}

fn bounded(what: &'static str, found: u64, most: u64) -> Result<(), ApplyError> {
    if found <= most {
        return Ok(());
    }
    Err(ApplyError::Bounds {
        what,
        found,
        expected: format!("at most {most}"),
    })
}

fn stretch(pieces: &mut impl Read) -> Result<Stretch, ApplyError> {
    let mut number = || array(pieces).map(u64::from_le_bytes);
    Ok(Stretch {
        at: number()?,
        packed: number()?,
        unpacked: number()?,
    })
}

fn array<const N: usize>(pieces: &mut impl Read) -> Result<[u8; N], ApplyError> {
    let mut bytes = [0; N];
    pieces
        .read_exact(&mut bytes)
        .map_err(|error: io::Error| ApplyError::of_stream(error, 0, 1, ApplyError::Pieces))?;
    Ok(bytes)
}
