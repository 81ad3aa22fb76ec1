//! Keys: made, kept, replaced. What signs images, updates and what the service centre asks.
//!
//! A directory of keys holds, for each NAME, `NAME.pub` or `NAME.crt`, and `NAME.key` or `NAME.signer` where it can sign here
//! ([`PrivateKey`]):
//!
//! | NAME | signs | kind |
//! |---|---|---|
//! | `update-root-1`, … | roots: who signs the rest; a threshold of them together | Ed25519 |
//! | `update-targets`, `-snapshot`, `-timestamp` (development: `update-online`) | releases, the list of metadata, freshness | Ed25519 |
//! | `secure-boot-PK`, `-KEK`, `-db` | firmware's key variables, loader and images | RSA-2048, certificates |
//! | `service` | what the service centre asks of a box | Ed25519 |
//!
//! and `root.json`, the newest root; `root.next.json`, one that still lacks signatures; `roots/`, those before;
//! `retired/`, replaced keys. A set for development has keys and certificates for TLS besides.
//!
//! Invariants: the directory is 0700 and every file 0600; a set is replaced whole, by one exchange of directories; keys for
//! releases are encrypted.

mod development;
mod encrypted;
mod make;
mod private;
mod program;
mod release;
mod rotate;
mod set;
mod show;

use std::path::{Path, PathBuf};

pub use development::{BOX_NAME, development, write_development};
pub use encrypted::{EncryptionError, PASSPHRASE, PASSPHRASE_FILE, Passphrase, PassphraseError};
pub use private::{PrivateKey, PrivateKeyError, public_keys, signatories};
pub use program::ProgramError;
pub use release::{Release, write_release};
pub use rotate::{Rotation, Standing, rotate, sign_root};
pub use show::{Holding, Kept, Role, Shown, show};

use crate::trust::RootError;

/// The folder of the roots before the newest one, in a directory of keys.
pub const ROOTS: &str = "roots";
/// The folder of keys that were replaced: what they still sign is for boxes that know the old root only.
pub const RETIRED: &str = "retired";
/// A root that still lacks signatures.
pub const NEXT_ROOT: &str = "root.next.json";
/// The keys of Secure Boot.
const SECURE_BOOT: [&str; 3] = ["secure-boot-PK", "secure-boot-KEK", "secure-boot-db"];
/// The key that signs what boxes are asked (`rap_core::directive::ServiceKey`): ECDSA P-256.
const SERVICE: &str = "service";

/// Why keys were not made or replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There are some.
    #[error("{} exists; remove it, choose another --out, or replace it with --force", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// What would be replaced is no set of development keys.
    #[error("{} holds no development keys (no README that says so), so it is not replaced", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("cannot make {name}")]
    Make {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The root of updates.
    #[error("cannot make the root of updates")]
    Root(#[from] RootError),
    /// A key.
    #[error("a key cannot be used")]
    Private(#[from] PrivateKeyError),
    /// A key cannot be encrypted.
    #[error("the key {0} cannot be encrypted")]
    Encrypt(String, #[source] EncryptionError),
    /// There is no passphrase.
    #[error("keys for releases are encrypted, and there is no passphrase")]
    Passphrase(#[from] PassphraseError),
    /// A name that says development.
    #[error("the owner's name begins with DEVELOPMENT, which only development keys do")]
    Owner,
    /// No such key of updates.
    #[error("there is no key of updates {0}.pub; rap-image keys show lists them")]
    NoKey(String),
    /// Half of a rotation is waiting.
    #[error(
        "{0} still lacks signatures: have it signed with `rap-image keys sign-root`, or remove it, and begin again"
    )]
    Waiting(PathBuf),
    /// No root.
    #[error("{0} has no root.json")]
    NoRoot(PathBuf),
    /// Nobody signed.
    #[error("none of the root keys that root {0} asks for is in this directory")]
    NoneSigned(u64),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The text of a file that may be missing.
fn read_text(path: &Path) -> Result<Option<String>, PrivateKeyError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivateKeyError::Read(path.to_owned(), error)),
    }
}

/// Makes the directory `out` with these files, for its owner alone; whole or not at all.
///
/// # Errors
/// When there is something already, or it cannot be written.
pub(crate) fn write_new(
    out: &Path,
    files: std::collections::BTreeMap<String, Vec<u8>>,
) -> Result<(), KeysError> {
    if out.exists() {
        return Err(KeysError::Exists { path: out.to_owned() });
    }
    set::write(&files, out)
}
