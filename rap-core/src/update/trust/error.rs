//! Why a repository is not believed: each attack that TUF names has its own words, and so has each mistake of an operator.
//!
//! `tough` hides causes in chains (a hash that is wrong looks like an error of the transport), so the chain is walked.

use std::error::Error;
use std::fmt;

use serde_json::Value;
use tough::error::Error as Tough;
use tough::schema::{self, RoleType, Root, Signed, Snapshot, Targets};

use super::super::source::{Name, SourceError};
use super::transport::Heard;
use crate::client::words;
use crate::release::{MANIFEST_LIMIT, ManifestError};

/// The most characters of a name that others chose.
const MOST_SHOWN: usize = 80;
/// Types and schemes of keys (TUF 1.0 §4.2) that can be checked here.
const KEYS: [(&str, &str); 4] = [
    ("ed25519", "ed25519"),
    ("ecdsa", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("rsa", "rsassa-pss-sha256"),
];

/// Why what a repository says is not believed, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file did not come.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no repository.
    #[error(
        "there is no update repository: metadata/timestamp.json is not there; is the url in [update] right?"
    )]
    NoRepository,
    /// The repository is not whole.
    #[error("the repository is not whole: it names {name}, which is not there; was it copied half?")]
    Missing {
        /// What is missing.
        name: Name,
    },
    /// No metadata at all.
    #[error("{file} is no metadata this program reads")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A root has keys that cannot be checked here.
    #[error(
        "{file} has a key of type {kind}, which this program cannot check; it can check ed25519, ecdsa-sha2-nistp256 and \
         rsassa-pss-sha256"
    )]
    UnknownKey {
        /// Which.
        file: String,
        /// Its type and scheme.
        kind: String,
    },
    /// Arbitrary software attack, or keys of somebody else (§5.3.4, §5.4.2, §5.5.3, §5.6.3).
    #[error("{file} is signed by none of the keys that the trusted root names for {role}")]
    WrongKeys {
        /// Which.
        file: String,
        /// The role that has to sign it.
        role: String,
    },
    /// Too few signatures (the same paragraphs).
    #[error("{file} has {valid} of the {threshold} signatures that {role} needs")]
    UnderThreshold {
        /// Which.
        file: String,
        /// The role that has to sign it.
        role: String,
        /// Signatures that hold.
        valid: u64,
        /// Signatures needed.
        threshold: u64,
    },
    /// A root in another's place (§5.3.5).
    #[error("{file} is version {found} of the root: an older or a later one stands in its place")]
    RootOrder {
        /// Which.
        file: String,
        /// What it says of itself.
        found: u64,
    },
    /// More roots than anybody makes (§5.3.3).
    #[error("more than {0} newer roots: that is no repository, but something endless")]
    EndlessRoots(u64),
    /// Rollback attack (§5.4.3, §5.5.5).
    #[error(
        "rollback: the repository offers {role} version {offered}, and this box has seen version {seen}: somebody shows it an \
         old state"
    )]
    Rollback {
        /// Of what.
        role: String,
        /// What this box has seen.
        seen: u64,
        /// What is offered.
        offered: u64,
    },
    /// Something the snapshot listed before is gone (§5.5.5).
    #[error("the snapshot lists {role} no more: somebody took it out")]
    Dropped {
        /// Of what.
        role: String,
    },
    /// Mix-and-match attack (§5.5.2, §5.5.4, §5.6.2, §5.6.4).
    #[error("mix and match: {file} is rightly signed, but it is not the one that belongs to the rest")]
    MixAndMatch {
        /// Which.
        file: String,
    },
    /// Content that is not what was signed.
    #[error("{name} is not what was signed: its SHA-256 is another")]
    WrongHash {
        /// Which.
        name: String,
    },
    /// Length that is not what was signed.
    #[error("{name} is not what was signed: it has {}{expected} bytes", found.map_or_else(|| "more than ".to_owned(), |found| format!("{found} instead of ")))]
    WrongLength {
        /// Which.
        name: String,
        /// As signed.
        expected: u64,
        /// What came; `None`: more than that.
        found: Option<u64>,
    },
    /// Endless data attack.
    #[error("{name} has more than {limit} bytes: that is no metadata, but something endless")]
    Endless {
        /// Which.
        name: String,
        /// In bytes.
        limit: u64,
    },
    /// Freeze attack, or nobody cares for the repository (§5.3.10, §5.4.4, §5.5.6, §5.6.6).
    #[error(
        "{role} version {version} expired on {}: {clock}. The repository is not cared for, or somebody keeps newer \
         metadata from this box; `rap-image refresh` makes it fresh",
        words::text(*expires)
    )]
    Expired {
        /// Of what.
        role: &'static str,
        /// Its version.
        version: u64,
        /// In seconds since 1970.
        expires: u64,
        /// By which clock.
        clock: Clock,
    },
    /// A release from the future.
    #[error(
        "the release says it was published on {}, and its metadata expires on {}: the clock of who published it was wrong",
        words::text(*published),
        words::text(*expires)
    )]
    Published {
        /// In seconds since 1970.
        published: u64,
        /// In seconds since 1970.
        expires: u64,
    },
    /// A target's name that leads elsewhere.
    #[error("the targets have the name \"{name}\", which could lead out of the repository")]
    TargetName {
        /// Cleaned and cut.
        name: String,
    },
    /// Delegations, which our repositories do not have.
    #[error("the targets are delegated to \"{role}\"; this program follows no delegations")]
    Delegated {
        /// Cleaned and cut.
        role: String,
    },
    /// A repository without consistent snapshots.
    #[error("the root says that the repository has no consistent snapshots; `rap-image publish` makes them")]
    NotConsistent,
    /// Another version of TUF.
    #[error("the root is of TUF {found}, this program reads 1.x")]
    Specification {
        /// What it says.
        found: String,
    },
    /// Nothing for this box.
    #[error("the repository has no release for {profile}")]
    NoRelease {
        /// The box's profile.
        profile: String,
    },
    /// A release of another profile under the name of ours.
    #[error("the release for {expected} is one for {found}")]
    Profile {
        /// The box's.
        expected: String,
        /// The manifest's.
        found: String,
    },
    /// A manifest of a size that none has.
    #[error("{name} is signed with {bytes} bytes; a manifest has {MANIFEST_LIMIT} at most")]
    TooLarge {
        /// Which.
        name: String,
        /// As signed.
        bytes: u64,
    },
    /// A manifest that was signed and is none.
    #[error(transparent)]
    Manifest(ManifestError),
    /// Metadata that breaks another rule.
    #[error("{file} is refused: {why}")]
    Refused {
        /// Which.
        file: String,
        /// The rule.
        why: String,
    },
    /// What was seen cannot be read or written.
    #[error("what was seen of the repository cannot be kept")]
    Memory(#[source] std::io::Error),
    /// The scratch folder cannot be used.
    #[error("the folder for checking metadata cannot be used")]
    Scratch(#[source] std::io::Error),
}

/// The clock by which something expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The repository's own, over an authenticated line.
    Repository(u64),
    /// What has certainly passed; no other is known.
    Floor(u64),
    /// What has certainly passed, and not the repository's.
    FloorOnly {
        /// In seconds since 1970.
        floor: u64,
        /// The repository's, likewise.
        there: u64,
    },
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(now) => write!(f, "by its own clock it is {}", words::text(*now)),
            Self::Floor(now) => write!(f, "it is at least {} here", words::text(*now)),
            Self::FloorOnly { floor, there } => write!(
                f,
                "it is at least {} here, though its own clock says {}: one of the two is or was wrong",
                words::text(*floor),
                words::text(*there)
            ),
        }
    }
}

/// What an error of `tough` means, given what it was told; `root` is the last one it accepted.
pub(super) fn told(error: Tough, heard: &mut Heard, root: Option<&Signed<Root>>) -> TrustError {
    if let Some(error) = heard.error.take() {
        return error;
    }
    let file = heard.last.as_ref().map_or_else(String::new, Name::to_string);
    match error {
        Tough::ParseMetadata { role, source, .. } => unreadable(role, file, source, heard.last_content()),
        Tough::VerifyMetadata { role, source, .. } => of_signature(source, file, &role.to_string()),
        Tough::OlderMetadata {
            role: RoleType::Root,
            new_version,
            ..
        } => TrustError::RootOrder {
            file,
            found: new_version,
        },
        Tough::OlderMetadata {
            role,
            current_version,
            new_version,
            ..
        } => rollback(&role.to_string(), current_version, new_version),
        Tough::OlderSnapshotInTimestamp {
            snapshot_old,
            snapshot_new,
            ..
        } => rollback("snapshot", snapshot_old, snapshot_new),
        Tough::SnapshotRoleRollback {
            role,
            old_role_version,
            new_role_version,
            ..
        } => rollback(role.trim_end_matches(".json"), old_role_version, new_role_version),
        Tough::SnapshotRoleMissing { role, .. } => TrustError::Dropped { role: clean(&role) },
        Tough::VersionMismatch { .. } => TrustError::MixAndMatch { file },
        Tough::MaxUpdatesExceeded { max_root_updates, .. } => TrustError::EndlessRoots(max_root_updates),
        Tough::Transport { source, .. } => of_content(&source, file, heard.last_content(), root),
        other => TrustError::Refused {
            file,
            why: clean(&other.to_string()),
        },
    }
}

fn rollback(role: &str, seen: u64, offered: u64) -> TrustError {
    TrustError::Rollback {
        role: clean(role),
        seen,
        offered,
    }
}

/// Signatures that do not hold.
pub(super) fn of_signature(error: schema::Error, file: String, role: &str) -> TrustError {
    let role = role.to_owned();
    match error {
        schema::Error::SignatureThreshold { valid: 0, .. } => TrustError::WrongKeys { file, role },
        schema::Error::SignatureThreshold { valid, threshold, .. } => TrustError::UnderThreshold {
            file,
            role,
            valid,
            threshold,
        },
        other => TrustError::Refused {
            file,
            why: clean(&other.to_string()),
        },
    }
}

/// Content that is not what signed metadata says of it: `tough` hides that below its transport.
fn of_content(
    error: &(dyn Error + 'static),
    file: String,
    content: &[u8],
    root: Option<&Signed<Root>>,
) -> TrustError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<Tough>() {
            Some(Tough::HashMismatch { .. }) if is_signed(content, root) => {
                return TrustError::MixAndMatch { file };
            }
            Some(Tough::HashMismatch { .. }) => return TrustError::WrongHash { name: file },
            Some(Tough::MaxSizeExceeded { max_size, .. }) => {
                return TrustError::WrongLength {
                    name: file,
                    expected: *max_size,
                    found: Some(content.len() as u64),
                };
            }
            _ => cause = error.source(),
        }
    }
    TrustError::Refused {
        file,
        why: clean(&error.to_string()),
    }
}

/// Whether it is a snapshot or targets that the root's keys signed: another one of theirs, then.
fn is_signed(content: &[u8], root: Option<&Signed<Root>>) -> bool {
    let Some(root) = root.map(|root| &root.signed) else {
        return false;
    };
    let snapshot = serde_json::from_slice::<Signed<Snapshot>>(content);
    let targets = serde_json::from_slice::<Signed<Targets>>(content);
    snapshot.is_ok_and(|file| root.verify_role(&file).is_ok())
        || targets.is_ok_and(|file| root.verify_role(&file).is_ok())
}

fn unreadable(role: RoleType, file: String, source: serde_json::Error, content: &[u8]) -> TrustError {
    let found = match role {
        RoleType::Root => unknown_key(&file, content),
        RoleType::Targets => unclean_target(content),
        _ => None,
    };
    found.unwrap_or(TrustError::Unreadable { file, source })
}

/// The first key of a root that is of a type or scheme not known here: `tough` reads no such root.
pub(super) fn unknown_key(file: &str, content: &[u8]) -> Option<TrustError> {
    let root: Value = serde_json::from_slice(content).ok()?;
    let keys = root.pointer("/signed/keys")?.as_object()?;
    let text = |key: &Value, field| {
        key.get(field)
            .and_then(Value::as_str)
            .unwrap_or("none")
            .to_owned()
    };
    let kinds = keys
        .values()
        .map(|key| (text(key, "keytype"), text(key, "scheme")));
    let is_known = |(kind, scheme): &(String, String)| KEYS.contains(&(kind, scheme));
    let (kind, scheme) = kinds.filter(|found| !is_known(found)).min()?;
    Some(TrustError::UnknownKey {
        file: file.to_owned(),
        kind: clean(&format!("{kind}/{scheme}")),
    })
}

/// The first name of the targets that is none: `tough` reads no such targets.
fn unclean_target(content: &[u8]) -> Option<TrustError> {
    let targets: Value = serde_json::from_slice(content).ok()?;
    let names = targets.pointer("/signed/targets")?.as_object()?;
    let name = names.keys().find(|name| !is_clean(name))?;
    Some(TrustError::TargetName { name: clean(name) })
}

/// Whether a target's name is that of one file: no folders, nothing hidden, nothing that another name could stand for.
pub(super) fn is_clean(name: &str) -> bool {
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(clean)
}

/// What others wrote, for a person: one line, cut.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MOST_SHOWN)
        .collect()
}
