//! What `rap-image flash` writes: a disk image of ours as a [`Source`], with the parcel in its place. How it is written is
//! [`rap_core::flash`], which the installer uses too.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rap_core::boot::disk::{DiskError, Place, Table};
use rap_core::flash::Source;

use crate::parcel::{Parcel, ParcelError};

/// What is read at once.
const BLOCK: usize = 64 << 10;

/// Why an image cannot be written anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The image's partitions.
    #[error("{0} is not one of rap-image's disks")]
    NotOurs(PathBuf, #[source] DiskError),
    /// What the box is given.
    #[error("the box cannot be given this")]
    Parcel(#[from] ParcelError),
}

/// A disk image, and what the box is given with it.
#[derive(Debug)]
pub struct DiskImage {
    file: File,
    path: PathBuf,
    table: Table,
    /// By the partitions' numbers.
    used: [u64; 5],
    parcel: Option<Vec<u8>>,
}

impl DiskImage {
    /// Reads the image at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is not one of ours, or the parcel does not fit.
    pub fn open(path: &Path, parcel: Option<&Parcel>) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Read(path.to_owned(), source);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let not_ours = |source| ImageError::NotOurs(path.to_owned(), source);
        let table = Table::read(&file, bytes).map_err(not_ours)?;
        let parcel = parcel.map(Parcel::partition).transpose()?;
        let mut used = [0; 5];
        for (place, used) in Place::ALL.into_iter().zip(&mut used) {
            let partition = table.partition(place);
            *used = match &parcel {
                Some(parcel) if place == Place::Provision => without_zeros(parcel).len() as u64,
                _ => last_used(&file, partition.offset(), partition.length()).map_err(failed)?,
            };
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            table,
            used,
            parcel,
        })
    }
}

impl Source for DiskImage {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn used(&self, place: Place) -> u64 {
        self.used[place as usize]
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let mut all: Box<dyn Read> = Box::new(io::empty());
        for place in Place::ALL {
            let used = self.used(place);
            match &self.parcel {
                Some(parcel) if place == Place::Provision => all = Box::new(all.chain(parcel.take(used))),
                _ => {
                    let at = self.table.partition(place).offset();
                    let range = Range {
                        file: &self.file,
                        at,
                        end: at + used,
                    };
                    all = Box::new(all.chain(range));
                }
            }
        }
        Ok(all)
    }
}

/// A part of a file.
struct Range<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = bytes.len().min(left);
        let count = self.file.read_at(&mut bytes[..wanted], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let used = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..used.next_multiple_of(BLOCK).min(bytes.len())]
}

/// Bytes from `start` to behind the last block that holds anything but zeros, among `length` bytes.
fn last_used(image: &File, start: u64, length: u64) -> io::Result<u64> {
    let zeros = vec![0; BLOCK];
    let mut buffer = vec![0; BLOCK];
    let (mut at, mut used) = (0, 0);
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        image.read_exact_at(&mut buffer[..count], start + at)?;
        at += count as u64;
        if buffer[..count] != zeros[..count] {
            used = at;
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests;
