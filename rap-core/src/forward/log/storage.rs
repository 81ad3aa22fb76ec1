//! What the log needs of a disk, in the steps whose order decides what survives a power cut.
//!
//! Behind a trait, so that tests run the log on a simulated disk that loses and tears what was not synced.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A flat directory of files, each step of it as the kernel offers it.
pub trait Storage: Send {
    /// Names of all files.
    ///
    /// # Errors
    /// As the operating system reports them; so for every method.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<()>;
    /// Renames within the directory, replacing.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creates and renames durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn size(&self, name: &str) -> io::Result<u64>;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. Not durable until [`Storage::sync`].
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// `fdatasync`. After an error nobody knows what of the unsynced writes is on the disk.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Bytes free for new files.
    fn free_space(&self) -> io::Result<u64>;
}

/// A real directory.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl Disk {
    /// Uses `directory`, which is made when it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            open: Mutex::new(HashMap::new()),
        })
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        let path = self.directory.join(name);
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(path)?);
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        File::create(self.directory.join(name)).map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        std::fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.metadata()?.len())
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.file(name)?;
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
