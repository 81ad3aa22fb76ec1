//! Files out of packages, and the shared libraries they need: `DT_NEEDED` and `PT_INTERP`, searched in the places the
//! loader searches, over all locked packages of the image.

use std::collections::BTreeMap;

use super::tree::{Owner, Tree, entry};
use super::{Error, firmware};
use crate::deb::{Contents, MemberKind};
use crate::elf;
use crate::lock::{Group, Lock, Package};
use crate::payload::{Kind, Part};
use crate::store::Store;

/// Where the loader looks (ld.so(8)), as Debian configures it, without `/etc/ld.so.conf`.
const SEARCH: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"];

/// Links followed before it counts as a circle.
const MOST_LINKS: usize = 16;

/// The image's packages, opened when they are first looked into.
pub(super) struct Packages<'a> {
    lock: &'a Lock,
    store: &'a Store,
    open: BTreeMap<String, Contents>,
    /// Path of every member of every package → package; made when the first library is looked for.
    places: Option<BTreeMap<String, String>>,
}

impl<'a> Packages<'a> {
    pub(super) fn open(lock: &'a Lock, store: &'a Store) -> Self {
        Self {
            lock,
            store,
            open: BTreeMap::new(),
            places: None,
        }
    }

    /// Takes a file, a link with what it leads to, or a folder with everything below.
    pub(super) fn take(
        &mut self,
        package: &str,
        path: &str,
        reason: &str,
        tree: &mut Tree,
    ) -> Result<(), Error> {
        let (owner, contents) = self.contents(package)?;
        let Some(member) = contents.member(path) else {
            let file = path.rsplit('/').next().unwrap_or(path);
            let alike: Vec<_> = contents
                .paths()
                .filter(|found| found.ends_with(file))
                .take(3)
                .collect();
            let hint = if alike.is_empty() {
                String::new()
            } else {
                format!("; it has {}", alike.join(", "))
            };
            let (package, wanted_by) = (owner, reason.trim_start_matches("wanted by ").to_owned());
            return Err(Error::NoSuchFile {
                package,
                path: path.to_owned(),
                wanted_by,
                hint,
            });
        };
        let mode = member.mode & 0o777;
        match &member.kind {
            MemberKind::File { .. } => {
                let content = contents
                    .content(path)
                    .map_err(|error| Error::Package(owner.clone(), error))?;
                tree.add(
                    Owner::Package(owner),
                    entry(path, mode, Kind::File(content), reason),
                )
            }
            MemberKind::Link(target) => {
                let target = target.clone();
                tree.add(
                    Owner::Package(owner),
                    entry(path, 0o777, Kind::Link(target.clone()), reason),
                )?;
                let to = follow(path, &target);
                if tree.contains(&to) {
                    return Ok(());
                }
                let holder = self
                    .holder(&to)?
                    .ok_or_else(|| Error::Dangling(path.to_owned(), target))?;
                self.take(&holder, &to, &format!("target of {path}"), tree)
            }
            MemberKind::Directory => {
                let prefix = format!("{path}/");
                let below: Vec<_> = contents
                    .paths()
                    .filter(|found| found.starts_with(&prefix))
                    .map(str::to_owned)
                    .collect();
                tree.add(Owner::Package(owner), entry(path, mode, Kind::Directory, reason))?;
                below
                    .iter()
                    .try_for_each(|path| self.take(package, path, reason, tree))
            }
        }
    }

    /// Takes the libraries that files of the tree need, and those that these need, until nothing is missing.
    pub(super) fn close_over_libraries(&mut self, tree: &mut Tree) -> Result<(), Error> {
        let mut waiting: Vec<_> = needs_of(tree.files())?;
        while let Some((needed_by, needs)) = waiting.pop() {
            for place in candidates(&needed_by, &needs) {
                if place.iter().any(|path| tree.contains(path)) {
                    continue;
                }
                let mut found = None;
                for path in &place {
                    if let Some(holder) = self.holder(path)? {
                        found = Some((holder, path));
                        break;
                    }
                }
                let library = || {
                    place
                        .first()
                        .and_then(|path| path.rsplit('/').next())
                        .unwrap_or_default()
                };
                let (holder, path) = found.ok_or_else(|| Error::NoSuchLibrary {
                    library: library().to_owned(),
                    needed_by: needed_by.clone(),
                })?;
                self.take(&holder, path, &format!("library of {needed_by}"), tree)?;
                let real = self.real_path(path)?;
                let content = tree.files().find(|(path, _)| *path == real);
                waiting.extend(needs_of(content.into_iter())?);
            }
        }
        Ok(())
    }

    /// A package of the image, and its name with its version.
    fn contents(&mut self, package: &str) -> Result<(String, &Contents), Error> {
        let locked = self.lock.package(package)?;
        if !self.open.contains_key(package) {
            self.open
                .insert(package.to_owned(), firmware::contents(locked, self.store)?);
        }
        // Just put there, if it was not.
        self.open
            .get(package)
            .map(|contents| (owner(locked), contents))
            .ok_or_else(|| crate::lock::Error::NotLocked(package.to_owned()).into())
    }

    /// The package of the image that has a path.
    fn holder(&mut self, path: &str) -> Result<Option<String>, Error> {
        if self.places.is_none() {
            let mut places = BTreeMap::new();
            for locked in self.lock.group(Group::Image) {
                let (_, contents) = self.contents(&locked.name)?;
                places.extend(
                    contents
                        .paths()
                        .map(|path| (path.to_owned(), locked.name.clone())),
                );
            }
            self.places = Some(places);
        }
        Ok(self.places.as_ref().and_then(|places| places.get(path)).cloned())
    }

    /// Where a path leads through links between packages.
    fn real_path(&mut self, path: &str) -> Result<String, Error> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(holder) = self.holder(&path)? else { break };
            match self.contents(&holder)?.1.member(&path).map(|member| &member.kind) {
                Some(MemberKind::Link(target)) => path = follow(&path, target),
                _ => break,
            }
        }
        Ok(path)
    }
}

/// What an ELF file needs that is in none of the parts: for our own program, which is built, not picked.
///
/// # Errors
/// When it is no x86-64 ELF file.
pub fn unmet(parts: &[Part], path: &str, content: &[u8]) -> Result<Vec<String>, Error> {
    let needs = elf::needs(content).map_err(|error| Error::Elf(path.to_owned(), error))?;
    let there = |path: &String| {
        parts
            .iter()
            .flat_map(|part| &part.entries)
            .any(|entry| entry.path == *path)
    };
    let missing = candidates(path, &needs)
        .into_iter()
        .filter(|place| !place.iter().any(there));
    Ok(missing.filter_map(|place| place.into_iter().next()).collect())
}

pub(super) fn owner(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

/// The needs of every ELF file among `files`, with the path of each.
fn needs_of<'f>(
    files: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> Result<Vec<(String, elf::Needs)>, Error> {
    files
        .filter(|(_, content)| elf::is_elf(content))
        .map(|(path, content)| {
            let needs = elf::needs(content).map_err(|error| Error::Elf(path.to_owned(), error))?;
            Ok((path.to_owned(), needs))
        })
        .collect()
}

/// For each thing needed, the paths where it may be, best first.
fn candidates(needed_by: &str, needs: &elf::Needs) -> Vec<Vec<String>> {
    let origin = needed_by.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own: Vec<_> = needs
        .search
        .iter()
        .map(|folder| folder.replace("$ORIGIN", &format!("/{origin}")))
        .collect();
    let folders: Vec<_> = own
        .iter()
        .map(|folder| merged(folder))
        .chain(SEARCH.iter().map(|folder| (*folder).to_owned()))
        .collect();
    let libraries = needs.libraries.iter().map(|library| {
        if library.contains('/') {
            return vec![merged(library)];
        }
        folders
            .iter()
            .map(|folder| format!("{folder}/{library}"))
            .collect()
    });
    needs
        .interpreter
        .iter()
        .map(|interpreter| vec![merged(interpreter)])
        .chain(libraries)
        .collect()
}

/// An absolute path as one of the image: relative, without `.` and `..`, where merged-/usr puts it.
fn merged(path: &str) -> String {
    follow("", path)
}

/// Where the link at `path` leads, as a path of the image.
fn follow(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        path.split('/').collect()
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let first = parts.first().copied().unwrap_or_default();
    if crate::deb::MERGED.contains(&first) {
        format!("usr/{path}")
    } else {
        path
    }
}
