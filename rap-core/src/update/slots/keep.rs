//! Compressed copies of UKIs on the data partition, from which a slot that rotted is mended without a network.
//!
//! A copy is one file, named by the UKI's SHA-256, each MiB of the UKI a zstd frame of its own:
//!
//! ```text
//! index   "RAPKEEP1"  bytes of the UKI u64  its SHA-256  {offset u64, bytes u64, SHA-256 of the block} each  SHA-256 of the index
//! frames
//! index   the same again
//! ```
//!
//! Invariants: a copy has its name only when it is whole and on the disk; what is read from one is right by its hash or is
//! not given out, so a rotten block costs that block and a rotten index nothing while the other is sound; numbers are
//! little-endian and bounded before anything is allocated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::digest::{Hasher, Sha256};
use crate::release::{self, FRAME, PIECE_LIMIT};

use super::pace::Pace;

const MAGIC: &[u8; 8] = b"RAPKEEP1";
const HEAD: usize = 48;
const ENTRY: usize = 48;
/// Compresses a UKI of 57 MB to a half in about a second.
const LEVEL: i32 = 3;
/// The name a copy has while it is made.
const PARTIAL: &str = ".partial";

/// Why there is no copy, or a block of it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file system failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Both indices are damaged.
    #[error("{} is no copy of an image, or both its indices are damaged", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
    },
    /// A block is not what it was.
    #[error("block {block} of the kept copy is damaged")]
    Block {
        /// Which, from 0.
        block: u64,
    },
    /// What was to be kept is not what it should be.
    #[error("the image to be kept is not the one its manifest names")]
    Digest,
    /// Somebody wants it to end.
    #[error("interrupted")]
    Interrupted,
}

/// A block of a UKI in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    offset: u64,
    bytes: u64,
    sha256: Sha256,
}

/// What a copy is of, and where its blocks are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Index {
    uki: release::File,
    blocks: Vec<Block>,
}

/// The folder of copies.
#[derive(Debug, Clone)]
pub struct Keep {
    folder: PathBuf,
}

/// A copy of one UKI.
#[derive(Debug)]
pub struct Copy {
    file: File,
    index: Index,
}

impl Keep {
    /// The copies in `folder`, which is there.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The copy of a UKI; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or both its indices are damaged.
    pub fn copy(&self, uki: &release::File) -> Result<Option<Copy>, KeepError> {
        let path = self.path(uki);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error("open", &path, source)),
        };
        let length = file
            .metadata()
            .map_err(|source| io_error("measure", &path, source))?
            .len();
        let size = index_bytes(uki.bytes);
        let index = [0, length.saturating_sub(size as u64)]
            .into_iter()
            .find_map(|at| {
                let mut bytes = vec![0; size];
                file.read_exact_at(&mut bytes, at).ok()?;
                Index::parse(&bytes).filter(|index| index.uki == *uki)
            });
        match index {
            Some(index) => Ok(Some(Copy { file, index })),
            None => Err(KeepError::Index { path }),
        }
    }

    /// Makes a copy of `from`, which is the UKI `uki`. Memory: 2 MiB and zstd's.
    ///
    /// # Errors
    /// When it is another, or writing fails; then there is no copy.
    pub fn make(
        &self,
        uki: &release::File,
        from: &mut dyn Read,
        pace: &mut dyn Pace,
    ) -> Result<Copy, KeepError> {
        let partial = self.folder.join(PARTIAL);
        let wrap = |action| {
            let path = partial.clone();
            move |source| KeepError::Io { action, path, source }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(wrap("make"))?;
        let (index, end) = fill(&file, uki, from, pace).map_err(|stopped| match stopped {
            Stopped::Io(source) => wrap("fill")(source),
            Stopped::Digest => KeepError::Digest,
            Stopped::Interrupted => KeepError::Interrupted,
        })?;
        let bytes = index.encode();
        for at in [0, end] {
            file.write_all_at(&bytes, at).map_err(wrap("write"))?;
        }
        file.sync_all().map_err(wrap("sync"))?;
        fs::rename(&partial, self.path(uki)).map_err(wrap("rename"))?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(wrap("keep"))?;
        Ok(Copy { file, index })
    }

    /// Removes everything but the copies of `kept`: what was begun too.
    ///
    /// # Errors
    /// When the folder cannot be read or something not removed.
    pub fn retain(&self, kept: &[release::File]) -> Result<(), KeepError> {
        let names: Vec<String> = kept.iter().map(|uki| uki.sha256.to_string()).collect();
        let listed = fs::read_dir(&self.folder).map_err(|source| io_error("list", &self.folder, source))?;
        for entry in listed {
            let entry = entry.map_err(|source| io_error("list", &self.folder, source))?;
            if names.iter().any(|name| entry.file_name() == name.as_str()) {
                continue;
            }
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
        }
        Ok(())
    }

    fn path(&self, uki: &release::File) -> PathBuf {
        self.folder.join(uki.sha256.to_string())
    }
}

impl Copy {
    /// What it is a copy of.
    #[must_use]
    pub fn uki(&self) -> release::File {
        self.index.uki
    }

    /// The SHA-256 of each MiB of the UKI.
    pub fn digests(&self) -> impl Iterator<Item = Sha256> {
        self.index.blocks.iter().map(|block| block.sha256)
    }

    /// A MiB of the UKI, counted from 0; the last is what is left. Right by its hash.
    ///
    /// # Errors
    /// When it is damaged, cannot be read, or there is no such block.
    pub fn block(&self, number: u64) -> Result<Vec<u8>, KeepError> {
        let damaged = || KeepError::Block { block: number };
        let index = usize::try_from(number).map_err(|_| damaged())?;
        let block = self.index.blocks.get(index).ok_or_else(damaged)?;
        let mut frame = vec![0; usize::try_from(block.bytes).map_err(|_| damaged())?];
        self.file
            .read_exact_at(&mut frame, block.offset)
            .map_err(|_| damaged())?;
        let room = usize::try_from(FRAME).map_err(|_| damaged())?;
        let bytes = zstd::bulk::decompress(&frame, room).map_err(|_| damaged())?;
        if Sha256::of(&bytes) == block.sha256 {
            Ok(bytes)
        } else {
            Err(damaged())
        }
    }
}

impl Index {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.uki.bytes.to_le_bytes());
        bytes.extend(self.uki.sha256.as_bytes());
        for block in &self.blocks {
            bytes.extend(block.offset.to_le_bytes());
            bytes.extend(block.bytes.to_le_bytes());
            bytes.extend(block.sha256.as_bytes());
        }
        let own = Sha256::of(&bytes);
        bytes.extend(own.as_bytes());
        bytes
    }

    /// Reads an index; `None` when it is damaged.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, own) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Sha256::of(content).as_bytes() != own || !content.starts_with(MAGIC) {
            return None;
        }
        let length = number(content, 8)?;
        let sha256 = digest(content, 16)?;
        let entries = content.get(HEAD..)?;
        if length > FRAME * 256 || entries.len() != blocks_of(length) * ENTRY {
            return None;
        }
        let block = |entry: &[u8]| {
            let bytes = number(entry, 8).filter(|bytes| *bytes <= PIECE_LIMIT)?;
            let (offset, sha256) = (number(entry, 0)?, digest(entry, 16)?);
            Some(Block {
                offset,
                bytes,
                sha256,
            })
        };
        let blocks = entries.chunks_exact(ENTRY).map(block).collect::<Option<_>>()?;
        let uki = release::File {
            bytes: length,
            sha256,
        };
        Some(Self { uki, blocks })
    }
}

enum Stopped {
    Io(io::Error),
    Digest,
    Interrupted,
}

/// Writes the frames behind the room of the first index; gives the index, and where it comes again.
fn fill(
    file: &File,
    uki: &release::File,
    from: &mut dyn Read,
    pace: &mut dyn Pace,
) -> Result<(Index, u64), Stopped> {
    let mut hash = Hasher::new();
    let mut blocks = Vec::new();
    let mut at = index_bytes(uki.bytes) as u64;
    let mut left = uki.bytes;
    while left > 0 {
        let mut block = Vec::new();
        from.take(left.min(FRAME))
            .read_to_end(&mut block)
            .map_err(Stopped::Io)?;
        if block.is_empty() {
            return Err(Stopped::Digest);
        }
        left -= block.len() as u64;
        hash.write_all(&block).map_err(Stopped::Io)?;
        let frame = zstd::bulk::compress(&block, LEVEL).map_err(Stopped::Io)?;
        file.write_all_at(&frame, at).map_err(Stopped::Io)?;
        blocks.push(Block {
            offset: at,
            bytes: frame.len() as u64,
            sha256: Sha256::of(&block),
        });
        at += frame.len() as u64;
        if !pace.after(block.len() as u64) {
            return Err(Stopped::Interrupted);
        }
    }
    if hash.finish() != uki.sha256 || blocks.len() != blocks_of(uki.bytes) {
        return Err(Stopped::Digest);
    }
    Ok((Index { uki: *uki, blocks }, at))
}

fn blocks_of(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(FRAME)).unwrap_or(usize::MAX)
}

fn index_bytes(uki: u64) -> usize {
    // No file is longer than a slot: more blocks than that is no index of ours.
    HEAD + blocks_of(uki).min(256) * ENTRY + 32
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn digest(bytes: &[u8], at: usize) -> Option<Sha256> {
    Some(Sha256::from_bytes(bytes.get(at..at + 32)?.try_into().ok()?))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> KeepError {
    KeepError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// For the fuzzer: what any bytes make of an index is bounded.
#[doc(hidden)]
pub fn fuzz_index(bytes: &[u8]) {
    if let Some(index) = Index::parse(bytes) {
        assert!(index.encode() == bytes, "an index is written as it was read");
    }
}

#[cfg(test)]
mod tests;
