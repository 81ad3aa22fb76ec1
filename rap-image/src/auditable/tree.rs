//! What `cargo tree` says about a package, as an [`Inventory`].

use std::collections::{BTreeMap, BTreeSet};

use super::{AuditableError, Crate, Inventory, Use};

/// A crate as `cargo tree` names it: name, version, source.
type Name<'a> = (&'a str, &'a str, &'a str);

/// Makes the inventory of a package from two answers of `cargo tree --prefix depth --format {p}`: `all` with build
/// scripts and procedural macros (`--edges normal,build`), `runtime` without (`--edges normal,no-proc-macro`).
///
/// # Errors
/// When a line does not name a package, or nothing was said.
pub fn inventory(all: &str, runtime: &str) -> Result<Inventory, AuditableError> {
    let graph = graph(all)?;
    let runtime: BTreeSet<Name<'_>> = lines(runtime)
        .map(|line| line.map(|(_, name)| name))
        .collect::<Result<_, _>>()?;
    let root = lines(all).next().transpose()?.map(|(_, name)| name);
    let place: BTreeMap<Name<'_>, usize> = graph
        .keys()
        .enumerate()
        .map(|(index, name)| (*name, index))
        .collect();
    let packages = graph.iter().map(|(name, needs)| Crate {
        name: name.0.to_owned(),
        version: name.1.to_owned(),
        source: name.2.to_owned(),
        kind: if runtime.contains(name) {
            Use::Runtime
        } else {
            Use::Build
        },
        // A set is sorted by name, and so are the packages: the indices rise.
        dependencies: needs.iter().filter_map(|name| place.get(name).copied()).collect(),
        root: Some(*name) == root,
    });
    let inventory = Inventory {
        packages: packages.collect(),
    };
    inventory.check()?;
    Ok(inventory)
}

/// Who needs whom. A subtree that was shown before is not shown again: the first one says everything.
fn graph(text: &str) -> Result<BTreeMap<Name<'_>, BTreeSet<Name<'_>>>, AuditableError> {
    let mut graph: BTreeMap<Name<'_>, BTreeSet<Name<'_>>> = BTreeMap::new();
    let mut above: Vec<Name<'_>> = Vec::new();
    for line in lines(text) {
        let (depth, name) = line?;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            graph.entry(*parent).or_default().insert(name);
        }
        graph.entry(name).or_default();
        above.push(name);
    }
    Ok(graph)
}

fn lines(text: &str) -> impl Iterator<Item = Result<(usize, Name<'_>), AuditableError>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| parsed(line).ok_or_else(|| AuditableError::Tree(line.to_owned())))
}

/// `2zstd-sys v2.1.3+zstd.1.5.7 (proc-macro) (/where/it/is) (*)`: depth, name, version; a place is a local crate's.
fn parsed(line: &str) -> Option<(usize, Name<'_>)> {
    let digits = line.find(|letter: char| !letter.is_ascii_digit())?;
    let (depth, rest) = line.split_at(digits);
    let mut words = rest.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    let version = words.next()?.strip_prefix('v')?;
    let notes: Vec<&str> = words.collect();
    let source = if notes.iter().any(|note| note.starts_with("(/")) {
        "local"
    } else if notes.iter().any(|note| note.contains("://")) {
        "other"
    } else {
        "crates.io"
    };
    Some((depth.parse().ok()?, (name, version, source)))
}
