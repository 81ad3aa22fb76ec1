//! Publishing: from images to a repository of updates that boxes trust; static files for any web server.
//!
//! ```text
//! metadata/N.root.json                  who may sign what
//! metadata/N.targets.json, N.snapshot.json, timestamp.json
//! targets/HASH.release-PROFILE.json, HASH.sbom-PROFILE.cdx.json
//! pieces/HASH                           everything else
//! ```
//!
//! Invariants: whoever reads the repository at any moment finds the old release or the new one, whole: every file has a
//! name that nobody reads yet, but for `timestamp.json`, which is replaced last. What a killed run left is swept by the
//! next, which then does all of it. What is there is read as a box would read it before anything is added. The same
//! images, keys (Ed25519) and times give the same bytes.

mod bundle;
mod error;
mod image;
mod metadata;
mod place;
mod prune;
mod release;
mod repository;
mod ways;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rap_core::release::{Manifest, Wave};
use serde::Serialize;
use tough::schema::RoleType;

pub use bundle::{Bundled, bundle};
pub use error::PublishError;
pub use image::Input;
pub use prune::{Pruned, prune};
pub use ways::Patcher;

use crate::keys::{Passphrase, signatories};
use crate::trust::{Chain, Root, Signatory};
use image::Image;
use metadata::{Entry, Named, Scope, Signing};
use place::Place;
use release::{patches, published, release};
use repository::Repository;

/// Days until metadata expires.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Targets: a release.
    pub targets: u32,
    /// Snapshot.
    pub snapshot: u32,
    /// Timestamp: how long somebody could hold back a newer release unseen.
    pub timestamp: u32,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            targets: 400,
            snapshot: 400,
            timestamp: 30,
        }
    }
}

/// What is to be published.
#[derive(Debug)]
pub struct Order {
    /// The repository's folder.
    pub repository: PathBuf,
    /// The directory of keys.
    pub keys: PathBuf,
    /// The images, one a profile.
    pub images: Vec<Input>,
    /// The release's number; `None` is one more than the newest.
    pub number: Option<u64>,
    /// What people call it; `None` is what the image says.
    pub version: Option<String>,
    /// The lowest number from which a box may go to it at once.
    pub minimum: u64,
    /// MiB of memory that a box needs to run it; `None` is reckoned from the image.
    pub memory_mib: Option<u64>,
    /// What changed, in sentences.
    pub changes: Vec<String>,
    /// When which part of the boxes takes it.
    pub waves: Vec<Wave>,
    /// Patches from at most so many earlier releases.
    pub patches: usize,
    /// zstd's level for the whole image.
    pub level: i32,
    /// This moment, by the desk's clock.
    pub now: Timestamp,
    /// How long metadata holds.
    pub expiry: Expiry,
}

/// A step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Images and repository are read and checked.
    Check,
    /// Left by a killed run, and swept.
    Sweep(usize),
    /// Frames are compressed.
    Compress {
        /// So many are.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// A patch is made.
    Patch {
        /// From this release.
        from: String,
    },
    /// Files are written.
    Write {
        /// So many are.
        done: usize,
        /// Of so many.
        of: usize,
    },
}

/// A release that was published.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Published {
    /// The profile.
    pub profile: String,
    /// The number.
    pub number: u64,
    /// The version.
    pub version: String,
    /// Bytes of the UKI.
    pub uki_bytes: u64,
    /// Bytes to bring for the whole of it.
    pub full_bytes: u64,
    /// Patches: from which version, and bytes to bring.
    pub patches: Vec<(String, u64)>,
}

/// What became of a repository.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The releases that were published.
    pub releases: Vec<Published>,
    /// The newest root.
    pub root: u64,
    /// Bytes of the metadata that was signed.
    pub metadata_bytes: u64,
    /// Until when boxes believe the repository: the first of its metadata to expire.
    pub expires: String,
}

/// Publishes.
///
/// # Errors
/// When something is refused or fails; whoever reads the repository then finds it as it was.
pub fn publish(
    order: &Order,
    patcher: Option<Patcher<'_>>,
    passphrase: &Passphrase,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Outcome, PublishError> {
    let mut place = Place::take(&order.repository)?;
    publish_into(&mut place, order, patcher, passphrase, say)
}

fn publish_into(
    place: &mut Place,
    order: &Order,
    patcher: Option<Patcher<'_>>,
    passphrase: &Passphrase,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Outcome, PublishError> {
    say(Step::Check);
    let before = Repository::read(place.root())?;
    let (chain, known) = roots(&order.keys, before.as_ref())?;
    let images: Vec<Image> = order.images.iter().map(Image::read).collect::<Result<_, _>>()?;
    for (index, image) in images.iter().enumerate() {
        image.check(&chain, &order.keys)?;
        if images[..index].iter().any(|other| other.profile == image.profile) {
            return Err(PublishError::Twice(image.profile.clone()));
        }
    }
    let releases: Vec<Manifest> = images
        .iter()
        .map(|image| release(order, image, before.as_ref()))
        .collect::<Result<_, _>>()?;
    let keys = at_hand(&order.keys, &chain, &known, passphrase)?;
    sweep(place, before.as_ref(), say)?;

    let mut files = Vec::new();
    let mut entries = Vec::new();
    for (image, mut release) in images.iter().zip(releases) {
        let frames = ways::frames(&image.uki, order.level, say)?;
        release.full = frames.iter().map(|(file, _)| *file).collect();
        let mut pieces = frames;
        if let (Some(patcher), Some(before)) = (patcher, &before) {
            pieces.extend(patches(
                place.root(),
                before,
                image,
                &mut release,
                order.patches,
                patcher,
                say,
            )?);
        }
        release.check()?;
        files.extend(pieces.into_iter().map(|(file, bytes)| Named {
            name: repository::piece_name(&file),
            bytes,
        }));
        let manifest = to_bytes(&release)?;
        let [manifest, sbom] = [
            (rap_core::release::manifest_name(&release.profile), manifest),
            (rap_core::release::sbom_name(&release.profile), image.sbom.clone()),
        ]
        .map(|(name, bytes)| {
            let (file, bytes) = ways::piece(bytes);
            let name = format!("targets/{}.{name}", file.sha256);
            files.push(Named { name, bytes });
            file
        });
        entries.push((release, manifest, sbom));
    }
    let named: Vec<Entry<'_>> = entries
        .iter()
        .map(|(release, manifest, sbom)| Entry {
            release,
            manifest: *manifest,
            sbom: *sbom,
        })
        .collect();
    let signing = Signing {
        keys: &keys,
        chain: &chain,
        known: &known,
        now: order.now,
        expiry: order.expiry,
    };
    let (metadata, expires) = signing.files(before.as_ref(), &named, Scope::Targets)?;
    files.extend(metadata);
    write(place, &files, say)?;
    let releases = entries
        .iter()
        .map(|(release, ..)| published(release, before.as_ref()))
        .collect();
    Ok(outcome(&signing, &files, expires, releases))
}

/// Signs timestamp (and what else has to be) anew, so that boxes go on believing the repository; and brings new roots.
///
/// # Errors
/// When something is refused or fails; whoever reads the repository then finds it as it was.
pub fn refresh(
    repository: &Path,
    keys: &Path,
    now: Timestamp,
    expiry: Expiry,
    whole: bool,
    passphrase: &Passphrase,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Outcome, PublishError> {
    let mut place = Place::take(repository)?;
    refresh_in(&mut place, keys, (now, expiry, whole), passphrase, say)
}

fn refresh_in(
    place: &mut Place,
    directory: &Path,
    (now, expiry, whole): (Timestamp, Expiry, bool),
    passphrase: &Passphrase,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Outcome, PublishError> {
    say(Step::Check);
    let before =
        Repository::read(place.root())?.ok_or_else(|| PublishError::Empty(place.root().to_owned()))?;
    let (chain, known) = roots(directory, Some(&before))?;
    let keys = at_hand(directory, &chain, &known, passphrase)?;
    sweep(place, Some(&before), say)?;
    let signing = Signing {
        keys: &keys,
        chain: &chain,
        known: &known,
        now,
        expiry,
    };
    // Under a new root everything has to be signed by the keys it names. A release that will expire is signed anew where its
    // keys are at hand; a machine that has only the keys for freshness goes on with what it can.
    let newest = chain.newest().content();
    let soon = |end: Timestamp| end.as_second() < now.as_second() + i64::from(expiry.timestamp) * 86_400;
    let old = (before.targets.signed.expires, before.snapshot.signed.expires);
    let scope = if whole
        || newest.verify_role(&before.targets).is_err()
        || soon(old.0) && signing.can_sign(RoleType::Targets)
    {
        Scope::Targets
    } else if newest.verify_role(&before.snapshot).is_err()
        || soon(old.1) && signing.can_sign(RoleType::Snapshot)
    {
        Scope::Snapshot
    } else {
        Scope::Timestamp
    };
    let (files, expires) = signing.files(Some(&before), &[], scope)?;
    write(place, &files, say)?;
    Ok(outcome(&signing, &files, expires, Vec::new()))
}

/// The roots that the repository is to have, and the one that boxes know now.
fn roots(directory: &Path, before: Option<&Repository>) -> Result<(Chain, Root), PublishError> {
    let no_root = || PublishError::NoRootFile(directory.join(crate::trust::ROOT_FILE));
    let newest = Root::in_keys(directory)?.ok_or_else(no_root)?;
    let of = |version: u64| {
        if version == newest.version() {
            Ok(newest.clone())
        } else {
            Root::read(&directory.join(format!("{}/{version}.root.json", crate::keys::ROOTS)))
        }
    };
    let mut chain = match before {
        Some(before) => before.chain.clone(),
        None => Chain::of(of(1)?),
    };
    let known = chain.newest().clone();
    if known.version() > newest.version() {
        return Err(PublishError::OlderKeys {
            repository: known.version(),
            keys: newest.version(),
        });
    }
    if of(known.version())?.bytes() != known.bytes() {
        return Err(PublishError::OtherKeys(known.version()));
    }
    for version in known.version() + 1..=newest.version() {
        chain.push(of(version)?)?;
    }
    let known = if before.is_some() {
        known
    } else {
        chain.newest().clone()
    };
    Ok((chain, known))
}

/// The keys in the directory that the newest root or the known one names for what is signed online.
fn at_hand(
    directory: &Path,
    chain: &Chain,
    known: &Root,
    passphrase: &Passphrase,
) -> Result<Vec<Signatory>, PublishError> {
    let roots = [chain.newest(), known].map(Root::content);
    let mut wanted = Vec::new();
    for role in [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp] {
        wanted.extend(roots.iter().flat_map(|root| root.keys(role)));
    }
    Ok(signatories(directory, &|key| wanted.contains(&key), passphrase)?)
}

fn sweep(
    place: &mut Place,
    before: Option<&Repository>,
    say: &(dyn Fn(Step) + Sync),
) -> Result<(), PublishError> {
    let left = repository::leftovers(place.root(), before)?;
    if !left.is_empty() {
        say(Step::Sweep(left.len()));
    }
    left.iter().try_for_each(|name| place.remove(name))
}

fn write(place: &mut Place, files: &[Named], say: &(dyn Fn(Step) + Sync)) -> Result<(), PublishError> {
    for (index, file) in files.iter().enumerate() {
        place.write(&file.name, &file.bytes)?;
        say(Step::Write {
            done: index + 1,
            of: files.len(),
        });
    }
    Ok(())
}

fn to_bytes(release: &Manifest) -> Result<Vec<u8>, PublishError> {
    let mut bytes = serde_json::to_vec(release).map_err(|error| PublishError::Form(Box::new(error)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn outcome(signing: &Signing<'_>, files: &[Named], expires: Timestamp, releases: Vec<Published>) -> Outcome {
    let metadata = files.iter().filter(|file| file.name.starts_with("metadata/"));
    Outcome {
        releases,
        root: signing.chain.newest().version(),
        metadata_bytes: metadata.map(|file| file.bytes.len() as u64).sum(),
        expires: expires.to_string(),
    }
}

#[cfg(test)]
mod tests;
