//! The image's files while they are collected: who owns each, no path twice, every folder above a file there.

use std::collections::BTreeMap;

use super::Error;
use crate::payload::{Entry, Kind, Part};

/// Whose a file is; the order is the order of the parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Folders and links.
    Layout,
    /// A package: its name and version.
    Package(String),
    /// The kernel's package, for modules.
    Kernel(String),
    /// An overlay: its place in the stack and its name.
    Overlay(usize, String),
    /// Made from the overlays by us.
    Generated,
}

impl Owner {
    fn name(&self) -> String {
        match self {
            Self::Layout => "layout".to_owned(),
            Self::Package(name) | Self::Kernel(name) | Self::Overlay(_, name) => name.clone(),
            Self::Generated => "generated".to_owned(),
        }
    }
}

/// The collected files by path.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, (Owner, Entry)>);

/// An entry.
pub(super) fn entry(path: &str, mode: u32, kind: Kind, reason: &str) -> Entry {
    Entry {
        path: path.to_owned(),
        mode,
        kind,
        reason: reason.to_owned(),
    }
}

impl Tree {
    /// Adds a file. The same once more is nothing new; an overlay replaces what a lower one or a package had.
    pub(super) fn add(&mut self, owner: Owner, new: Entry) -> Result<(), Error> {
        let Some((first, old)) = self.0.get(&new.path) else {
            self.0.insert(new.path.clone(), (owner, new));
            return Ok(());
        };
        let same = old.kind == new.kind && (old.mode == new.mode || old.kind == Kind::Directory);
        let replaces = matches!(owner, Owner::Overlay(..)) && *first < owner && old.kind != Kind::Directory;
        if replaces && !same {
            self.0.insert(new.path.clone(), (owner, new));
        } else if !same {
            return Err(Error::Twice {
                path: new.path,
                first: first.name(),
                second: owner.name(),
            });
        }
        Ok(())
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Regular files, with their content.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.values().filter_map(|(_, entry)| match &entry.kind {
            Kind::File(content) => Some((entry.path.as_str(), content.as_slice())),
            _ => None,
        })
    }

    /// The parts in order. Folders are all in the first, so that no part depends on the one before.
    pub(super) fn into_parts(mut self) -> Vec<Part> {
        let paths: Vec<_> = self.0.keys().cloned().collect();
        for path in paths {
            for (end, _) in path.match_indices('/') {
                let folder = &path[..end];
                if !self.0.contains_key(folder) {
                    let reason = format!("folder of {path}");
                    let new = entry(folder, 0o755, Kind::Directory, &reason);
                    self.0.insert(folder.to_owned(), (Owner::Layout, new));
                }
            }
        }
        let mut parts: BTreeMap<Owner, Vec<Entry>> = BTreeMap::new();
        for (_, (owner, entry)) in self.0 {
            let owner = if entry.kind == Kind::Directory {
                Owner::Layout
            } else {
                owner
            };
            parts.entry(owner).or_default().push(entry);
        }
        parts
            .into_iter()
            .map(|(owner, entries)| Part {
                owner: owner.name(),
                entries,
            })
            .collect()
    }
}
