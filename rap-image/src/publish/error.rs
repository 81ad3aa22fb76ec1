//! Why nothing was published: each cause with what to do about it.

use std::path::PathBuf;

use jiff::Timestamp;
use rap_core::release::ManifestError;
use tough::schema::RoleType;

use crate::keys::PrivateKeyError;
use crate::sbom::SbomError;
use crate::signing::CheckError;
use crate::trust::{RootError, SignError};
use crate::verify::VerifyError;

/// Why nothing was published. The repository is as it was for whoever reads it.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file cannot be written.
    #[error("cannot write {0}; run it again, what was begun is swept then")]
    Write(PathBuf, #[source] std::io::Error),
    /// Somebody else is at it.
    #[error("somebody else publishes into {0} right now; wait until that is done")]
    Busy(PathBuf),
    /// There is nothing in it.
    #[error("nothing was published into {0} yet; rap-image publish does")]
    Empty(PathBuf),
    /// No release of a profile.
    #[error("the repository has no release for {0}")]
    NoRelease(String),
    /// A foreign file.
    #[error("{0} does not belong to a repository; take it away, or publish into another folder")]
    Stray(PathBuf),
    /// A file of the repository is not there.
    #[error(
        "the repository is not whole: {0} is missing; bring it back from what your web server has, or a backup"
    )]
    Missing(String),
    /// A file of the repository is not what it was.
    #[error(
        "the repository is damaged: {0} is not what was published; bring it back from what your web server has, or a backup"
    )]
    Damaged(String),
    /// Metadata that is none.
    #[error("the repository is damaged: {0} cannot be read")]
    Metadata(String, #[source] serde_json::Error),
    /// Metadata that nobody trusts.
    #[error("the repository is not to be trusted: {0} is not signed by the keys its roots name")]
    Signature(String),
    /// A manifest.
    #[error("the release breaks a rule")]
    Manifest(#[from] ManifestError),
    /// A root.
    #[error("the root of updates cannot be used")]
    Root(#[from] RootError),
    /// No root among the keys.
    #[error("{0} is missing: these keys cannot publish; rap-image keys makes sets with a root")]
    NoRootFile(PathBuf),
    /// Another repository's keys.
    #[error(
        "root {0} of the repository is another than that of the keys: these keys are not the repository's"
    )]
    OtherKeys(u64),
    /// Older keys.
    #[error(
        "the repository is at root {repository}, the keys are at root {keys}: use the keys that made the newest root"
    )]
    OlderKeys {
        /// The repository's.
        repository: u64,
        /// The keys'.
        keys: u64,
    },
    /// Too few keys at hand.
    #[error("{role} needs {wanted} of its keys to sign and {found} are at hand in the directory of keys")]
    Keys {
        /// Whose.
        role: RoleType,
        /// Keys at hand.
        found: usize,
        /// Keys needed.
        wanted: u64,
    },
    /// A key.
    #[error("a key cannot be used")]
    Private(#[from] PrivateKeyError),
    /// Signing.
    #[error("the metadata is not signed")]
    Sign(#[from] SignError),
    /// There is no such image.
    #[error("there is no {0}; rap-image build makes it")]
    NoImage(PathBuf),
    /// An image is damaged.
    #[error("{0} is no sound image")]
    Image(PathBuf, #[source] VerifyError),
    /// An image of no profile.
    #[error("{0} does not say which hardware it is for")]
    NoProfile(PathBuf),
    /// Two images of one profile.
    #[error("two of the images are for {0}: a release has one image a profile")]
    Twice(String),
    /// No bill of materials.
    #[error(
        "there is no bill of materials {0}: make it with `rap-image sbom IMAGE --out {0}`, or say where it is with --sbom"
    )]
    NoSbom(PathBuf),
    /// It cannot be read.
    #[error("the bill of materials cannot be used")]
    Sbom(#[from] SbomError),
    /// Another image's.
    #[error("the bill of materials {0} is another image's: {1}")]
    OtherSbom(PathBuf, String),
    /// For development.
    #[error(
        "{0} is for development (a debug overlay, or the host's tools), and the repository's keys are not; build it \
         without --overlay debug and --host-toolchain"
    )]
    Development(PathBuf),
    /// Development keys in a release.
    #[error(
        "{0} trusts or is signed by a development key ({1}), and the repository's keys are not for development; build it with --keys and the release keys"
    )]
    DevelopmentKey(PathBuf, String),
    /// It could not update itself.
    #[error("{0} has no root of updates: a box with it could never be updated again; build it with --keys")]
    NoRoot(PathBuf),
    /// It would update itself from elsewhere.
    #[error(
        "{0} trusts a root {1} that is not one of this repository: a box with it could never be updated from here again; build it with these keys"
    )]
    OtherRoot(PathBuf, u64),
    /// Firmware would not start it.
    #[error(
        "firmware with the key secure-boot-db of these keys would not start {0}; build it with --keys and them"
    )]
    SecureBoot(PathBuf, #[source] CheckError),
    /// The number is taken.
    #[error(
        "number {number} is not above {newest}, the newest of {profile}: leave --number out, or choose a higher one"
    )]
    Number {
        /// Which.
        number: u64,
        /// The newest there is.
        newest: u64,
        /// Of which profile.
        profile: String,
    },
    /// The version is taken.
    #[error(
        "version {version} of {profile} was published as number {number}: give the new one another with --release-version"
    )]
    Version {
        /// Which.
        version: String,
        /// Of which profile.
        profile: String,
        /// As which number.
        number: u64,
    },
    /// The very image is there.
    #[error("this very image of {profile} was published as number {number}")]
    Again {
        /// Of which profile.
        profile: String,
        /// As which number.
        number: u64,
    },
    /// Too high a minimum.
    #[error("the lowest number to come from, {minimum}, is not below the release's own, {number}")]
    Minimum {
        /// What was asked.
        minimum: u64,
        /// The release's.
        number: u64,
    },
    /// The clock.
    #[error("the newest release is of {0}, which is to come by this computer's clock: set the clock")]
    Clock(Timestamp),
    /// Compressing.
    #[error("the image cannot be compressed")]
    Compress(#[source] std::io::Error),
    /// A patch.
    #[error("no patch can be made from {from}")]
    Patch {
        /// From which release.
        from: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What cannot be written down.
    #[error("the metadata cannot be made")]
    Form(#[source] Box<dyn std::error::Error + Send + Sync>),
}
