//! Files from the mirrors into the store: four at a time, resumed where they stopped, checked before they get their
//! name. Order of sources: the store, each mirror, the snapshot archive at the lock's time.
//!
//! A file that no source has is *gone*, which is not the same as one that could not be fetched: the first needs a new
//! lock, the second another try.

mod download;
mod progress;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::archive::Archive;
use crate::lock::Package;
use crate::mirror::Mirrors;
use crate::store::Store;
use rap_core::digest::Sha256;

use progress::Progress;

/// Downloads at the same time.
const PARALLEL: usize = 4;

/// The largest text fetched without knowing its size (an InRelease file is about 140 kB).
const TEXT_LIMIT: u64 = 8 << 20;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in the store, and fetching is forbidden.
    #[error("{0} is not in the store, and --offline forbids fetching it; run once without --offline")]
    Offline(String),
    /// No source has these packages any more.
    #[error("no mirror has: {}", list(.0))]
    Gone(Vec<Package>),
    /// No source has this file.
    #[error("no mirror has {0}")]
    NoSuchFile(String),
    /// A source answered with an error.
    #[error("{url} answered {status}")]
    Status {
        /// The address.
        url: String,
        /// HTTP's status code.
        status: u16,
    },
    /// A source could not be reached, or the transfer broke off.
    #[error("cannot fetch {url}")]
    Transfer {
        /// The address.
        url: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file shorter or longer than the lock says.
    #[error(
        "{url} has {found} bytes, expected {expected}: it is truncated or another file; try another mirror"
    )]
    WrongSize {
        /// The address.
        url: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found, counted up to one too many.
        found: u64,
    },
    /// Another content than the lock says.
    #[error("{url} has the SHA-256 {found}, expected {expected}: it was not used; try another mirror")]
    WrongHash {
        /// The address.
        url: String,
        /// The locked hash.
        expected: Sha256,
        /// What was sent.
        found: Sha256,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

fn list(packages: &[Package]) -> String {
    let names = packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version));
    names.collect::<Vec<_>>().join(", ")
}

/// Fetches into a store.
#[derive(Debug)]
pub struct Fetcher {
    store: Store,
    mirrors: Option<Mirrors>,
    agent: ureq::Agent,
    patience: Duration,
}

impl Fetcher {
    /// From these mirrors; `None` is offline.
    #[must_use]
    pub fn new(store: Store, mirrors: Option<Mirrors>) -> Self {
        Self {
            store,
            mirrors,
            agent: download::agent(),
            patience: Duration::from_secs(1),
        }
    }

    /// How long to wait before the second try of a broken transfer; doubled for the third.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where it fetches to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Brings every package into the store; `time` is the lock's, for the snapshot archive.
    ///
    /// # Errors
    /// [`Error::Gone`] with *all* packages no source has; else the first failure. What was fetched stays.
    pub fn packages(&self, packages: &[&Package], time: Timestamp) -> Result<(), Error> {
        let missing: Vec<_> = packages
            .iter()
            .filter(|package| !self.store.has(&package.sha256))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let progress = Progress::new(missing.len(), missing.iter().map(|package| package.size).sum());
        let (next, gone, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
        let work = || {
            while let Some(package) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let what = format!("{} {}", package.name, package.version);
                let urls = self.urls(package.archive, &package.path, Some(time));
                let result = self.object(&what, &urls, &package.sha256, package.size, &progress);
                match result {
                    Ok(()) => progress.finished_one(),
                    Err(Error::NoSuchFile(_)) => lock(&gone).push((**package).clone()),
                    Err(error) => {
                        lock(&failed).get_or_insert(error);
                        next.store(missing.len(), Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(missing.len()) {
                scope.spawn(work);
            }
        });
        progress.finish();
        if let Some(error) = lock(&failed).take() {
            return Err(error);
        }
        let mut gone = std::mem::take(&mut *lock(&gone));
        gone.sort_by(|a, b| a.name.cmp(&b.name));
        if gone.is_empty() {
            Ok(())
        } else {
            Err(Error::Gone(gone))
        }
    }

    /// Brings one file of known hash into the store, asking for `paths` in turn on each mirror.
    ///
    /// # Errors
    /// As [`Self::packages`], but [`Error::NoSuchFile`] when it is gone.
    pub fn file(&self, archive: Archive, paths: &[String], sha256: &Sha256, size: u64) -> Result<(), Error> {
        if self.store.has(sha256) {
            return Ok(());
        }
        let progress = Progress::new(1, size);
        let urls: Vec<_> = paths
            .iter()
            .flat_map(|path| self.urls(archive, path, None))
            .collect();
        let what = paths.last().map_or("a file", String::as_str);
        let result = self.object(what, &urls, sha256, size, &progress);
        progress.finish();
        result
    }

    /// A text whose hash is not known, from the first mirror whose answer is accepted.
    ///
    /// # Errors
    /// The last mirror's: what `accept` said, or why it could not be fetched.
    pub fn text<T, E: From<Error>>(
        &self,
        archive: Archive,
        path: &str,
        accept: impl Fn(String) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.mirrors.is_none() {
            return Err(Error::Offline(path.to_owned()).into());
        }
        let mut last = None;
        for url in self.urls(archive, path, None) {
            match download::text(&self.agent, &url, TEXT_LIMIT)
                .map_err(E::from)
                .and_then(&accept)
            {
                Ok(accepted) => return Ok(accepted),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::NoSuchFile(path.to_owned()).into()))
    }

    fn urls(&self, archive: Archive, path: &str, time: Option<Timestamp>) -> Vec<String> {
        let Some(mirrors) = &self.mirrors else {
            return Vec::new();
        };
        let mut bases = mirrors.of(archive).to_vec();
        bases.extend(time.and_then(|time| mirrors.snapshot_of(archive, &snapshot_time(time))));
        // `+` and `~` stand in many versions; a path is literal, but some servers read `+` as a space.
        let path = path.replace('+', "%2B");
        bases.into_iter().map(|base| format!("{base}/{path}")).collect()
    }
}

/// The snapshot archive is asked for some hours after the Release was made: it takes its pictures a few times a day,
/// and Debian keeps a superseded file for more than a day.
fn snapshot_time(release: Timestamp) -> String {
    let later = release
        .checked_add(jiff::SignedDuration::from_hours(12))
        .unwrap_or(release);
    later.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A thread that panicked elsewhere leaves what it had: the list is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
