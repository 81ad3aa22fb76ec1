//! The digest of a file as far as it came: of the bytes as they came, or read again after a restart.

use super::put::PutError;
use super::record::{Description, Phase};
use crate::digest::Hasher;

/// The digest of a file's first bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Hash {
    state: Hasher,
    /// How many bytes.
    pub(super) at: u64,
}

impl Hash {
    /// Takes the bytes that begin at `first`, if they are the next ones. Else they are taken when they are read.
    pub(super) fn take(&mut self, first: u64, bytes: &[u8]) {
        if first == self.at {
            self.state.update(bytes);
            self.at += bytes.len() as u64;
        }
    }

    /// The phase of a file with these bytes.
    ///
    /// # Errors
    /// [`PutError::WrongDigest`] when these are all its bytes and not the file.
    pub(super) fn phase(&self, file: &Description) -> Result<Phase, PutError> {
        if self.at < file.size {
            return Ok(Phase::Part);
        }
        match self.state.clone().finish() == file.digest {
            true => Ok(Phase::Whole),
            false => Err(PutError::WrongDigest),
        }
    }
}
