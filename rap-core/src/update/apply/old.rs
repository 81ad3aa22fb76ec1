//! The UKI that runs as a patch sees it: with the kernel unpacked, if the patch is over that.

use std::io::{Read, Seek, SeekFrom};

use super::header::{Kernel, Stretch};
use super::{ApplyError, kernel};

/// The old file, to be read anywhere.
#[derive(Debug)]
pub(super) struct Old<R> {
    running: R,
    /// Where `running` stands, if that is known.
    stands: Option<u64>,
    /// Bytes of all, with the kernel unpacked.
    pub(super) bytes: u64,
    kernel: Option<(Stretch, Vec<u8>)>,
}

impl<R: Read + Seek> Old<R> {
    /// Unpacks the kernel; the header was checked against the file's length.
    pub(super) fn new(mut running: R, bytes: u64, kernel: Option<&Kernel>) -> Result<Self, ApplyError> {
        let Some(&Kernel { old: stretch, .. }) = kernel else {
            return Ok(Self {
                running,
                stands: None,
                bytes,
                kernel: None,
            });
        };
        running
            .seek(SeekFrom::Start(stretch.at))
            .map_err(ApplyError::Old)?;
        let mut packed = Vec::new();
        running
            .by_ref()
            .take(stretch.packed)
            .read_to_end(&mut packed)
            .map_err(ApplyError::Old)?;
        let unpacked = kernel::unpack(&packed, stretch.unpacked).map_err(ApplyError::Unpack)?;
        Ok(Self {
            running,
            stands: None,
            bytes: stretch.unpacked_file(bytes),
            kernel: Some((stretch, unpacked)),
        })
    }

    /// Fills `out` with what is at `at`; all of it lies within [`Self::bytes`].
    pub(super) fn read(&mut self, mut at: u64, mut out: &mut [u8]) -> Result<(), ApplyError> {
        while !out.is_empty() {
            let n = self.some(at, out)?;
            at += n as u64;
            out = &mut out[n..];
        }
        Ok(())
    }

    /// Fills the beginning of `out`, to the kernel's next border at most; returns how much.
    fn some(&mut self, at: u64, out: &mut [u8]) -> Result<usize, ApplyError> {
        let Some((stretch, unpacked)) = &self.kernel else {
            return self.file(at, out);
        };
        let Some(within) = at.checked_sub(stretch.at) else {
            let n = shorter(out.len(), stretch.at - at);
            return self.file(at, &mut out[..n]);
        };
        let rest = unpacked
            .get(shorter(unpacked.len(), within)..)
            .unwrap_or_default();
        if rest.is_empty() {
            let place = at - stretch.unpacked + stretch.packed;
            return self.file(place, out);
        }
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn file(&mut self, at: u64, out: &mut [u8]) -> Result<usize, ApplyError> {
        if self.stands != Some(at) {
            self.stands = None;
            self.running.seek(SeekFrom::Start(at)).map_err(ApplyError::Old)?;
        }
        self.running.read_exact(out).map_err(ApplyError::Old)?;
        self.stands = Some(at + out.len() as u64);
        Ok(out.len())
    }
}

/// The smaller of a length in memory and one in a file.
pub(super) fn shorter(length: usize, bytes: u64) -> usize {
    usize::try_from(bytes).map_or(length, |bytes| bytes.min(length))
}
