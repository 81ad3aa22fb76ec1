//! Copies a disk image and its holes: an image of 600 MiB holds little more than 100 MiB.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rustix::fs::SeekFrom;

use crate::{Error, Result};

/// Copies `from` to the new file `to`, keeps its holes, and makes it at least `size` bytes long.
///
/// # Errors
/// When one of the files cannot be read or written.
pub fn copy_sparse(from: &Path, to: &Path, size: u64) -> Result<()> {
    let source = File::open(from).map_err(|source| Error::File {
        verb: "open the disk image",
        path: from.to_owned(),
        source,
    })?;
    let copied = File::create(to).and_then(|target| copy(source, target, size));
    copied.map_err(|source| Error::File {
        verb: "copy the disk image to",
        path: to.to_owned(),
        source,
    })
}

fn copy(mut source: File, mut target: File, size: u64) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length.max(size))?;
    let mut position = 0;
    // lseek(2): SEEK_DATA beyond the last data is ENXIO.
    while let Some(begin) = past_holes(&source, position)? {
        let end = rustix::fs::seek(&source, SeekFrom::Hole(begin))?;
        source.seek(io::SeekFrom::Start(begin))?;
        target.seek(io::SeekFrom::Start(begin))?;
        io::copy(&mut (&mut source).take(end - begin), &mut target)?;
        position = end;
    }
    target.flush()
}

fn past_holes(file: &File, position: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(begin) => Ok(Some(begin)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn data_is_copied_and_holes_stay_holes() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"middle", 40 << 20).unwrap();
        copy_sparse(&from, &to, 128 << 20).unwrap();
        let copy = File::open(&to).unwrap();
        let mut middle = [0; 6];
        copy.read_exact_at(&mut middle, 40 << 20).unwrap();
        assert_eq!(&middle, b"middle");
        let facts = copy.metadata().unwrap();
        assert_eq!(facts.len(), 128 << 20);
        assert!(
            facts.blocks() * 512 < 2 << 20,
            "{} bytes used",
            facts.blocks() * 512
        );
    }
}
