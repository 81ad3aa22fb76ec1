//! Where a UKI's kernel is a zstd frame: the payload of its `bzImage`.
//!
//! Source of the rules: Linux, `Documentation/arch/x86/boot.rst`: `setup_sects` at 0x1f1, `HdrS` at 0x202, `version` at 0x206,
//! `payload_offset` (from the end of the setup) at 0x248 and `payload_length` at 0x24c, since version 2.08. The payload is
//! the frame and four bytes with its unpacked length (`scripts/Makefile.lib`, `size_append`).

use std::ops::Range;

use rap_core::update::apply::{self, KERNEL_LIMIT};
use zstd::zstd_safe;

use crate::uki::{Program, UkiError};

/// Since which version the header says where the payload is.
const VERSION: usize = 0x0208;
const SECTOR: usize = 512;

/// Why a kernel is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file around it.
    #[error(transparent)]
    Uki(#[from] UkiError),
    /// Not a kernel that says where its payload is.
    #[error("section `.linux` is no bzImage of boot protocol 2.08 or later")]
    NotBzImage,
    /// The payload's place is outside of the kernel.
    #[error("its payload of {bytes} bytes at {at} lies outside of its {of} bytes")]
    Outside {
        /// Where it begins in the kernel.
        at: usize,
        /// Its bytes.
        bytes: usize,
        /// The kernel's bytes.
        of: usize,
    },
    /// Another compressor.
    #[error("its payload is no zstd frame followed by its length")]
    NotZstd,
    /// Too large.
    #[error("its payload has {0} bytes unpacked, at most {KERNEL_LIMIT} are")]
    TooLarge(u64),
    /// Damaged.
    #[error("its payload cannot be unpacked: {0}")]
    Unpack(#[source] std::io::Error),
}

/// A kernel's payload.
#[derive(Debug)]
pub struct Place {
    /// Its frame in the UKI.
    pub packed: Range<usize>,
    /// What is in that.
    pub unpacked: Vec<u8>,
}

/// Finds and unpacks the payload of a UKI's kernel.
///
/// # Errors
/// When it is no UKI, or its kernel is packed otherwise.
pub fn find(uki: &[u8]) -> Result<Place, KernelError> {
    let program = Program::parse(uki)?;
    let kernel = program.required(".linux")?;
    let section = program.sections.iter().find(|section| section.name == ".linux");
    let start = section.map_or(0, |section| section.raw.start);
    let payload = payload(kernel)?;
    let bytes = &kernel[payload.clone()];
    let frame = zstd_safe::find_frame_compressed_size(bytes).map_err(|_| KernelError::NotZstd)?;
    let Some((frame, &[a, b, c, d])) = bytes.split_at_checked(frame) else {
        return Err(KernelError::NotZstd);
    };
    let unpacked = u64::from(u32::from_le_bytes([a, b, c, d]));
    if unpacked > KERNEL_LIMIT {
        return Err(KernelError::TooLarge(unpacked));
    }
    let at = start + payload.start;
    Ok(Place {
        packed: at..at + frame.len(),
        unpacked: apply::unpack(frame, unpacked).map_err(KernelError::Unpack)?,
    })
}

/// Where in a kernel its payload is, with the four bytes behind the frame.
///
/// # Errors
/// When it is no bzImage, or says a place outside of itself.
pub fn payload(kernel: &[u8]) -> Result<Range<usize>, KernelError> {
    let number = |at: usize, width: usize| {
        let bytes = kernel.get(at..at + width).ok_or(KernelError::NotBzImage)?;
        Ok::<_, KernelError>(
            bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | usize::from(byte)),
        )
    };
    if kernel.get(0x202..0x206) != Some(b"HdrS") || number(0x206, 2)? < VERSION {
        return Err(KernelError::NotBzImage);
    }
    let setup = match number(0x1f1, 1)? {
        // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
        0 => 4,
        sectors => sectors,
    };
    let at = (setup + 1) * SECTOR + number(0x248, 4)?;
    let bytes = number(0x24c, 4)?;
    if at + bytes > kernel.len() {
        let of = kernel.len();
        return Err(KernelError::Outside { at, bytes, of });
    }
    Ok(at..at + bytes)
}

impl Place {
    /// The frame's bytes in the UKI it was found in.
    #[must_use]
    pub fn packed<'a>(&self, uki: &'a [u8]) -> &'a [u8] {
        &uki[self.packed.clone()]
    }

    /// That UKI with the payload unpacked.
    #[must_use]
    pub fn unpacked_file(&self, uki: &[u8]) -> Vec<u8> {
        [&uki[..self.packed.start], &self.unpacked, &uki[self.packed.end..]].concat()
    }
}
