//! The bytes that a patch's instructions make.

use std::io::{self, Read, Seek};

use super::old::{Old, shorter};
use super::{ApplyError, Instruction};

/// Bytes of differences looked at in one go.
const STEP: usize = 16 << 10;

/// What the instructions in `body` make out of `old`: exactly `bytes`, or an error.
pub(super) struct Made<B, R> {
    body: B,
    old: Old<R>,
    /// Bytes to be made in all.
    bytes: u64,
    made: u64,
    /// Where in the old file the next bytes are taken.
    from: u64,
    /// What is left of the instruction.
    add: u64,
    copy: u64,
    differences: Vec<u8>,
}

impl<B: Read, R: Read + Seek> Made<B, R> {
    pub(super) fn new(body: B, old: Old<R>, bytes: u64) -> Self {
        Self {
            body,
            old,
            bytes,
            made: 0,
            from: 0,
            add: 0,
            copy: 0,
            differences: vec![0; STEP],
        }
    }

    fn some(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        if self.made == self.bytes {
            return self.end();
        }
        if self.add == 0 && self.copy == 0 {
            self.next()?;
        }
        let n = if self.add > 0 {
            let n = shorter(out.len().min(STEP), self.add);
            let (out, differences) = (&mut out[..n], &mut self.differences[..n]);
            self.old.read(self.from, out)?;
            let read = self.body.read_exact(differences);
            read.map_err(|error| self.broken(error))?;
            for (byte, difference) in out.iter_mut().zip(&self.differences) {
                *byte = byte.wrapping_add(*difference);
            }
            self.from += n as u64;
            self.add -= n as u64;
            n
        } else {
            let n = shorter(out.len(), self.copy);
            let read = self.body.read_exact(&mut out[..n]);
            read.map_err(|error| self.broken(error))?;
            self.copy -= n as u64;
            n
        };
        self.made += n as u64;
        Ok(n)
    }

    /// The next instruction: it moves on, and stays within both files.
    fn next(&mut self) -> Result<(), ApplyError> {
        let Instruction { seek, add, copy } =
            Instruction::read(&mut self.body).map_err(|error| self.broken(error))?;
        let wrong = |what| Err(ApplyError::Instruction { at: self.made, what });
        match add.checked_add(copy) {
            Some(0) => return wrong("an instruction that makes nothing"),
            Some(made) if made <= self.bytes - self.made => {}
            _ => return wrong("an instruction makes more than the image has"),
        }
        let from = self.from.checked_add_signed(seek);
        let room = from.and_then(|from| self.old.bytes.checked_sub(from));
        let (Some(from), true) = (from, room.is_some_and(|room| add <= room)) else {
            return wrong("an instruction goes outside of the image that runs");
        };
        (self.from, self.add, self.copy) = (from, add, copy);
        Ok(())
    }

    /// Nothing may follow; and the compressor's own end is checked only when it is read.
    fn end(&mut self) -> Result<usize, ApplyError> {
        match self.body.read(&mut [0]) {
            Ok(0) => Ok(0),
            Ok(_) => Err(ApplyError::Long(self.made)),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: io::Error) -> ApplyError {
        ApplyError::of_stream(error, self.made, self.bytes, ApplyError::Pieces)
    }
}

impl<B: Read, R: Read + Seek> Read for Made<B, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        self.some(out).map_err(ApplyError::carried)
    }
}
