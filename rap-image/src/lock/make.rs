//! A lock made from what the mirrors have now: believe the Release files, read the indices, resolve the overlays.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;

use super::{Error, Group, Lock, Package, Suite};
use crate::archive::index::Index;
use crate::archive::release::Release;
use crate::archive::resolve::{Wish, resolve};
use crate::archive::signature::Keyring;
use crate::archive::{self, SUITES};
use crate::fetch::Fetcher;
use crate::overlay::Stack;
use rap_core::digest::Sha256;

/// What the mirrors have: every suite's Release and the text of its index.
#[derive(Debug)]
pub struct Catalogue {
    /// The Release files, as they go into a lock.
    pub suites: Vec<Suite>,
    texts: Vec<(&'static archive::Suite, String)>,
}

impl Catalogue {
    /// Fetches it, believing the certificates in `keyring`; `old` is a lock that must not be newer.
    ///
    /// # Errors
    /// What cannot be fetched, or not be believed; a mirror that is behind `old`, or whose Release has expired.
    pub fn fetch(fetcher: &Fetcher, keyring: &Path, old: Option<&Lock>) -> Result<Self, Error> {
        let keyring = Keyring::read(keyring).map_err(Error::Keyring)?;
        let mut catalogue = Self {
            suites: Vec::new(),
            texts: Vec::new(),
        };
        for suite in &SUITES {
            let (signed, release) = fetcher.text(suite.archive, &suite.in_release(), |signed| {
                let text = keyring.verify(&signed);
                let text = text.map_err(|source| Error::Signature {
                    suite: suite.name,
                    source,
                })?;
                let release = Release::parse(suite, &text)?;
                check_age(suite, &release, old, Timestamp::now())?;
                Ok::<_, Error>((signed, release))
            })?;
            let folder = format!("dists/{}", suite.name);
            let paths = [
                // By hash first: it cannot change while a mirror is being updated.
                format!(
                    "{folder}/main/binary-amd64/by-hash/SHA256/{}",
                    release.index_sha256
                ),
                format!("{folder}/{}", suite.index()),
            ];
            fetcher.file(suite.archive, &paths, &release.index_sha256, release.index_size)?;
            let packed = fetcher.store().file(&release.index_sha256)?;
            let mut text = String::new();
            liblzma::read::XzDecoder::new_multi_decoder(packed)
                .read_to_string(&mut text)
                .map_err(|error| Error::Decompress(suite.name, error))?;
            catalogue.texts.push((suite, text));
            catalogue.suites.push(Suite {
                name: suite.name.to_owned(),
                date: release.date,
                sha256: Sha256::of(signed.as_bytes()),
            });
        }
        Ok(catalogue)
    }
}

/// No step back behind the lock, and nothing past its Valid-Until: what a mirror that is held back would serve.
fn check_age(
    suite: &archive::Suite,
    release: &Release,
    old: Option<&Lock>,
    now: Timestamp,
) -> Result<(), Error> {
    let old = old.and_then(|old| old.suites.iter().find(|known| known.name == suite.name));
    if let Some(old) = old.filter(|old| release.date < old.date) {
        return Err(Error::Behind {
            suite: suite.name.to_owned(),
            found: release.date,
            locked: old.date,
        });
    }
    match release.valid_until {
        Some(until) if until < now => Err(Error::Expired {
            suite: suite.name.to_owned(),
            until,
        }),
        _ => Ok(()),
    }
}

/// Resolves all overlays against the catalogue.
///
/// # Errors
/// A package that is nowhere, a dependency that cannot be met, a damaged index.
pub fn make(stack: &Stack, catalogue: &Catalogue) -> Result<Lock, Error> {
    let mut index = Index::default();
    for (suite, text) in &catalogue.texts {
        index.add(suite, text)?;
    }
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for (group, wishes) in wishes(stack, &index)? {
        for (name, (record, _)) in resolve(&index, &wishes)? {
            let package = packages.entry(name.to_owned()).or_insert_with(|| Package {
                name: name.to_owned(),
                version: record.version.to_owned(),
                archive: record.archive,
                path: record.path.to_owned(),
                sha256: record.sha256,
                size: record.size,
                groups: BTreeSet::new(),
            });
            package.groups.insert(group);
        }
    }
    Ok(Lock::new(
        catalogue.suites.clone(),
        packages.into_values().collect(),
    ))
}

/// What each group begins with.
fn wishes(stack: &Stack, index: &Index<'_>) -> Result<Vec<(Group, Vec<Wish>)>, Error> {
    let alone = |package: &str, wanted_by: &str| Wish {
        package: package.to_owned(),
        wanted_by: wanted_by.to_owned(),
        follow: false,
        without: Vec::new(),
    };
    let (boot, lab) = (&stack.boot, &stack.lab);
    let mut image = Vec::new();
    let mut toolchain = Vec::new();
    for overlay in &stack.overlays {
        let wanted_by = format!("overlays/{}", overlay.name);
        image.extend(overlay.packages.iter().map(|(package, wanted)| Wish {
            follow: true,
            without: wanted.without.clone(),
            ..alone(package, &wanted_by)
        }));
        toolchain.extend(overlay.toolchain.iter().map(|package| Wish {
            follow: true,
            ..alone(package, &wanted_by)
        }));
    }
    Ok(vec![
        (Group::Image, image),
        (Group::Kernel, vec![alone(&kernel(stack, index)?, &stack.kernel)]),
        (
            Group::Boot,
            vec![
                alone(&boot.loader.package, "boot"),
                alone(&boot.stub.package, "boot"),
            ],
        ),
        (
            Group::Lab,
            vec![
                alone(&lab.code.package, "lab"),
                alone(&lab.vars.package, "lab"),
                alone(&lab.secure_code.package, "lab"),
            ],
        ),
        (Group::Toolchain, toolchain),
    ])
}

/// `linux-image-amd64` is empty and depends on the kernel's package of today.
fn kernel(stack: &Stack, index: &Index<'_>) -> Result<String, Error> {
    let nowhere = || archive::resolve::Error::NoSuchPackage {
        package: stack.kernel.clone(),
        wanted_by: "kernel.package".to_owned(),
    };
    let meta = index.newest(&stack.kernel).ok_or_else(nowhere)?;
    let first = meta.depends.split([',', '|', ' ']).next().unwrap_or_default();
    Ok(if first.starts_with("linux-image-") {
        first.to_owned()
    } else {
        stack.kernel.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(date: &str, valid_until: Option<&str>) -> Release {
        Release {
            date: date.parse().unwrap(),
            valid_until: valid_until.map(|until| until.parse().unwrap()),
            index_sha256: Sha256::of(b""),
            index_size: 0,
        }
    }

    #[test]
    fn a_mirror_that_is_behind_or_held_back_is_refused() {
        let suite = Suite {
            name: "trixie".to_owned(),
            date: "2026-01-02T00:00:00Z".parse().unwrap(),
            sha256: Sha256::of(b""),
        };
        let old = Lock::new(vec![suite], Vec::new());
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let check = |release| check_age(&SUITES[0], &release, Some(&old), now);
        assert!(check(release("2026-01-02T00:00:00Z", None)).is_ok());
        assert!(check(release("2026-02-02T00:00:00Z", Some("2026-03-01T00:00:01Z"))).is_ok());
        assert!(matches!(
            check(release("2026-01-01T00:00:00Z", None)),
            Err(Error::Behind { .. })
        ));
        let expired = check(release("2026-02-02T00:00:00Z", Some("2026-02-28T00:00:00Z")));
        assert!(matches!(expired, Err(Error::Expired { .. })));
    }
}
