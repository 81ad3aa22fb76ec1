//! A partition of a disk image, and reading files from its FAT file system with an implementation that is not ours.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use rap_core::boot::disk::Partition;

use super::VerifyError;

/// A part of a file, read only.
#[derive(Debug, Clone)]
pub(super) struct Window<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    at: u64,
    /// The partition's name.
    pub(super) partition: &'static str,
}

impl<'a> Window<'a> {
    pub(super) fn of(file: &'a File, partition: &Partition, name: &'static str) -> Self {
        Self {
            file,
            start: partition.offset(),
            length: partition.length(),
            at: 0,
            partition: name,
        }
    }

    /// The bytes at an offset.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, VerifyError> {
        let mut bytes = vec![0; length];
        let failed = |source| VerifyError::FileSystem {
            partition: self.partition,
            file: "",
            source,
        };
        self.file
            .read_exact_at(&mut bytes, self.start + offset)
            .map_err(failed)?;
        Ok(bytes)
    }
}

/// The content of a file in a file that is one whole partition: for the fuzzer.
///
/// # Errors
/// [`VerifyError::FileSystem`].
pub fn file_in_partition(file: &File, length: u64, path: &'static str) -> Result<Vec<u8>, VerifyError> {
    let window = Window {
        file,
        start: 0,
        length,
        at: 0,
        partition: "fuzz",
    };
    file_of(&window, path)
}

/// The content of a file.
pub(super) fn file_of(window: &Window<'_>, path: &'static str) -> Result<Vec<u8>, VerifyError> {
    let failed = |source| VerifyError::FileSystem {
        partition: window.partition,
        file: path,
        source,
    };
    let system = fatfs::FileSystem::new(window.clone(), fatfs::FsOptions::new()).map_err(failed)?;
    let mut file = system.root_dir().open_file(path).map_err(failed)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

impl Read for Window<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = bytes.len().min(left);
        let count = self.file.read_at(&mut bytes[..wanted], self.start + self.at)?;
        self.at += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(offset) => (self.length, offset),
            SeekFrom::Current(offset) => (self.at, offset),
        };
        self.at = base
            .checked_add_signed(offset)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the partition's beginning"))?;
        Ok(self.at)
    }
}

/// The driver wants to be able to write; nothing here does.
impl Write for Window<'_> {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
