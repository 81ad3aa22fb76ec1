//! What the instructions make, with the kernel's stretch of it packed on its way out.

use std::io::{self, Read, Take};

use super::ApplyError;
use super::header::Kernel;
use super::kernel::Packing;

/// The new UKI's bytes.
pub(super) struct Joined<R: Read> {
    stage: Stage<R>,
}

enum Stage<R: Read> {
    /// What is before the kernel.
    Before(Take<R>, Kernel),
    /// The kernel. Boxed: a packer is large.
    Kernel(Box<Packing<Take<R>>>),
    /// What is after it; all, without one.
    After(R),
    /// An error was given.
    Broken,
}

impl<R: Read> Joined<R> {
    pub(super) fn new(made: R, kernel: Option<Kernel>) -> Self {
        let stage = match kernel {
            Some(kernel) => Stage::Before(made.take(kernel.new.at), kernel),
            None => Stage::After(made),
        };
        Self { stage }
    }

    fn some(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = match &mut self.stage {
                Stage::Before(made, _) => made.read(out)?,
                Stage::Kernel(packing) => packing.some(out).map_err(ApplyError::carried)?,
                Stage::After(made) => return made.read(out),
                Stage::Broken => return Err(io::Error::other("an update that failed is read on")),
            };
            if n > 0 {
                return Ok(n);
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Broken) {
                Stage::Before(made, kernel) => {
                    let unpacked = made.into_inner().take(kernel.new.unpacked);
                    let packing = Packing::new(unpacked, &kernel).map_err(ApplyError::carried)?;
                    Stage::Kernel(Box::new(packing))
                }
                Stage::Kernel(packing) => Stage::After(packing.into_inner().into_inner()),
                Stage::After(_) | Stage::Broken => Stage::Broken,
            };
        }
    }
}

impl<R: Read> Read for Joined<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let result = if out.is_empty() { Ok(0) } else { self.some(out) };
        if result.is_err() {
            self.stage = Stage::Broken;
        }
        result
    }
}
