//! What the log needs of a disk, in the steps whose order decides what survives a power cut.
//!
//! Behind a trait, so that tests run the log on a simulated disk that loses and tears what was not synced. Every place
//! in the code that waits for the disk says why: see [`Barrier`].

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why the log waits for the disk.
///
/// One variant for each place in the code and one place for each variant: tests leave out each in turn, and perform
/// each too late, and see the log break its promises. A sync that can be left out unnoticed is not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// Names a killed process left in the kernel's memory, before a file of such a name is relied on.
    Names,
    /// A new segment's zeros, before it has its name: the space counted on is really there.
    SegmentZeros,
    /// A new segment's name, before a report in it is acknowledged.
    SegmentName,
    /// A group of reports, before they are acknowledged.
    Group,
    /// What a killed process left in the page cache, before it is delivered.
    Tail,
    /// How far a lane was delivered, before segments behind it are reused.
    Cursor,
    /// The cursor's file name, before the first position in it counts.
    CursorName,
    /// Names of files a killed process left in the kernel's memory, before anything is said of a file.
    FileNames,
    /// A new file's description and first bytes, before it has its name.
    FileHead,
    /// A new file's name, before its first bytes are acknowledged.
    FileName,
    /// Bytes of a file and the mark that counts them, before they are acknowledged.
    FileRange,
    /// What a killed process left of a file in the page cache, before it is acknowledged again.
    FileTail,
}

impl Barrier {
    /// Those of the log.
    pub const ALL: [Self; 7] = [
        Self::Names,
        Self::SegmentZeros,
        Self::SegmentName,
        Self::Group,
        Self::Tail,
        Self::Cursor,
        Self::CursorName,
    ];
    /// Those of the files (`forward::files`).
    pub const OF_FILES: [Self; 5] = [
        Self::FileNames,
        Self::FileHead,
        Self::FileName,
        Self::FileRange,
        Self::FileTail,
    ];
}

/// A flat directory of files, each step of it as the kernel offers it.
pub trait Storage: Send + Sync {
    /// Names of all files.
    ///
    /// # Errors
    /// As the operating system reports them; so for every method.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<()>;
    /// Renames within the directory, replacing.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file and gives its space back.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creates, renames and removals durable.
    fn sync_directory(&self, why: Barrier) -> io::Result<()>;
    /// Bytes in the file.
    fn size(&self, name: &str) -> io::Result<u64>;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`; after an error any part of it. Not durable until [`Storage::sync`].
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// `fdatasync`. After an error nobody knows what of the unsynced writes is on the disk, and a second call that
    /// succeeds says nothing about them.
    fn sync(&self, name: &str, why: Barrier) -> io::Result<()>;
    /// Bytes free for new files.
    fn free_space(&self) -> io::Result<u64>;
    /// Says that a file will not be used soon: whatever is held open for it may go.
    fn close(&self, _name: &str) {}
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

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        std::fs::remove_file(self.directory.join(name))
    }

    fn sync_directory(&self, _why: Barrier) -> io::Result<()> {
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

    fn sync(&self, name: &str, _why: Barrier) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn close(&self, name: &str) {
        self.forget(name);
    }
}
