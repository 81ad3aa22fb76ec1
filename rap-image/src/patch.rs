//! Patches from one UKI to the next, for the box's [`apply`], which says what is in one.
//!
//! [`between`] makes them over both of [`Over`](rap_core::release::Over): the raw one is good for every box; the one over the unpacked kernel is there
//! only when it is smaller, and takes the box more memory. Each is applied before it is given out, so none can come to a
//! box that does not make the new image, to the byte. The same two files give the same patches.

mod difference;
pub mod kernel;

use std::fmt;
use std::io::{self, Cursor, Write};

use liblzma::stream::{Check, Error as XzError, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use rap_core::digest::Sha256;
use rap_core::release::{File, PATCH_PIECE, Patch};
use rap_core::update::apply::{self, ApplyError, Header, Kernel, Stretch, WINDOW};

use crate::uki::UkiError;
use kernel::Place;

/// Why no patch was made.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// A file is no UKI.
    #[error("the {which} image is none")]
    Uki {
        /// `old` or `new`.
        which: &'static str,
        /// Why.
        #[source]
        source: UkiError,
    },
    /// The compressor.
    #[error("the patch cannot be compressed")]
    Compress(#[source] io::Error),
    /// The patch does not make the new image: a mistake of this program.
    #[error(
        "the patch was made and does not give the new image: a mistake of rap-image, and nothing is published"
    )]
    Verify(#[source] ApplyError),
}

/// The patches from one UKI to another.
#[derive(Debug)]
pub struct Patches {
    /// The smallest first; at least one.
    pub made: Vec<Made>,
    /// Why none is over the unpacked kernel, if none is.
    pub raw_only: Option<RawOnly>,
}

/// A patch, with its bytes.
#[derive(Debug, Clone)]
pub struct Made {
    /// What goes into the manifest.
    pub patch: Patch,
    /// The content of its pieces, in their order.
    pub pieces: Vec<Vec<u8>>,
}

/// Why no patch is over the unpacked kernel.
#[derive(Debug)]
pub enum RawOnly {
    /// The kernel is the same.
    SameKernel,
    /// A kernel is not packed as Debian's is.
    Kernel {
        /// `old` or `new`.
        which: &'static str,
        /// What it is instead.
        source: kernel::KernelError,
    },
    /// The box would not pack the new kernel to the same bytes.
    OtherPacker,
    /// It would be no smaller.
    NoSmaller,
}

/// Makes the patches from `old` to `new`.
///
/// Takes some minutes and about 10 times the images' size in memory.
///
/// # Errors
/// When one is no UKI, or a patch does not prove right.
pub fn between(old: &[u8], new: &[u8]) -> Result<Patches, PatchError> {
    let raw = made(old, old, new, new, &Header { kernel: None })?;
    let (unpacked, raw_only) = match over_kernel(old, new)? {
        Ok(made) if made.bytes() < raw.bytes() => (Some(made), None),
        Ok(_) => (None, Some(RawOnly::NoSmaller)),
        Err(why) => (None, Some(why)),
    };
    let made = unpacked.into_iter().chain([raw]).collect();
    Ok(Patches { made, raw_only })
}

/// The patch over the unpacked kernel, or why there is none.
fn over_kernel(old: &[u8], new: &[u8]) -> Result<Result<Made, RawOnly>, PatchError> {
    let place = |which, uki| match kernel::find(uki) {
        Ok(place) => Ok(Ok(place)),
        Err(kernel::KernelError::Uki(source)) => Err(PatchError::Uki { which, source }),
        Err(source) => Ok(Err(RawOnly::Kernel { which, source })),
    };
    let (from, to) = match (place("old", old)?, place("new", new)?) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
    };
    if from.packed(old) == to.packed(new) {
        return Ok(Err(RawOnly::SameKernel));
    }
    let stretch = |place: &Place| Stretch {
        at: place.packed.start as u64,
        packed: place.packed.len() as u64,
        unpacked: place.unpacked.len() as u64,
    };
    let header = Header {
        kernel: Some(Kernel {
            old: stretch(&from),
            new: stretch(&to),
            packed: Sha256::of(to.packed(new)),
        }),
    };
    match made(
        old,
        &from.unpacked_file(old),
        new,
        &to.unpacked_file(new),
        &header,
    ) {
        Err(PatchError::Verify(ApplyError::Packed)) => Ok(Err(RawOnly::OtherPacker)),
        result => result.map(Ok),
    }
}

/// One patch, whose instructions make `new_view` out of `old_view`.
fn made(
    old: &[u8],
    old_view: &[u8],
    new: &[u8],
    new_view: &[u8],
    header: &Header,
) -> Result<Made, PatchError> {
    let mut bytes = header.bytes();
    let mut encoder = XzEncoder::new_stream(&mut bytes, compressor().map_err(xz)?);
    encoder
        .write_all(&difference::between(old_view, new_view))
        .and_then(|()| encoder.finish().map(drop))
        .map_err(PatchError::Compress)?;
    let pieces: Vec<Vec<u8>> = bytes.chunks(PATCH_PIECE).map(<[u8]>::to_vec).collect();
    let patch = Patch {
        from: Sha256::of(old),
        over: header.over(),
        memory_mib: apply::memory(header).div_ceil(1 << 20),
        pieces: pieces.iter().map(|piece| file(piece)).collect(),
    };
    apply::patched(&patch, bytes.as_slice(), Cursor::new(old), file(new))
        .and_then(|mut made| {
            let copied = io::copy(&mut made, &mut io::sink());
            copied.map_err(|error| error.downcast().unwrap_or_else(ApplyError::Pieces))
        })
        .map_err(PatchError::Verify)?;
    Ok(Made { patch, pieces })
}

/// What compresses best of what was tried: `docs/benchmarks.md`. The digest at the end is the checksum.
fn compressor() -> Result<Stream, XzError> {
    let mut options = LzmaOptions::new_preset(9 | EXTREME)?;
    options.dict_size(WINDOW);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    Stream::new_stream_encoder(&filters, Check::None)
}

/// `LZMA_PRESET_EXTREME` of liblzma's `lzma/lzma12.h`.
const EXTREME: u32 = 1 << 31;

fn xz(error: XzError) -> PatchError {
    PatchError::Compress(error.into())
}

fn file(bytes: &[u8]) -> File {
    File {
        bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

impl Made {
    /// Bytes of all its pieces.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        rap_core::release::bytes(&self.patch.pieces)
    }
}

impl fmt::Display for RawOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameKernel => f.write_str("the kernel is the same"),
            Self::Kernel { which, source } => write!(f, "the {which} kernel is not unpacked: {source}"),
            Self::OtherPacker => f.write_str("the box would pack the new kernel to other bytes"),
            Self::NoSmaller => f.write_str("a patch over the unpacked kernel is no smaller"),
        }
    }
}

#[cfg(test)]
mod tests;
