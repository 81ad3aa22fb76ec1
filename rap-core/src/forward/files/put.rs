//! What an agent says of a file and what it is told.

use std::io;

use super::label::{FileName, MediaType};
use crate::digest::Sha256;

/// What a file is known by: the same bytes from two ports are two files, so that no instrument learns what another has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Where it came from, `/SITE/PORT`.
    pub source: String,
    /// SHA-256 of all its bytes.
    pub digest: Sha256,
}

/// Some bytes of a file, as an agent sent them.
#[derive(Debug)]
pub struct Upload<'a> {
    /// Which file.
    pub key: &'a Key,
    /// Bytes of the whole file, at least 1.
    pub size: u64,
    /// Where the bytes begin.
    pub first: u64,
    /// The bytes; with `first` not more than `size`.
    pub bytes: &'a [u8],
    /// The file's name, needed for a file that is new.
    pub name: Option<&'a FileName>,
    /// Its media type.
    pub media: &'a MediaType,
    /// When they came, milliseconds since 1970-01-01 UTC by the box's clock.
    pub received: u64,
}

/// What the box has of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Bytes from its beginning that are durable here, or were delivered.
    pub have: u64,
    /// Bytes of the whole file.
    pub size: u64,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// More of it is expected.
    Partial,
    /// All of it is here; its digest is being checked.
    Checking,
    /// All of it is here and will be delivered.
    Kept,
    /// The service centre has it.
    Delivered,
    /// The service centre refused it, in its words.
    Refused(String),
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The bytes begin behind what is here.
    #[error("{have} bytes of the file are here, the next must begin there or before")]
    Gap {
        /// Where to go on.
        have: u64,
    },
    /// The file is known with another size: one of the two is wrong.
    #[error("the file with this digest has {known} bytes")]
    OtherSize {
        /// The size it was begun with.
        known: u64,
    },
    /// A new file without a name.
    #[error("a new file needs a name")]
    NoName,
    /// A file larger than allowed.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The most allowed.
        limit: u64,
    },
    /// No room for it until something is delivered.
    #[error("no room for the file")]
    Full,
    /// All bytes came, and are others than the digest says. They were given up.
    #[error("the digest of what came is another: the file was given up, send it anew")]
    WrongDigest,
    /// The disk failed.
    #[error("the disk refused to store the file")]
    Storage(#[source] io::Error),
}

impl From<io::Error> for PutError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Storage(error),
        }
    }
}
