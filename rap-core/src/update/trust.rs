//! TUF: from a source to a [`Manifest`] that was signed for this box's profile (TUF specification 1.0, §5 "detailed client
//! workflow").
//!
//! The steps are `tough`'s; the paragraphs are named where they are done. What is ours:
//!
//! * **Where trust begins** (§5.2): the root in the image, and the roots after it that this box has seen ([`roots`]).
//! * **What is remembered** (§5.3.8, §5.4.5, §5.5.7): one small file, twice, replaced as a whole and only after *every* check
//!   has passed ([`known`]). A refusal changes nothing on the disk. `tough` writes into a scratch folder of its own.
//! * **Expiry** (§5.3.10, §5.4.4, §5.5.6, §5.6.6) by our own "now" ([`Now`]): `tough`'s would be the wall clock, and would
//!   refuse everything after the clock stood ahead once.
//! * **Which files** ([`transport`]): only those our repositories have, each with a limit of its own. No delegations,
//!   consistent snapshots only.
//! * **Words**: each attack has its own ([`TrustError`]).
//!
//! Invariant: a [`Trusted`] exists only when all of that held.

mod error;
mod known;
mod roots;
mod scratch;
mod transport;

use std::path::Path;
use std::sync::Arc;

use tough::schema::{Role, Signed};
use tough::{ExpirationEnforcement, Limits, Repository, RepositoryLoader, TargetName};
use url::Url;

pub use self::error::{Clock, TrustError};
use self::known::Memory;
#[doc(hidden)]
pub use self::known::is_known;
use self::scratch::Scratch;
use self::transport::Transport;
use super::source::{Name, Source, SourceError, TARGETS};
use crate::digest::Sha256;
use crate::folder::Folder;
use crate::release::{self, File, MANIFEST_LIMIT, Manifest};

/// Roots that are followed in one check, at most.
const MOST_ROOTS: u64 = 64;
/// Where `tough` thinks the repository is; the transport looks at the last part only.
const NOWHERE: &str = "rap://repository/metadata/";

/// What is asked of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The trusted root in the image, `/etc/rap/update-root.json`.
    pub root: &'a [u8],
    /// The hardware profile.
    pub profile: &'a str,
    /// A time that has certainly passed, in seconds since 1970: the clock's floor, never the wall clock.
    pub floor: u64,
    /// A folder for `tough` alone, made and emptied here; nothing in it has to last.
    pub scratch: &'a Path,
}

/// What a repository says, and every check held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The release for the profile.
    pub manifest: Manifest,
    /// The manifest as it was signed.
    pub file: File,
    /// Its bill of materials, `targets/HASH.sbom-PROFILE.cdx.json`.
    pub sbom: Option<File>,
    /// What the metadata says of itself.
    pub versions: Versions,
    /// When the first of the metadata expires, in seconds since 1970.
    pub expires: u64,
    /// What this box had remembered is lost, in words: that metadata does not grow older is known only from now on. The
    /// floor of the release's number holds all the same.
    pub lost: Option<String>,
}

/// Versions of TUF's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of the root.
    pub root: u64,
    /// Of the timestamp.
    pub timestamp: u64,
    /// Of the snapshot.
    pub snapshot: u64,
    /// Of the targets.
    pub targets: u64,
}

/// The time that metadata is held against (§5.1): the later of what has certainly passed and what the repository's own
/// clock says over an authenticated line.
#[derive(Debug, Clone, Copy)]
struct Now {
    floor: u64,
    there: Option<u64>,
}

/// Asks `source` what the release for this profile is, with what `folder` remembers; what it says is remembered there
/// once all of it is proven.
///
/// # Errors
/// See [`TrustError`]; nothing in `folder` has changed then.
pub fn check<F: Folder>(
    source: &Arc<dyn Source>,
    question: Question<'_>,
    folder: &mut F,
) -> Result<Trusted, TrustError> {
    let memory = Memory::read(folder).map_err(TrustError::Memory)?;
    // §5.2
    let start = roots::follow(question.root, &memory.known)?;
    let transport = Transport::new(Arc::clone(source));
    let scratch = Scratch::with(question.scratch, &memory.known).map_err(TrustError::Scratch)?;
    let loaded = load(start.bytes(), &transport, &scratch)?;
    let mut heard = transport.heard();
    let repository = loaded.map_err(|error| error::told(error, &mut heard, scratch.root().as_ref()))?;
    drop(scratch);

    let now = Now {
        floor: question.floor,
        there: source.time(),
    };
    let expires = check_expiry(&repository, now)?;
    check_shape(&repository)?;
    let (manifest, file) = manifest(&repository, source.as_ref(), question.profile)?;
    // It raises the clock's floor: one beyond the metadata's end would lock the box out of this very release.
    if manifest.published > expires {
        return Err(TrustError::Published {
            published: manifest.published,
            expires,
        });
    }
    let sbom = target(&repository, &release::sbom_name(question.profile))?.map(|(_, file)| file);
    // §5.3.8, §5.4.5, §5.5.7
    let lost = memory.lost.clone().or_else(|| start.lost());
    memory
        .remember(start.kept(), &heard, folder)
        .map_err(TrustError::Memory)?;
    Ok(Trusted {
        sbom,
        versions: versions(&repository),
        manifest,
        file,
        expires,
        lost,
    })
}

/// §5.3 to §5.6 but for expiry. The outer error is about the box itself.
fn load(
    root: &[u8],
    transport: &Transport,
    scratch: &Scratch<'_>,
) -> Result<Result<Repository, tough::error::Error>, TrustError> {
    let nowhere = Url::parse(NOWHERE).map_err(|error| TrustError::Scratch(std::io::Error::other(error)))?;
    let limits = Limits {
        max_root_size: transport::ROOT_LIMIT,
        max_targets_size: transport::TARGETS_LIMIT,
        max_timestamp_size: transport::TIMESTAMP_LIMIT,
        max_snapshot_size: transport::SNAPSHOT_LIMIT,
        max_root_updates: MOST_ROOTS,
    };
    let loader = RepositoryLoader::new(&root, nowhere.clone(), nowhere)
        .transport(transport.clone())
        .limits(limits)
        .datastore(scratch.path())
        .expiration_enforcement(ExpirationEnforcement::Unsafe);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(TrustError::Scratch)?;
    Ok(runtime.block_on(loader.load()))
}

/// §5.3.10, §5.4.4, §5.5.6, §5.6.6: the earliest end of the four, in seconds since 1970.
fn check_expiry(repository: &Repository, now: Now) -> Result<u64, TrustError> {
    let ends = [
        now.check("root", repository.root())?,
        now.check("timestamp", repository.timestamp())?,
        now.check("snapshot", repository.snapshot())?,
        now.check("targets", repository.targets())?,
    ];
    Ok(ends.into_iter().min().unwrap_or(0))
}

impl Now {
    fn check<T: Role>(self, role: &'static str, signed: &Signed<T>) -> Result<u64, TrustError> {
        let expires = u64::try_from(signed.signed.expires().as_second()).unwrap_or(0);
        let there = self.there.unwrap_or(0);
        if expires > self.floor.max(there) {
            return Ok(expires);
        }
        let clock = match self.there {
            Some(there) if expires <= there => Clock::Repository(there),
            Some(there) => Clock::FloorOnly {
                floor: self.floor,
                there,
            },
            None => Clock::Floor(self.floor),
        };
        Err(TrustError::Expired {
            role,
            version: signed.signed.version().get(),
            expires,
            clock,
        })
    }
}

/// What our repositories have, and others need not.
fn check_shape(repository: &Repository) -> Result<(), TrustError> {
    // TUF 1.0 §4.3: another major version would mean something else.
    let root = &repository.root().signed;
    if !root.spec_version.starts_with("1.") {
        return Err(TrustError::Specification {
            found: root.spec_version.chars().take(16).collect(),
        });
    }
    let targets = &repository.targets().signed;
    if let Some(role) = targets.delegations.iter().flat_map(|all| &all.roles).next() {
        return Err(TrustError::Delegated {
            role: error::clean(&role.name),
        });
    }
    match targets.targets.keys().find(|name| !error::is_clean(name.raw())) {
        Some(name) => Err(TrustError::TargetName {
            name: error::clean(name.raw()),
        }),
        None => Ok(()),
    }
}

/// §5.7: what the targets say of a name, and the file it is.
fn target(repository: &Repository, name: &str) -> Result<Option<(Name, File)>, TrustError> {
    let unclean = || TrustError::TargetName {
        name: error::clean(name),
    };
    let key = TargetName::new(name).map_err(|_| unclean())?;
    let Some(found) = repository.targets().signed.targets.get(&key) else {
        return Ok(None);
    };
    let hash: String = found
        .hashes
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let sha256: Sha256 = hash.parse().map_err(|_| unclean())?;
    let path: Name = format!("{TARGETS}/{hash}.{name}")
        .parse()
        .map_err(|_| unclean())?;
    let file = File {
        bytes: found.length,
        sha256,
    };
    Ok(Some((path, file)))
}

/// §5.7.1 to §5.7.3
fn manifest(
    repository: &Repository,
    source: &dyn Source,
    profile: &str,
) -> Result<(Manifest, File), TrustError> {
    let name = release::manifest_name(profile);
    let (path, file) = target(repository, &name)?.ok_or_else(|| TrustError::NoRelease {
        profile: error::clean(profile),
    })?;
    if file.bytes > MANIFEST_LIMIT {
        return Err(TrustError::TooLarge {
            name,
            bytes: file.bytes,
        });
    }
    let content = source.fetch(&path, file.bytes).map_err(|error| match error {
        SourceError::TooLong { name, limit } => TrustError::WrongLength {
            name: name.to_string(),
            expected: limit,
            found: None,
        },
        SourceError::NotThere { name } => TrustError::Missing { name },
        error => TrustError::Source(error),
    })?;
    if content.len() as u64 != file.bytes {
        return Err(TrustError::WrongLength {
            name: path.to_string(),
            expected: file.bytes,
            found: Some(content.len() as u64),
        });
    }
    if Sha256::of(&content) != file.sha256 {
        return Err(TrustError::WrongHash {
            name: path.to_string(),
        });
    }
    let manifest = Manifest::parse(&content).map_err(TrustError::Manifest)?;
    if manifest.profile != profile {
        return Err(TrustError::Profile {
            expected: error::clean(profile),
            found: manifest.profile,
        });
    }
    Ok((manifest, file))
}

fn versions(repository: &Repository) -> Versions {
    Versions {
        root: repository.root().signed.version.get(),
        timestamp: repository.timestamp().signed.version.get(),
        snapshot: repository.snapshot().signed.version.get(),
        targets: repository.targets().signed.version.get(),
    }
}
