//! Debian's kernel, unpacked and packed again to the very bytes.
//!
//! Linux makes its `bzImage` with `zstd -22 --ultra` from standard input (`scripts/Makefile.lib`, `cmd_zstd22`). Since zstd 1.5.7
//! that program uses a worker, and cuts blocks otherwise than the library does without one; with one worker, level 22, a
//! checksum and no word of the length, the library gives the same bytes. The number of workers does not show in them, and
//! the length of a job does not as long as there is one job.

use std::io::{self, BufReader, Read};

use zstd::stream::raw::CParameter;
use zstd::stream::read::Encoder;

use super::ApplyError;
use super::header::Kernel;
use crate::digest::{Hasher, Sha256};

/// Bytes of the packer's tables at this level, whatever is packed; measured.
pub(super) const TABLES: u64 = 800 << 20;
const LEVEL: i32 = 22;
/// zstd's shortest job.
const SHORTEST_JOB: u64 = 512 << 10;

/// Unpacks a kernel's zstd frame of exactly `bytes`; takes as much memory.
///
/// # Errors
/// When it is no such frame.
pub fn unpack(packed: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    let unpacked = zstd::bulk::decompress(packed, length)?;
    if unpacked.len() != length {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has {} bytes, expected {length}", unpacked.len()),
        ));
    }
    Ok(unpacked)
}

/// Packs a kernel as Debian's build does.
///
/// # Errors
/// When there is not enough memory.
pub fn pack(unpacked: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    encoder(unpacked, unpacked.len() as u64)?.read_to_end(&mut packed)?;
    Ok(packed)
}

fn encoder<R: Read>(unpacked: R, bytes: u64) -> io::Result<Encoder<'static, BufReader<R>>> {
    let mut encoder = Encoder::new(unpacked, LEVEL)?;
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    encoder.set_parameter(CParameter::NbWorkers(1))?;
    // One job, and no larger than it has to be: its buffers are made for the longest.
    let job = u32::try_from(bytes.max(SHORTEST_JOB) + 1).map_err(io::Error::other)?;
    encoder.set_parameter(CParameter::JobSize(job))?;
    Ok(encoder)
}

/// A kernel on its way through the packer. Ends with [`ApplyError::Packed`] when the bytes are not the ones they should be.
pub(super) struct Packing<R: Read> {
    encoder: Encoder<'static, BufReader<R>>,
    hasher: Hasher,
    made: u64,
    bytes: u64,
    sha256: Sha256,
}

impl<R: Read> Packing<R> {
    pub(super) fn new(unpacked: R, kernel: &Kernel) -> Result<Self, ApplyError> {
        Ok(Self {
            encoder: encoder(unpacked, kernel.new.unpacked).map_err(ApplyError::Pack)?,
            hasher: Hasher::new(),
            made: 0,
            bytes: kernel.new.packed,
            sha256: kernel.packed,
        })
    }

    /// As [`Read::read`].
    pub(super) fn some(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        let n = self.encoder.read(out).map_err(|error| match error.downcast() {
            Ok(carried) => carried,
            Err(error) => ApplyError::Pack(error),
        })?;
        self.made += n as u64;
        self.hasher.update(&out[..n]);
        let is_done = n == 0;
        if self.made > self.bytes || is_done && self.hasher.clone().finish() != self.sha256 {
            return Err(ApplyError::Packed);
        }
        Ok(n)
    }

    /// What it packed from, when all is packed.
    pub(super) fn into_inner(self) -> R {
        self.encoder.finish().into_inner()
    }
}
