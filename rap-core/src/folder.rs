//! The file operations of which records are made that have to survive a power cut, on a real directory.
//!
//! Invariant: what [`Folder::write`] returned from is on the medium under its name once [`Folder::sync`] returned.

#[cfg(test)]
pub(crate) mod sim;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

/// The most that is read of a file, in bytes: more than any site or record has.
const LIMIT: u64 = 1 << 20;

/// A folder on a disk that may lose its power at any time.
pub(crate) trait Folder {
    /// The content of a file; `None` when it is not there.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Writes a file anew; its content, not yet its name, is on the medium afterwards.
    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Gives a file another name, in place of the file that has it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that is not there is removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Brings the names to the medium.
    fn sync(&mut self) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Folder for Directory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.take(LIMIT).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let path = self.0.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
