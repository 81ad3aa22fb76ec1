//! What the trail needs of a disk, in the steps whose order decides what survives a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

/// A flat folder of files, each step of it as the kernel offers it.
pub(super) trait Folder {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The first `most` bytes of a file.
    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>>;
    /// Writes at the end of a file, which is made when it is not there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file to a length.
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Brings a file's content to the medium.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Brings names to the medium.
    fn sync_names(&mut self) -> io::Result<()>;
}

/// A real folder.
#[derive(Debug, Clone)]
pub(super) struct Directory(pub(super) PathBuf);

impl Folder for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(self.0.join(name))?
            .take(most)
            .read_to_end(&mut content)?;
        Ok(content)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.0.join(name))?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(bytes)
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.0.join(name))?
            .set_len(length)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
