//! The last check: what came out is the release's image, to the byte.

use std::io::{self, Read};

use super::ApplyError;
use crate::digest::Hasher;
use crate::release::File;

/// Reads what `inner` makes; ends with an error when that is not `file`.
pub(super) struct Whole<R> {
    inner: R,
    file: File,
    made: u64,
    hasher: Hasher,
}

impl<R: Read> Whole<R> {
    pub(super) fn new(inner: R, file: File) -> Self {
        Self {
            inner,
            file,
            made: 0,
            hasher: Hasher::new(),
        }
    }

    fn some(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        let expected = self.file.bytes;
        let n = self
            .inner
            .read(out)
            .map_err(|error| ApplyError::of_stream(error, self.made, expected, ApplyError::Pieces))?;
        if n as u64 > expected - self.made {
            return Err(ApplyError::Long(expected));
        }
        self.hasher.update(&out[..n]);
        self.made += n as u64;
        if n > 0 {
            return Ok(n);
        }
        if self.made < expected {
            let at = self.made;
            return Err(ApplyError::Short { at, expected });
        }
        match self.hasher.clone().finish() {
            found if found == self.file.sha256 => Ok(0),
            found => Err(ApplyError::Digest {
                found,
                expected: self.file.sha256,
            }),
        }
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        self.some(out).map_err(ApplyError::carried)
    }
}
