//! What became of a lock: what changed between two, and how to go on when mirrors have forgotten some of its files.

use std::fmt;
use std::path::Path;

use super::{Catalogue, Error, Group, Lock, Package, make};
use crate::fetch::{self, Fetcher};
use crate::overlay::Stack;

/// One difference between two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub name: String,
    /// Its version before, if it was there.
    pub before: Option<String>,
    /// Its version after, if it is there.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "{}: {} → {}", self.name, text(&self.before), text(&self.after))
    }
}

/// The packages that differ, by name. A package rebuilt under the same version counts.
#[must_use]
pub fn changes(before: &Lock, after: &Lock) -> Vec<Change> {
    let find = |lock: &Lock, name: &str| lock.package(name).ok().cloned();
    let mut names: Vec<_> = before
        .packages
        .iter()
        .chain(&after.packages)
        .map(|package| &package.name)
        .collect();
    names.sort();
    names.dedup();
    let differ = |name: &String| {
        let (old, new) = (find(before, name), find(after, name));
        let same = old.as_ref().map(|old| old.sha256) == new.as_ref().map(|new| new.sha256);
        (!same).then(|| Change {
            name: name.clone(),
            before: old.map(|old| old.version),
            after: new.map(|new| new.version),
        })
    };
    names.into_iter().filter_map(differ).collect()
}

/// What a vanished package is called now, in the lock that would be made today.
fn successor<'a>(gone: &Package, today: &'a Lock) -> Option<&'a Package> {
    if gone.groups.contains(&Group::Kernel) {
        // The kernel's package has its version in its name.
        return today.group(Group::Kernel).first().copied();
    }
    today.package(&gone.name).ok()
}

/// Fetches what `groups` of the lock at `path` name. When mirrors have forgotten some of it: with `allowed`, re-locks
/// *only* those, writes the lock, fetches again and returns what changed; without, says what is current.
///
/// # Errors
/// [`Vanished`](Refused::Vanished) without `allowed`; else what failed. The lock is written whole or not at all.
pub fn refresh(
    fetcher: &Fetcher,
    stack: impl FnOnce() -> Result<Stack, crate::overlay::Error>,
    keyring: &Path,
    path: &Path,
    groups: &[Group],
    allowed: bool,
) -> Result<(Lock, Vec<Change>), Refused> {
    let lock = Lock::read(path)?;
    let gone = match fetcher.packages(&wanted(&lock, groups), lock.time()) {
        Ok(()) => return Ok((lock, Vec::new())),
        Err(fetch::Error::Gone(gone)) => gone,
        Err(other) => return Err(Error::Fetch(other).into()),
    };
    let stack = stack()?;
    let today =
        Catalogue::fetch(fetcher, keyring, Some(&lock)).and_then(|catalogue| make(&stack, &catalogue));
    let today = today.map_err(|source| Refused::Unknown(names(&gone), Box::new(source)))?;
    if !allowed {
        return Err(Refused::Vanished(describe(&gone, &today)));
    }
    let mut packages = lock.packages.clone();
    for gone in &gone {
        let new = successor(gone, &today).ok_or_else(|| Refused::NoSuccessor(gone.name.clone()))?;
        packages.retain(|package| package.name != gone.name && package.name != new.name);
        packages.push(new.clone());
    }
    let refreshed = Lock::new(lock.suites.clone(), packages);
    fetcher
        .packages(&wanted(&refreshed, groups), lock.time())
        .map_err(Error::Fetch)?;
    refreshed.write(path)?;
    let changes = changes(&lock, &refreshed);
    Ok((refreshed, changes))
}

fn wanted<'a>(lock: &'a Lock, groups: &[Group]) -> Vec<&'a Package> {
    lock.packages
        .iter()
        .filter(|package| groups.iter().any(|group| package.groups.contains(group)))
        .collect()
}

fn names(gone: &[Package]) -> String {
    let line = |gone: &Package| format!("\n  {} {}", gone.name, gone.version);
    gone.iter().map(line).collect()
}

fn describe(gone: &[Package], today: &Lock) -> String {
    let line = |gone: &Package| {
        let current = successor(gone, today).map_or_else(
            || "Debian has no such package any more".to_owned(),
            |new| format!("current is {} {}", new.name, new.version),
        );
        format!("\n  {} {}: {current}", gone.name, gone.version)
    };
    gone.iter().map(line).collect()
}

/// Why a lock's files are not all there.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Mirrors have forgotten some.
    #[error(
        "no mirror has these locked packages any more:{0}\nrun again with --refresh-missing to lock what is current for \
         them, or set `snapshot` in the configuration file"
    )]
    Vanished(String),
    /// Mirrors have forgotten some, and what is current cannot be told.
    #[error(
        "no mirror has these locked packages:{0}\nwhat is current for them cannot be told either; try another mirror \
         (--mirror), or set `snapshot` in the configuration file"
    )]
    Unknown(String, #[source] Box<Error>),
    /// A vanished package has no successor of that name.
    #[error("{0} vanished, and a lock made today would not have it; run `rap-image lock`")]
    NoSuccessor(String),
    /// The overlays.
    #[error(transparent)]
    Overlay(#[from] crate::overlay::Error),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] Error),
}
