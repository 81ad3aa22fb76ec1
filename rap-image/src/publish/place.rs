//! The files of a repository, and the few things done to them. Each name appears whole or not at all, and stays after a
//! power cut: temporary file, fsync, rename, fsync of the folder.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::PublishError;

/// What a file is called that is not whole yet.
const PARTIAL: &str = ".partial";
/// Who publishes holds this.
const LOCK: &str = ".lock";
/// The folders of a repository.
pub(super) const FOLDERS: [&str; 3] = ["metadata", "targets", "pieces"];

/// A repository's folder, held by one who publishes.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    /// Until the last one is dropped nobody else publishes.
    _lock: File,
    /// File operations until a test's power cut.
    #[cfg(test)]
    pub(super) left: Option<u32>,
}

impl Place {
    /// Takes the folder `root`, and makes it where it is not there.
    ///
    /// # Errors
    /// When somebody else publishes into it, or it cannot be made.
    pub(super) fn take(root: &Path) -> Result<Self, PublishError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| PublishError::Write(path, error)
        };
        for folder in FOLDERS {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
        }
        let path = root.join(LOCK);
        let lock = File::create(&path).map_err(failed(&path))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| PublishError::Busy(root.to_owned()))?;
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
            #[cfg(test)]
            left: None,
        })
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes `bytes` the content of `name`.
    ///
    /// # Errors
    /// When that fails; the name is then as it was.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.root.join(name);
        let (folder, partial) = match path.parent() {
            Some(folder) => (folder.to_owned(), folder.join(PARTIAL)),
            None => (self.root.clone(), self.root.join(PARTIAL)),
        };
        let mut attempt = || {
            self.step()?;
            let mut file = File::create(&partial)?;
            let (first, second) = bytes.split_at(bytes.len() / 2);
            file.write_all(first)?;
            self.step()?;
            file.write_all(second)?;
            file.set_permissions(Permissions::from_mode(0o644))?;
            self.step()?;
            file.sync_all()?;
            self.step()?;
            fs::rename(&partial, &path)?;
            self.step()?;
            File::open(&folder)?.sync_all()
        };
        attempt().map_err(|error| PublishError::Write(path.clone(), error))
    }

    /// Takes a file away.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), PublishError> {
        let path = self.root.join(name);
        self.step()
            .and_then(|()| fs::remove_file(&path))
            .map_err(|error| PublishError::Write(path, error))
    }

    /// In tests, whether the power is still there.
    #[cfg_attr(not(test), allow(clippy::unused_self, reason = "a test counts"))]
    fn step(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("the power is cut"))?;
        }
        Ok(())
    }
}

/// The content of `name` below `root`, of at most `limit` bytes; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read, or is larger.
pub(super) fn read(root: &Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>, PublishError> {
    let path = root.join(name);
    let failed = |error| PublishError::Read(path.clone(), error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::Error::other(format!("more than {limit} bytes"))));
    }
    Ok(Some(bytes))
}

/// The names of all files below `root` that are not somebody's in passing, and of those that are what a killed run left.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn names(root: &Path) -> Result<(Vec<String>, Vec<String>), PublishError> {
    let (mut whole, mut partial) = (Vec::new(), Vec::new());
    for folder in ["", "metadata/", "targets/", "pieces/"] {
        let path = root.join(folder);
        let failed = |error| PublishError::Read(path.clone(), error);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if name == LOCK || is_folder && FOLDERS.contains(&name.as_str()) {
                continue;
            }
            let is_partial = entry.file_name() == PARTIAL && !is_folder;
            if is_partial { &mut partial } else { &mut whole }.push(name);
        }
    }
    whole.sort();
    Ok((whole, partial))
}
