//! A directory of keys as a value. It is replaced whole: beside it first, then both names exchanged, so that at every moment
//! there is the old set or the new one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{KeysError, RETIRED, ROOTS};

/// The content of each file, by its name below the directory.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Bytes of a file, at most.
const LIMIT: u64 = 1 << 20;

/// Reads a set.
pub(super) fn read(directory: &Path) -> Result<Files, KeysError> {
    let mut files = Files::new();
    for folder in ["", ROOTS, RETIRED] {
        let place = directory.join(folder);
        let failed = |source| KeysError::Read {
            path: place.clone(),
            source,
        };
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_empty() => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            let mut content = Vec::new();
            File::open(entry.path())
                .and_then(|file| file.take(LIMIT).read_to_end(&mut content))
                .map_err(failed)?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

/// Makes `directory` hold these files and no others.
pub(super) fn write(files: &Files, directory: &Path) -> Result<(), KeysError> {
    Staged::new(files, directory)?.put()
}

/// A set beside the directory it is for; gone again unless it is [put](Staged::put) there.
#[derive(Debug)]
pub(super) struct Staged {
    beside: PathBuf,
    directory: PathBuf,
}

impl Staged {
    /// Writes the files beside `directory`.
    pub(super) fn new(files: &Files, directory: &Path) -> Result<Self, KeysError> {
        let mut beside = directory.as_os_str().to_owned();
        beside.push(format!(".new-{}", std::process::id()));
        let staged = Self {
            beside: PathBuf::from(beside),
            directory: directory.to_owned(),
        };
        if let Some(parent) = staged.beside.parent() {
            fs::create_dir_all(parent).map_err(|source| unwritten(parent, source))?;
        }
        make_folder(&staged.beside)?;
        for (name, content) in files {
            staged.add(name, content)?;
        }
        Ok(staged)
    }

    /// Where it is for now.
    pub(super) fn path(&self) -> &Path {
        &self.beside
    }

    /// Adds a file, or replaces it.
    pub(super) fn add(&self, name: &str, content: &[u8]) -> Result<(), KeysError> {
        let path = self.beside.join(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            make_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        let opened = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        let written = opened.and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
        written.map_err(|source| unwritten(&path, source))
    }

    /// Puts it in its directory's place.
    pub(super) fn put(self) -> Result<(), KeysError> {
        let exchanged = if self.directory.exists() {
            renameat_with(CWD, &self.beside, CWD, &self.directory, RenameFlags::EXCHANGE)
                .map_err(io::Error::from)
        } else {
            fs::rename(&self.beside, &self.directory)
        };
        let parent = match self.directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        exchanged
            .and_then(|()| File::open(parent)?.sync_all())
            .map_err(|source| unwritten(&self.directory, source))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What was not put in its place, or what was there before.
        let _ = fs::remove_dir_all(&self.beside);
    }
}

fn make_folder(path: &Path) -> Result<(), KeysError> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| unwritten(path, source))
}

pub(super) fn unwritten(path: &Path, source: io::Error) -> KeysError {
    KeysError::Write {
        path: path.to_owned(),
        source,
    }
}
