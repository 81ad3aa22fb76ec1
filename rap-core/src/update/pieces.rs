//! The pieces of a release on their way to being complete: each is checked, made durable, and kept over power cuts.
//!
//! ```text
//! pieces/HASH     one file a piece, under its name only when it is whole
//! ```
//!
//! Invariants: a piece is believed for its hash alone, whoever brought it, and is hashed again when it is found and when
//! it is read. What was brought is not brought again, whatever happens between. The folder never holds more than its
//! budget: what a way needs is counted before the first byte is asked for, and what belongs to no part of it is swept
//! before.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Duration;

use super::source::{Name, Source, SourceError};
use crate::digest::Sha256;
use crate::folder::Folder;
use crate::moment;
use crate::release::{self, File};

/// The pieces that are here.
#[derive(Debug)]
pub struct Pieces<F> {
    folder: F,
}

/// How far a way has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Pieces that are here.
    pub pieces: usize,
    /// Pieces there are.
    pub of_pieces: usize,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes there are.
    pub of_bytes: u64,
    /// Bytes that came in this run.
    pub came: u64,
    /// How long they took.
    pub time: Duration,
}

/// Why a way is not complete.
#[derive(Debug, thiserror::Error)]
pub enum PiecesError {
    /// A piece did not come. What came before it is kept.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A piece that the manifest names is not in the repository.
    #[error("the repository is not whole: the release names {name}, which is not there")]
    Missing {
        /// Which.
        name: Name,
    },
    /// What came has another length.
    #[error("{name} is not what the release names: it has {} {expected} bytes", found.map_or_else(|| "more than".to_owned(), |found| format!("{found} instead of")))]
    WrongLength {
        /// Which.
        name: Name,
        /// As the release says.
        expected: u64,
        /// What came; `None`: more than that.
        found: Option<u64>,
    },
    /// What came is something else.
    #[error("{name} is not what the release names: its SHA-256 is another")]
    WrongHash {
        /// Which.
        name: Name,
    },
    /// There is not so much room.
    #[error("the update needs {need} bytes of room to be brought, and may take {budget}")]
    NoRoom {
        /// In bytes.
        need: u64,
        /// In bytes.
        budget: u64,
    },
    /// Whoever asked for it wants it no more. What came is kept.
    #[error("bringing the update was stopped")]
    Stopped,
    /// The disk.
    #[error("{operation}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Progress {
    /// Bytes a second in this run, once something came.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        let millis = u64::try_from(self.time.as_millis())
            .ok()
            .filter(|millis| *millis > 0)?;
        (self.came > 0).then(|| self.came.saturating_mul(1000) / millis)
    }
}

impl<F: Folder> Pieces<F> {
    /// The pieces in `folder`, which holds nothing else.
    pub fn new(folder: F) -> Self {
        Self { folder }
    }

    /// Brings every piece of `way` that is not here, in its order, and sweeps all others first; the folder takes `budget`
    /// bytes at most. `tell` hears of each piece, and may stop it.
    ///
    /// # Errors
    /// See [`PiecesError`]. Pieces that came are kept, and count next time.
    pub fn bring(
        &mut self,
        source: &dyn Source,
        way: &[File],
        budget: u64,
        tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), PiecesError> {
        let way = distinct(way);
        let need = release::bytes(&way);
        if need > budget {
            return Err(PiecesError::NoRoom { need, budget });
        }
        self.sweep(&way)?;
        let mut missing = Vec::new();
        let mut progress = Progress {
            of_pieces: way.len(),
            of_bytes: need,
            ..Progress::default()
        };
        for piece in &way {
            if self.is_here(piece)? {
                progress.pieces += 1;
                progress.bytes += piece.bytes;
            } else {
                missing.push(*piece);
            }
        }
        let mut go_on = tell(progress);
        for piece in missing {
            if go_on.is_break() {
                return Err(PiecesError::Stopped);
            }
            let begun = moment::since_boot();
            let content = fetch(source, &piece)?;
            self.folder
                .replace(&piece.sha256.to_string(), &content)
                .map_err(disk("a piece of the update cannot be kept"))?;
            progress.pieces += 1;
            progress.bytes += piece.bytes;
            progress.came += piece.bytes;
            progress.time += moment::since_boot().saturating_sub(begun);
            go_on = tell(progress);
        }
        Ok(())
    }

    /// Removes whatever is no piece of `way`; an empty way leaves nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep(&mut self, way: &[File]) -> Result<(), PiecesError> {
        let wrong = "old pieces of updates cannot be removed";
        let wanted: BTreeSet<String> = way.iter().map(|piece| piece.sha256.to_string()).collect();
        let found = self.folder.list().map_err(disk(wrong))?;
        let others: Vec<_> = found.iter().filter(|(name, _)| !wanted.contains(name)).collect();
        for (name, _) in &others {
            self.folder.remove(name).map_err(disk(wrong))?;
        }
        if !others.is_empty() {
            self.folder.sync().map_err(disk(wrong))?;
        }
        Ok(())
    }

    /// How many bytes of `way` are here, by name and length alone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn here(&self, way: &[File]) -> Result<u64, PiecesError> {
        let found = self
            .folder
            .list()
            .map_err(disk("the pieces of the update cannot be listed"))?;
        let is_found = |piece: &&File| found.contains(&(piece.sha256.to_string(), piece.bytes));
        let here: Vec<_> = distinct(way);
        let here: Vec<File> = here.iter().filter(is_found).copied().collect();
        Ok(release::bytes(&here))
    }

    /// The way as one stream, piece after piece. Each is checked again before its first byte is given: an error of kind
    /// [`InvalidData`](io::ErrorKind::InvalidData) says that one is not here or rotted; [`bring`](Self::bring) mends that.
    pub fn stream<'a>(&'a self, way: &'a [File]) -> impl Read + 'a {
        Stream {
            pieces: self,
            left: way,
            content: Vec::new(),
            at: 0,
        }
    }

    /// Whether a piece is here and right; one that is not right is removed.
    fn is_here(&mut self, piece: &File) -> Result<bool, PiecesError> {
        let wrong = "a piece of the update cannot be looked at";
        let name = piece.sha256.to_string();
        match self.folder.read(&name).map_err(disk(wrong))? {
            None => Ok(false),
            Some(content) if is_piece(piece, &content) => Ok(true),
            Some(_) => {
                self.folder.remove(&name).map_err(disk(wrong))?;
                Ok(false)
            }
        }
    }
}

/// A way as one stream.
struct Stream<'a, F> {
    pieces: &'a Pieces<F>,
    left: &'a [File],
    content: Vec<u8>,
    at: usize,
}

impl<F: Folder> Read for Stream<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.content.len() {
            let Some((piece, left)) = self.left.split_first() else {
                return Ok(0);
            };
            let content = self.pieces.folder.read(&piece.sha256.to_string())?;
            self.content = content
                .filter(|content| is_piece(piece, content))
                .ok_or_else(|| {
                    let words = format!("{} is not here, or not as it came", Name::piece(&piece.sha256));
                    io::Error::new(io::ErrorKind::InvalidData, words)
                })?;
            (self.left, self.at) = (left, 0);
        }
        let mut rest = &self.content[self.at..];
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

pub(super) fn fetch(source: &dyn Source, piece: &File) -> Result<Vec<u8>, PiecesError> {
    let name = Name::piece(&piece.sha256);
    let content = source.fetch(&name, piece.bytes).map_err(|error| match error {
        SourceError::NotThere { name } => PiecesError::Missing { name },
        SourceError::TooLong { name, limit } => PiecesError::WrongLength {
            name,
            expected: limit,
            found: None,
        },
        error => PiecesError::Source(error),
    })?;
    if content.len() as u64 != piece.bytes {
        return Err(PiecesError::WrongLength {
            name,
            expected: piece.bytes,
            found: Some(content.len() as u64),
        });
    }
    if !is_piece(piece, &content) {
        return Err(PiecesError::WrongHash { name });
    }
    Ok(content)
}

fn is_piece(piece: &File, content: &[u8]) -> bool {
    content.len() as u64 == piece.bytes && Sha256::of(content) == piece.sha256
}

/// Each piece once: a release may hold the same one many times.
fn distinct(way: &[File]) -> Vec<File> {
    let mut seen = BTreeSet::new();
    way.iter()
        .filter(|piece| seen.insert(piece.sha256))
        .copied()
        .collect()
}

fn disk(operation: &'static str) -> impl Fn(io::Error) -> PiecesError {
    move |source| PiecesError::Disk { operation, source }
}

#[cfg(test)]
mod tests;
