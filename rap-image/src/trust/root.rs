//! Roots: who may sign what, and how many of them it takes (TUF 1.0 §4.3). Counts signatures, which `tough` leaves to
//! whoever reads them.
//!
//! Invariant: a [`Root`] carries as many good signatures of its own root keys as it asks for, and no role asks for more
//! signatures than it has keys.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tough::schema::key::Key;
use tough::schema::{Role as _, RoleKeys, RoleType, Signed};

use super::sign::{form, signatures};
use super::{Document, ROOT_FILE, SPEC_VERSION, SignError};

/// The field of a root that says that its keys are for development; signed with the rest of it.
pub const DEVELOPMENT: &str = "x-rap-development";
/// Bytes of a root that are read, at most.
const LIMIT: u64 = 1 << 20;

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is none.
    #[error("{0} is no root of updates that boxes can read")]
    Form(PathBuf, #[source] serde_json::Error),
    /// A role is not there.
    #[error("the root has no role {0}")]
    Role(RoleType),
    /// More signatures are asked for than there are keys.
    #[error("role {role} asks for {threshold} signatures and has {keys} keys")]
    Threshold {
        /// Which.
        role: RoleType,
        /// Signatures it asks for.
        threshold: u64,
        /// Keys it has.
        keys: usize,
    },
    /// Signatures are missing.
    #[error(
        "root {version} has {found} of the {wanted} signatures that {by} asks for; whoever holds another root key adds \
         one with `rap-image keys sign-root`"
    )]
    Signatures {
        /// The root's version.
        version: u64,
        /// Good signatures there are.
        found: usize,
        /// Signatures there have to be.
        wanted: u64,
        /// Whose threshold that is.
        by: String,
    },
    /// Roots follow each other without a gap.
    #[error("root {found} cannot follow root {before}; root {} is missing", before + 1)]
    Gap {
        /// The version that was there.
        before: u64,
        /// The version that came.
        found: u64,
    },
    /// It cannot be written.
    #[error("the root cannot be made")]
    Sign(#[from] SignError),
}

impl RootError {
    /// A key whose id cannot be reckoned.
    pub(crate) fn key(error: tough::schema::Error) -> Self {
        Self::Sign(form(error))
    }
}

/// What is the same for a root however its keys are.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// From 1 on; each root is one more than the one before.
    pub version: NonZeroU64,
    /// When boxes no longer believe it.
    pub expires: Timestamp,
    /// Whether its keys are for development.
    pub development: bool,
}

/// A root, not yet signed: for each role its keys, and how many of them have to sign.
///
/// # Errors
/// When a role asks for more signatures than it has keys.
pub fn make(
    terms: Terms,
    roles: &[(RoleType, Vec<Key>, NonZeroU64)],
) -> Result<tough::schema::Root, RootError> {
    let mut root = tough::schema::Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: terms.version,
        expires: terms.expires,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    if terms.development {
        root._extra.insert(DEVELOPMENT.to_owned(), true.into());
    }
    for (role, keys, threshold) in roles {
        let mut keyids = Vec::new();
        for key in keys {
            let id = key.key_id().map_err(form)?;
            root.keys.insert(id.clone(), key.clone());
            keyids.push(id);
        }
        keyids.sort();
        keyids.dedup();
        let keys = RoleKeys {
            keyids,
            threshold: *threshold,
            _extra: HashMap::new(),
        };
        root.roles.insert(*role, keys);
    }
    check_roles(&root)?;
    Ok(root)
}

/// A root that was signed as it asks.
#[derive(Debug, Clone)]
pub struct Root(Document<tough::schema::Root>);

impl Root {
    /// Reads the newest root in a directory of keys; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is none, or lacks signatures.
    pub fn in_keys(directory: &Path) -> Result<Option<Self>, RootError> {
        let path = directory.join(ROOT_FILE);
        match read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes).map(Some),
            Err(RootError::Read(_, error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a root file.
    ///
    /// # Errors
    /// When it cannot be read, is none, or lacks signatures.
    pub fn read(path: &Path) -> Result<Self, RootError> {
        Self::parse(path, &read(path)?)
    }

    /// The root in `bytes`, which messages call `path`. The bytes are kept as they are.
    ///
    /// # Errors
    /// When it is none, or lacks signatures.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, RootError> {
        let signed: Signed<tough::schema::Root> =
            serde_json::from_slice(bytes).map_err(|error| RootError::Form(path.to_owned(), error))?;
        Self::new(Document {
            signed,
            bytes: bytes.to_vec(),
        })
    }

    /// The root of a document.
    ///
    /// # Errors
    /// When it lacks signatures, or a role cannot be signed as it asks.
    pub fn new(document: Document<tough::schema::Root>) -> Result<Self, RootError> {
        check_roles(&document.signed.signed)?;
        let root = Self(document);
        root.is_signed_by(&root, "it")?;
        Ok(root)
    }

    /// What it says.
    #[must_use]
    pub fn content(&self) -> &tough::schema::Root {
        &self.0.signed.signed
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.content().version().get()
    }

    /// Whether its keys are for development.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.content()._extra.get(DEVELOPMENT) == Some(&true.into())
    }

    /// Whether a box that trusts this one will take `next` (TUF 1.0 §5.3.4, §5.3.5).
    ///
    /// # Errors
    /// When it is not the next version, or this one's keys did not sign it.
    pub fn check_next(&self, next: &Self) -> Result<(), RootError> {
        if next.version() != self.version() + 1 {
            return Err(RootError::Gap {
                before: self.version(),
                found: next.version(),
            });
        }
        next.is_signed_by(self, &format!("root {}", self.version()))
    }

    fn is_signed_by(&self, other: &Self, by: &str) -> Result<(), RootError> {
        let roles = &other.content().roles;
        let keys = roles
            .get(&RoleType::Root)
            .ok_or(RootError::Role(RoleType::Root))?;
        let (found, wanted) = (signatures(other.content(), &self.0.signed), keys.threshold.get());
        if (found as u64) < wanted {
            let (version, by) = (self.version(), by.to_owned());
            return Err(RootError::Signatures {
                version,
                found,
                wanted,
                by,
            });
        }
        Ok(())
    }
}

/// Roots from the first one to the newest, each taken by whoever trusts the one before.
#[derive(Debug, Clone)]
pub struct Chain {
    earlier: Vec<Root>,
    newest: Root,
}

impl Chain {
    /// A chain of one.
    #[must_use]
    pub fn of(first: Root) -> Self {
        Self {
            earlier: Vec::new(),
            newest: first,
        }
    }

    /// Adds the next root.
    ///
    /// # Errors
    /// When a box that trusts the last one would not take it.
    pub fn push(&mut self, next: Root) -> Result<(), RootError> {
        self.newest.check_next(&next)?;
        self.earlier.push(std::mem::replace(&mut self.newest, next));
        Ok(())
    }

    /// The newest root.
    #[must_use]
    pub fn newest(&self) -> &Root {
        &self.newest
    }

    /// The roots, oldest first.
    pub fn roots(&self) -> impl DoubleEndedIterator<Item = &Root> {
        self.earlier.iter().chain([&self.newest])
    }
}

fn check_roles(root: &tough::schema::Root) -> Result<(), RootError> {
    for role in [
        RoleType::Root,
        RoleType::Targets,
        RoleType::Snapshot,
        RoleType::Timestamp,
    ] {
        let keys = root.roles.get(&role).ok_or(RootError::Role(role))?;
        if keys.threshold.get() > keys.keyids.len() as u64 {
            return Err(RootError::Threshold {
                role,
                threshold: keys.threshold.get(),
                keys: keys.keyids.len(),
            });
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, RootError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
        .map_err(|error| RootError::Read(path.to_owned(), error))?;
    Ok(bytes)
}
