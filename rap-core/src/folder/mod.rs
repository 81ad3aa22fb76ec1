//! The few file operations that state on a disk is kept with, on a real directory; in tests on a disk that loses its
//! power (`sim`).
//!
//! Invariants: what [`Folder::write`] returned from is on the medium under its name once [`Folder::sync`] returned;
//! after [`Folder::replace`] the new content is, and at every moment before the old or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

#[cfg(test)]
pub(crate) mod sim;

/// The most that is read of a file, in bytes: more than any site, record or piece of a release has.
const LIMIT: u64 = 2 << 20;

/// A folder on a disk that may lose its power at any time.
pub trait Folder {
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
    /// The files in it and their bytes; one that is not there has none.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Puts a file in the place of the one of that name, so that a power cut leaves the one or the other.
    fn replace(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = format!(".{name}");
        self.write(&temporary, content)?;
        self.rename(&temporary, name)?;
        self.sync()
    }
}

impl<T: Folder + ?Sized> Folder for Box<T> {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        (**self).read(name)
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        (**self).write(name, content)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        (**self).list()
    }
}

/// A real directory.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

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
        if !self.0.is_dir() {
            std::fs::create_dir_all(&self.0)?;
            if let Some(parent) = self.0.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
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

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let about = entry.metadata()?;
            // Names that are no text are nobody's.
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
                found.push((name, about.len()));
            }
        }
        Ok(found)
    }
}
