//! The content-addressed store in the user's cache: `sha256/ab/abcd…` is a file whose SHA-256 is `abcd…`.
//!
//! A file is under its name only when its hash and size were right: it grows as `NAME.part`, is checked, synced and
//! renamed. It is checked again each time it is opened, so that a damaged cache cannot reach an image.
//! `tar/abcd….tar` is what the package `abcd…` contains, decompressed, with its own hash beside it.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use rap_core::digest::Sha256;

/// Why the store could not give or take a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set to an absolute path.
    #[error("no cache folder: set HOME or XDG_CACHE_HOME to an absolute path")]
    NoHome,
    /// An operation on a file failed; a full disk shows here.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not in the store.
    #[error("{0} is not in the store; fetch it first")]
    Absent(Sha256),
    /// Its content is not what its name says; it was removed.
    #[error("{path} was damaged (found {found}); it was removed: run again to fetch it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The hash its content has.
        found: Sha256,
    },
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

impl Store {
    /// This user's: `$XDG_CACHE_HOME/rap-image`, else `~/.cache/rap-image`.
    ///
    /// # Errors
    /// When there is no such user, or the folder cannot be made.
    pub fn of_user() -> Result<Self, Error> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Self::open(&cache.ok_or(Error::NoHome)?.join("rap-image"))
    }

    /// The one in a folder, made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        make_folder(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Where the file with this hash is or will be.
    #[must_use]
    pub fn path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.0.join("sha256").join(&name[..2]).join(name)
    }

    /// Whether a file with this hash is there (by name; [`Self::file`] checks).
    #[must_use]
    pub fn has(&self, sha256: &Sha256) -> bool {
        self.path(sha256).is_file()
    }

    /// The file with this hash, its content checked.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Damaged`] or that it cannot be read.
    pub fn file(&self, sha256: &Sha256) -> Result<File, Error> {
        let path = self.path(sha256);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Absent(*sha256)),
            other => other.map_err(failed("open", &path))?,
        };
        let (found, _) = Sha256::of_reader(&mut file).map_err(failed("read", &path))?;
        if found != *sha256 {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            return Err(Error::Damaged { path, found });
        }
        file.rewind().map_err(failed("read", &path))?;
        Ok(file)
    }

    /// What [`Self::file`] contains.
    ///
    /// # Errors
    /// As there.
    pub fn bytes(&self, sha256: &Sha256) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut file = self.file(sha256)?;
        io::Read::read_to_end(&mut file, &mut bytes).map_err(failed("read", &self.path(sha256)))?;
        Ok(bytes)
    }

    /// The decompressed content of the package `sha256`, made by `unpack` when it is not there yet.
    ///
    /// # Errors
    /// What `unpack` gave, or that it cannot be written.
    pub fn tar<E: From<Error>>(
        &self,
        sha256: &Sha256,
        unpack: impl FnOnce(File, &mut dyn Write) -> Result<(), E>,
    ) -> Result<File, E> {
        let path = self.0.join("tar").join(format!("{sha256}.tar"));
        if let Some(file) = cached_tar(&path) {
            return Ok(file);
        }
        let folder = self.0.join("tar");
        make_folder(&folder)?;
        let mut new = tempfile::NamedTempFile::new_in(&folder).map_err(failed("make a file in", &folder))?;
        unpack(self.file(sha256)?, new.as_file_mut())?;
        let written = |error| Error::from_io("write", &path, error);
        new.rewind().map_err(written)?;
        let (hash, _) = Sha256::of_reader(new.as_file_mut()).map_err(written)?;
        let mut file = new.persist(&path).map_err(|error| written(error.error))?;
        fs::write(path.with_extension("sha256"), hash.to_string()).map_err(written)?;
        file.rewind().map_err(written)?;
        Ok(file)
    }
}

impl Error {
    fn from_io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// The cached file if it is whole; it is only a cache, so any doubt means making it anew.
fn cached_tar(path: &Path) -> Option<File> {
    let expected: Sha256 = fs::read_to_string(path.with_extension("sha256"))
        .ok()?
        .parse()
        .ok()?;
    let mut file = File::open(path).ok()?;
    let (found, _) = Sha256::of_reader(&mut file).ok()?;
    file.rewind().ok()?;
    (found == expected).then_some(file)
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(failed("make the folder", folder))
}

pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, name: &Sha256, content: &[u8]) {
        let path = store.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn a_damaged_file_is_removed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let name = Sha256::of(b"abc");
        assert!(matches!(store.file(&name), Err(Error::Absent(_))));
        put(&store, &name, b"abc");
        assert_eq!(store.bytes(&name).unwrap(), b"abc");
        put(&store, &name, b"abd");
        assert!(matches!(store.file(&name), Err(Error::Damaged { .. })));
        assert!(!store.has(&name));
    }

    #[test]
    fn the_tar_is_made_once_and_again_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let name = Sha256::of(b"abc");
        put(&store, &name, b"abc");
        let mut made = 0;
        let mut tar = || {
            let unpack = |_file: File, out: &mut dyn Write| -> Result<(), Error> {
                made += 1;
                out.write_all(b"unpacked").map_err(failed("write", Path::new("")))
            };
            let text = io::read_to_string(store.tar(&name, unpack).unwrap()).unwrap();
            (text, made)
        };
        assert_eq!(tar(), ("unpacked".to_owned(), 1));
        assert_eq!(tar(), ("unpacked".to_owned(), 1));
        fs::write(folder.path().join(format!("tar/{name}.tar")), "unpackeD").unwrap();
        assert_eq!(tar(), ("unpacked".to_owned(), 2));
    }
}
