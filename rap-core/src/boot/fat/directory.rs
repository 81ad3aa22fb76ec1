//! The tree of directories of a FAT32 volume, and which clusters everything gets: one run each, directories before
//! files, in the order in which they are first named.

use super::{Extent, FatError, Geometry};

/// 1980-01-01, the earliest date FAT can write.
const DATE: [u8; 2] = [0x21, 0x00];
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
pub(super) const ENTRY: usize = 32;

/// Where everything is.
pub(super) struct Tree {
    /// The root first; a parent is before its children.
    directories: Vec<Directory>,
    files: Vec<Node>,
}

struct Directory {
    path: String,
    node: Node,
}

/// A file or a directory: its entry in its parent and its clusters. `count` 0 means no cluster at all.
#[derive(Clone, Copy)]
struct Node {
    parent: usize,
    name: [u8; 11],
    length: u32,
    first: u32,
    count: u32,
}

impl Tree {
    pub(super) fn of_lengths(files: &[(&str, u64)], geometry: &Geometry) -> Result<Self, FatError> {
        let root = Node {
            parent: 0,
            name: [b' '; 11],
            length: 0,
            first: 0,
            count: 0,
        };
        let mut tree = Self {
            directories: vec![Directory {
                path: String::new(),
                node: root,
            }],
            files: Vec::new(),
        };
        let mut paths = std::collections::BTreeSet::new();
        for &(path, length) in files {
            if !paths.insert(path) {
                return Err(FatError::Twice(path.to_owned()));
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = tree.directory(parent)?;
            let length = u32::try_from(length).map_err(|_| FatError::Full {
                needed: length,
                room: u64::from(u32::MAX),
            })?;
            tree.files.push(Node {
                parent,
                name: short_name(name)?,
                length,
                first: 0,
                count: 0,
            });
        }
        if let Some(both) = tree
            .directories
            .iter()
            .find(|directory| paths.contains(directory.path.as_str()))
        {
            return Err(FatError::Twice(both.path.clone()));
        }
        tree.allocate(geometry)?;
        Ok(tree)
    }

    /// The number of the directory of that path, made with its parents where it is not there yet.
    fn directory(&mut self, path: &str) -> Result<usize, FatError> {
        if let Some(number) = self
            .directories
            .iter()
            .position(|directory| directory.path == path)
        {
            return Ok(number);
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(parent)?;
        let node = Node {
            parent,
            name: short_name(name)?,
            length: 0,
            first: 0,
            count: 0,
        };
        self.directories.push(Directory {
            path: path.to_owned(),
            node,
        });
        Ok(self.directories.len() - 1)
    }

    fn allocate(&mut self, geometry: &Geometry) -> Result<(), FatError> {
        let counts: Vec<u64> = (0..self.directories.len())
            .map(|number| {
                geometry
                    .clusters_for(u64::try_from(self.entries_of(number).len()).unwrap_or(u64::MAX))
                    .max(1)
            })
            .chain(
                self.files
                    .iter()
                    .map(|file| geometry.clusters_for(u64::from(file.length))),
            )
            .collect();
        let needed: u64 = counts.iter().sum();
        let full = FatError::Full {
            needed: needed * geometry.cluster_bytes(),
            room: geometry.clusters * geometry.cluster_bytes(),
        };
        if needed > geometry.clusters {
            return Err(full);
        }
        let mut next: u32 = 2;
        let nodes = self
            .directories
            .iter_mut()
            .map(|directory| &mut directory.node)
            .chain(&mut self.files);
        for (node, count) in nodes.zip(counts) {
            // `needed` fits, and a volume has fewer than 2^28 clusters.
            let Ok(count) = u32::try_from(count) else {
                return Err(full);
            };
            node.count = count;
            node.first = if count == 0 { 0 } else { next };
            next += count;
        }
        Ok(())
    }

    /// The offset of the root directory.
    pub(super) fn root(&self, geometry: &Geometry) -> u64 {
        geometry.offset_of(self.directories[0].node.first)
    }

    /// How many clusters are in use.
    pub(super) fn clusters(&self) -> u32 {
        self.chains().iter().map(|(_, count)| count).sum()
    }

    /// Every run of clusters in use, by ascending number.
    pub(super) fn chains(&self) -> Vec<(u32, u32)> {
        let directories = self.directories.iter().map(|directory| directory.node);
        directories
            .chain(self.files.iter().copied())
            .filter(|node| node.count > 0)
            .map(|node| (node.first, node.count))
            .collect()
    }

    /// The directories' clusters, whole.
    pub(super) fn directories<'a>(&self, geometry: &Geometry) -> Vec<Extent<'a>> {
        let extent = |(number, directory): (usize, &Directory)| {
            let mut bytes = self.entries_of(number);
            let whole = u64::from(directory.node.count) * geometry.cluster_bytes();
            bytes.resize(usize::try_from(whole).unwrap_or(usize::MAX), 0);
            Extent {
                offset: geometry.offset_of(directory.node.first),
                bytes: bytes.into(),
            }
        };
        self.directories.iter().enumerate().map(extent).collect()
    }

    /// The offset of each file, 0 for an empty one.
    pub(super) fn places(&self, geometry: &Geometry) -> Vec<u64> {
        let place = |file: &Node| {
            if file.count == 0 {
                0
            } else {
                geometry.offset_of(file.first)
            }
        };
        self.files.iter().map(place).collect()
    }

    fn entries_of(&self, number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        if number != 0 {
            let own = self.directories[number].node;
            let parent = self.directories[own.parent].node;
            // The root is written as cluster 0 in `..` (specification, "FAT Directory Structure").
            let up = if own.parent == 0 { 0 } else { parent.first };
            bytes.extend(entry(*b".          ", DIRECTORY, own.first, 0));
            bytes.extend(entry(*b"..         ", DIRECTORY, up, 0));
        }
        let children = self
            .directories
            .iter()
            .skip(1)
            .filter(|child| child.node.parent == number);
        for child in children {
            bytes.extend(entry(child.node.name, DIRECTORY, child.node.first, 0));
        }
        for file in self.files.iter().filter(|file| file.parent == number) {
            bytes.extend(entry(file.name, ARCHIVE, file.first, file.length));
        }
        bytes
    }
}

fn entry(name: [u8; 11], attributes: u8, first: u32, length: u32) -> [u8; ENTRY] {
    let [low0, low1, high0, high1] = first.to_le_bytes();
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(&name);
    entry[11] = attributes;
    entry[16..18].copy_from_slice(&DATE);
    entry[18..20].copy_from_slice(&DATE);
    entry[20..22].copy_from_slice(&[high0, high1]);
    entry[24..26].copy_from_slice(&DATE);
    entry[26..28].copy_from_slice(&[low0, low1]);
    entry[28..32].copy_from_slice(&length.to_le_bytes());
    entry
}

/// The eleven bytes of an 8.3 name.
fn short_name(name: &str) -> Result<[u8; 11], FatError> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let allowed = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
    };
    let well_formed = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && !(name.contains('.') && extension.is_empty())
        && allowed(base)
        && allowed(extension);
    if !well_formed {
        return Err(FatError::Name(name.to_owned()));
    }
    let mut bytes = [b' '; 11];
    bytes[..base.len()].copy_from_slice(base.as_bytes());
    bytes[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    Ok(bytes)
}
