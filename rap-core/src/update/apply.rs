//! From pieces, and the UKI that runs, to the new UKI as a stream. Pure: bytes in, bytes out.
//!
//! * [`frames`]: the whole image, one zstd frame for each MiB.
//! * [`patched`]: a patch over what runs, made by `rap_image::patch`.
//!
//! ```text
//! pieces, one after another:  header │ xz( seek add copy, diff…, literal… │ seek add copy, … )
//!
//! what runs   ┌ before ┬ kernel, packed ┬ after ┐      new  ┌ before ┬ kernel, packed ┬ after ┐
//!             └────────┴───────┬────────┴───────┘           └────────┴───────▲────────┴───────┘
//!                      unpacked into memory                          packed again, same bytes
//!             ┌ before ┬ kernel ──────┬ after ──┐  instructions  ┌ before ┬ kernel ──────┬ after ┐
//!             └────────┴──────────────┴─────────┘ ─────────────► └────────┴──────────────┴───────┘
//! ```
//!
//! [`Over::Raw`](crate::release::Over::Raw) is the same without the kernel's stretch. The box knows nothing of PE or bzImage: the header says where the
//! packed kernel lies in both files, and everything else, the signature at the end too, is bytes like any others.
//!
//! Invariants: what comes out has the length and the digest of the manifest, or reading it ends with an error; a patch
//! decides neither how much memory is taken ([`memory`], said before anything is unpacked) nor how much comes out; each
//! instruction moves on, so a patch of N bytes ends.

mod header;
mod instruction;
mod joined;
mod kernel;
mod made;
mod old;
mod whole;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use crate::digest::Sha256;
use crate::release::{FRAME, File, Patch};

pub use header::{Header, Kernel, Stretch};
pub use instruction::Instruction;
pub use kernel::{pack, unpack};

use joined::Joined;
use made::Made;
use old::Old;
use whole::Whole;

/// Bytes of the window that a patch's compressor looks back, at most: what the box's decoder keeps in memory.
pub const WINDOW: u32 = 16 << 20;
/// Bytes of an unpacked kernel, at most; today's has 58 million.
pub const KERNEL_LIMIT: u64 = 256 << 20;
/// Bytes that the decoder may take: its window, and what liblzma needs beside it.
const DECODER: u64 = WINDOW as u64 + (2 << 20);

/// Why the new UKI does not come out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The pieces could not be read.
    #[error("the pieces of the update cannot be read")]
    Pieces(#[source] io::Error),
    /// What runs could not be read.
    #[error("the image that runs cannot be read from its slot")]
    Old(#[source] io::Error),
    /// Not a patch, or one of another format.
    #[error(
        "the patch begins with {found}; expected {expected}: it was made for another version of this program"
    )]
    Header {
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A number of the header is out of its bounds.
    #[error(
        "the patch says that {what} is {found}, expected {expected}: it does not fit the image that runs"
    )]
    Bounds {
        /// Which.
        what: &'static str,
        /// What it is.
        found: u64,
        /// What it may be.
        expected: String,
    },
    /// An instruction leads out of what there is.
    #[error("the patch is damaged at byte {at} of what it makes: {what}")]
    Instruction {
        /// Bytes made before.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The patch ended before the image did.
    #[error("the patch ends at byte {at} of {expected} that it should make")]
    Short {
        /// Bytes made.
        at: u64,
        /// Bytes expected.
        expected: u64,
    },
    /// Something follows where nothing may.
    #[error("the pieces go on after the image's end, at byte {0}")]
    Long(u64),
    /// The old kernel's stretch is no zstd frame of the length the header says.
    #[error("the kernel of the image that runs cannot be unpacked")]
    Unpack(#[source] io::Error),
    /// Packing gave other bytes than Debian's.
    #[error(
        "the kernel, packed again, is not the new image's: take the patch over the packed one, or the whole image"
    )]
    Packed,
    /// Packing failed: most likely for want of memory.
    #[error("the kernel cannot be packed again")]
    Pack(#[source] io::Error),
    /// All came out, and it is not the new image.
    #[error("what was made has SHA-256 {found}, the release's image has {expected}")]
    Digest {
        /// What came out.
        found: Sha256,
        /// What the manifest says.
        expected: Sha256,
    },
}

impl ApplyError {
    /// The error of this module inside of one that reading gave.
    #[must_use]
    pub fn within(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// As an error of a reader.
    fn carried(self) -> io::Error {
        io::Error::other(self)
    }

    /// What reading a compressed stream gave: an error that another layer carried, an end that came early, or `other`.
    fn of_stream(error: io::Error, at: u64, expected: u64, other: fn(io::Error) -> Self) -> Self {
        match error.downcast::<Self>() {
            Ok(carried) => carried,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Short { at, expected },
            Err(error) => other(error),
        }
    }
}

/// The new UKI from the pieces of the whole image, one after another, as a stream. Takes 2 MiB of memory.
///
/// Reading ends with an [`ApplyError`] inside an [`io::Error`] when what comes out is not `new`.
///
/// # Errors
/// When zstd cannot begin.
pub fn frames<P: Read>(pieces: P, new: File) -> Result<impl Read + use<P>, ApplyError> {
    let mut decoder = zstd::Decoder::new(pieces).map_err(ApplyError::Pieces)?;
    // No frame needs a window larger than what it holds.
    decoder
        .window_log_max(FRAME.ilog2())
        .map_err(ApplyError::Pieces)?;
    Ok(Whole::new(decoder, new))
}

/// The new UKI from the pieces of a patch, one after another, and the UKI that runs, as a stream.
///
/// Reads the header, and unpacks the old kernel if the patch is over it, before it returns; takes the memory that the
/// manifest says at most. Reading ends with an [`ApplyError`] inside an [`io::Error`] when what comes out is not `new`.
///
/// # Errors
/// When the header is not one, its numbers do not fit `patch`, the running UKI and `new`, or the kernel does not unpack.
pub fn patched<P: Read, R: Read + Seek>(
    patch: &Patch,
    mut pieces: P,
    mut running: R,
    new: File,
) -> Result<impl Read + use<P, R>, ApplyError> {
    let header = Header::read(&mut pieces)?;
    let old_bytes = running.seek(SeekFrom::End(0)).map_err(ApplyError::Old)?;
    header.check(patch, old_bytes, new.bytes)?;
    let old = Old::new(running, old_bytes, header.kernel.as_ref())?;
    let stream = Stream::new_stream_decoder(DECODER, 0).map_err(|error| ApplyError::Pieces(error.into()))?;
    let body = BufReader::new(XzDecoder::new_stream(BufReader::new(pieces), stream));
    let made = Made::new(body, old, header.unpacked(new.bytes));
    Ok(Whole::new(Joined::new(made, header.kernel), new))
}

/// Memory in bytes that [`patched`] takes for such a patch: the decoder's window and buffers and, over an unpacked kernel,
/// the old kernel, then the packer's tables with the new one in its buffers. Measured: see `docs/benchmarks.md`.
#[must_use]
pub fn memory(header: &Header) -> u64 {
    let buffers = 4 << 20;
    let kernel = header.kernel.as_ref().map_or(0, |kernel| {
        let packing = kernel::TABLES + kernel.new.unpacked + 2 * kernel.new.packed;
        kernel.old.unpacked + packing.max(kernel.old.packed)
    });
    DECODER + buffers + kernel
}

#[cfg(test)]
mod tests;
