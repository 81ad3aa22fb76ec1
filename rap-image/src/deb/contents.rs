//! What a package contains, without unpacking it: an index over its decompressed tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::{Error, clean};

/// One member of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: MemberKind,
}

/// What a [`Member`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A folder.
    Directory,
    /// A file: where its content begins in the tar, and its size in bytes.
    File {
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        size: u64,
    },
    /// A symbolic link and its target as written.
    Link(String),
}

/// A package's members by path (relative, merged-/usr).
#[derive(Debug)]
pub struct Contents {
    tar: File,
    members: BTreeMap<String, Member>,
}

impl Contents {
    /// Reads the headers of a decompressed tar. Hard links become the file they name.
    ///
    /// # Errors
    /// A damaged tar, a hostile path or an unknown kind of member.
    pub fn read(mut tar: File) -> Result<Self, Error> {
        let mut members = BTreeMap::new();
        let mut archive = tar::Archive::new(&mut tar);
        for entry in archive.entries_with_seek().map_err(Error::Read)? {
            let entry = entry.map_err(Error::Read)?;
            let path = clean(&entry.path_bytes())?;
            let target = || entry.link_name_bytes().unwrap_or_default();
            let unknown = || Error::UnknownKind(path.clone());
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => MemberKind::Directory,
                tar::EntryType::Regular => MemberKind::File {
                    offset: entry.raw_file_position(),
                    size: entry.size(),
                },
                tar::EntryType::Symlink => {
                    MemberKind::Link(String::from_utf8(target().into_owned()).map_err(|_| unknown())?)
                }
                tar::EntryType::Link => {
                    let first: Option<&Member> = members.get(&clean(&target())?);
                    first.ok_or_else(unknown)?.kind.clone()
                }
                _ => return Err(unknown()),
            };
            let mode = entry.header().mode().map_err(Error::Read)? & 0o7777;
            members.insert(path, Member { mode, kind });
        }
        Ok(Self { tar, members })
    }

    /// One member.
    #[must_use]
    pub fn member(&self, path: &str) -> Option<&Member> {
        self.members.get(path)
    }

    /// Every path, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When it is not a file of this package, or cannot be read.
    pub fn content(&self, path: &str) -> Result<Vec<u8>, Error> {
        let Some(Member {
            kind: MemberKind::File { offset, size },
            ..
        }) = self.member(path)
        else {
            return Err(Error::UnknownKind(path.to_owned()));
        };
        let mut tar = &self.tar;
        let mut content = Vec::new();
        tar.seek(SeekFrom::Start(*offset)).map_err(Error::Read)?;
        tar.take(*size).read_to_end(&mut content).map_err(Error::Read)?;
        if content.len() as u64 == *size {
            Ok(content)
        } else {
            Err(Error::Truncated("it ends in a file"))
        }
    }
}
