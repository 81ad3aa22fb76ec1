//! [`crate::durable`] with init's errors, which name the file.

use std::path::Path;

use crate::durable;
pub(super) use crate::durable::Owner;

use super::InitError;

/// As [`durable::write`].
///
/// # Errors
/// As there.
pub(super) fn write(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), InitError> {
    durable::write(path, content, mode, owner).map_err(|source| named(path, source))
}

/// As [`durable::directory`].
///
/// # Errors
/// As there.
pub(super) fn directory(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), InitError> {
    durable::directory(path, mode, owner).map_err(|source| named(path, source))
}

fn named(path: &Path, source: std::io::Error) -> InitError {
    InitError::Write {
        path: path.to_owned(),
        source,
    }
}
