//! From wished packages to all the packages they depend on: the newest version of each, the first alternative that
//! exists. No conflicts are considered, since nothing is installed: files are taken, or unpacked over each other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::index::{Index, Record};
use super::version::compare;

/// Why a wish cannot be met.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No suite has such a package.
    #[error("no suite has a package {package:?}, wanted by {wanted_by}; check its spelling")]
    NoSuchPackage {
        /// The name.
        package: String,
        /// The overlay or package that wants it.
        wanted_by: String,
    },
    /// None of a dependency's alternatives exists in a version that fits.
    #[error("{package} {version} depends on {dependency:?}, which no suite has")]
    Unmet {
        /// The package that depends.
        package: String,
        /// Its version.
        version: String,
        /// The dependency as Debian writes it.
        dependency: String,
    },
    /// The overlay says not to follow a dependency that is none.
    #[error("{package} does not depend on {without:?}; remove it from `without`")]
    NotADependency {
        /// The package.
        package: String,
        /// What the overlay names.
        without: String,
    },
}

/// A package wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub package: String,
    /// Who wants it, for messages.
    pub wanted_by: String,
    /// Whether what it depends on is wished for as well.
    pub follow: bool,
    /// Its own dependencies that are not followed.
    pub without: Vec<String>,
}

/// The wished packages and all that follows, each with the packages it depends on, sorted by name.
///
/// # Errors
/// The first wish or dependency that cannot be met.
pub fn resolve<'a>(
    index: &Index<'a>,
    wishes: &[Wish],
) -> Result<BTreeMap<&'a str, (Record<'a>, BTreeSet<&'a str>)>, Error> {
    let mut chosen: BTreeMap<&'a str, (Record<'a>, BTreeSet<&'a str>)> = BTreeMap::new();
    let mut waiting = Vec::new();
    for wish in wishes {
        let record = index.newest(&wish.package).ok_or_else(|| Error::NoSuchPackage {
            package: wish.package.clone(),
            wanted_by: wish.wanted_by.clone(),
        })?;
        chosen.entry(record.package).or_insert((*record, BTreeSet::new()));
        if wish.follow {
            waiting.push((*record, wish.without.as_slice()));
        }
    }
    let mut followed = BTreeSet::new();
    waiting.reverse();
    while let Some((record, without)) = waiting.pop() {
        if !followed.insert(record.package) {
            continue;
        }
        if let Some(without) = without
            .iter()
            .find(|without| !names(&record).any(|name| name == *without))
        {
            return Err(Error::NotADependency {
                package: record.package.to_owned(),
                without: without.clone(),
            });
        }
        for dependency in dependencies(&record) {
            if alternatives(dependency).any(|one| without.iter().any(|name| name == one.name)) {
                continue;
            }
            let needed = choose(index, &chosen, dependency).ok_or_else(|| Error::Unmet {
                package: record.package.to_owned(),
                version: record.version.to_owned(),
                dependency: dependency.to_owned(),
            })?;
            chosen.entry(needed.package).or_insert((*needed, BTreeSet::new()));
            if let Some((_, depends)) = chosen.get_mut(record.package) {
                depends.insert(needed.package);
            }
            waiting.push((*needed, &[]));
        }
    }
    Ok(chosen)
}

/// One alternative of a dependency: `name [(relation version)]`.
struct Alternative<'a> {
    name: &'a str,
    bound: Option<(&'a str, &'a str)>,
}

impl Alternative<'_> {
    fn admits(&self, version: Option<&str>) -> bool {
        let Some((relation, bound)) = self.bound else {
            return true;
        };
        let Some(version) = version else { return false };
        let order = compare(version, bound);
        match relation {
            "<<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            "=" => order == Ordering::Equal,
            ">=" => order != Ordering::Less,
            ">>" => order == Ordering::Greater,
            _ => false,
        }
    }
}

fn dependencies<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a str> {
    let all = record.pre_depends.split(',').chain(record.depends.split(','));
    all.map(str::trim).filter(|dependency| !dependency.is_empty())
}

fn names<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a str> {
    dependencies(record).flat_map(|dependency| alternatives(dependency).map(|one| one.name))
}

fn alternatives(dependency: &str) -> impl Iterator<Item = Alternative<'_>> {
    dependency.split('|').map(|text| {
        let (name, bound) = match text.split_once('(') {
            Some((name, bound)) => {
                let bound = bound.trim_end_matches([')', ' ']);
                let end = bound.find(|c| !"<>=".contains(c)).unwrap_or(bound.len());
                let (relation, version) = bound.split_at_checked(end).unwrap_or((bound, ""));
                (name, Some((relation, version.trim())))
            }
            None => (text, None),
        };
        // `name:any` asks for any architecture's; ours will do.
        let name = name.trim();
        Alternative {
            name: name.split_once(':').map_or(name, |(name, _)| name),
            bound,
        }
    })
}

/// What is already chosen, else the first alternative that exists by its own name, else the first that is provided.
fn choose<'i, 'a>(
    index: &'i Index<'a>,
    chosen: &BTreeMap<&'a str, (Record<'a>, BTreeSet<&'a str>)>,
    dependency: &str,
) -> Option<&'i Record<'a>> {
    let provider = |one: &Alternative<'_>, already: bool| {
        let mut providers = index.providers(one.name).iter();
        let found = providers
            .find(|(package, version)| one.admits(*version) && (!already || chosen.contains_key(package)));
        found.and_then(|(package, _)| index.newest(package))
    };
    let real = |one: &Alternative<'_>| {
        index
            .newest(one.name)
            .filter(|record| one.admits(Some(record.version)))
    };
    alternatives(dependency)
        .find_map(|one| {
            let real = real(&one).filter(|record| chosen.contains_key(record.package));
            real.or_else(|| provider(&one, true))
        })
        .or_else(|| alternatives(dependency).find_map(|one| real(&one)))
        .or_else(|| alternatives(dependency).find_map(|one| provider(&one, false)))
}

#[cfg(test)]
mod tests;
