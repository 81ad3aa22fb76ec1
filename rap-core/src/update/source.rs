//! Where the files of a repository come from: a web server through the relay ([`Https`]), or a bundle ([`Bundle`]), which
//! is one tar of the same files.
//!
//! Invariants: a [`Name`] cannot lead out of the repository. A file comes whole and within its limit, or not at all; it
//! is not to be believed before its signature or hash was checked. [`SourceError::NotThere`] is said only when who has
//! the repository said so itself: what a proxy, a portal or a broken line says is never "there is none".

mod answer;
mod bundle;
mod https;
mod patience;
mod unready;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use self::bundle::{Bundle, BundleError};
pub use self::https::{Https, Way};
pub use self::patience::Patience;
pub use self::unready::Unready;
use crate::digest::Sha256;
use crate::release;

/// The folder of TUF's metadata in a repository.
pub const METADATA: &str = "metadata";
/// The folder of TUF's targets in a repository.
pub const TARGETS: &str = "targets";

/// Where files come from.
pub trait Source: fmt::Debug + Send + Sync {
    /// The whole of a file, when it has at most `limit` bytes.
    ///
    /// # Errors
    /// See [`SourceError`].
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError>;

    /// The time by the clock of who has the repository, in seconds since 1970, where it was heard over an authenticated
    /// line.
    fn time(&self) -> Option<u64> {
        None
    }

    /// Bytes that came over a line so far, for who shows progress within a file.
    fn received(&self) -> u64 {
        0
    }
}

/// A file of a repository: `metadata/FILE`, `targets/FILE` or `pieces/HASH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text that names no file of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected metadata/FILE, targets/FILE or pieces/HASH, FILE of 1 to 200 letters, digits, '-', '_' and '.'"
)]
pub struct NoName;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The repository has no such file, and says so itself.
    #[error("{name} is not in the repository")]
    NotThere {
        /// Which.
        name: Name,
    },
    /// No answer came.
    #[error("{words}")]
    Unreachable {
        /// Why, in words a person can act on.
        words: String,
    },
    /// Something else answered, or something stands before the repository.
    #[error(
        "instead of {name} came a page for people (HTTP {status}): is the url in [update] right, or does a proxy or a \
         portal answer in the repository's place?"
    )]
    Page {
        /// What was asked for.
        name: Name,
        /// HTTP status.
        status: u16,
    },
    /// The answer leads elsewhere.
    #[error(
        "the repository sends on to {to} for {name}; updates follow nobody: url in [update] has to be where the files are"
    )]
    Redirected {
        /// What was asked for.
        name: Name,
        /// Where to, cleaned and cut.
        to: String,
    },
    /// The server has the box go away, or has trouble of its own.
    #[error("the update repository {words} (HTTP {status} for {name})")]
    Status {
        /// What was asked for.
        name: Name,
        /// HTTP status.
        status: u16,
        /// What that means.
        words: &'static str,
        /// How long it asks to wait.
        asked: Option<Duration>,
    },
    /// More came than the file may have: nothing of it was kept.
    #[error("{name} has more than the {limit} bytes it may have")]
    TooLong {
        /// Which.
        name: Name,
        /// In bytes.
        limit: u64,
    },
    /// It came so slowly that it would never have been there.
    #[error("{name} came too slowly: {came} bytes in {waited} s, then the box gave up")]
    TooSlow {
        /// Which.
        name: Name,
        /// Since there was progress last.
        came: u64,
        /// Seconds since then.
        waited: u64,
    },
    /// It ended in the middle.
    #[error("{name} broke off after {came} bytes: {words}")]
    Broken {
        /// Which.
        name: Name,
        /// Bytes that had come.
        came: u64,
        /// Why, in words.
        words: String,
    },
    /// The bundle cannot be read.
    #[error("{}: {name} cannot be read", path.display())]
    Read {
        /// The bundle.
        path: PathBuf,
        /// Which file.
        name: Name,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Name {
    /// A piece's.
    #[must_use]
    pub fn piece(hash: &Sha256) -> Self {
        Self(format!("{}/{hash}", release::PIECES))
    }

    /// As text, `FOLDER/FILE`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of TUF's metadata.
    fn is_metadata(&self) -> bool {
        self.0.starts_with(METADATA)
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let (folder, file) = text.split_once('/').ok_or(NoName)?;
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_file = match folder {
            METADATA | TARGETS => {
                (1..=200).contains(&file.len()) && !file.starts_with('.') && file.bytes().all(clean)
            }
            release::PIECES => file.parse::<Sha256>().is_ok(),
            _ => false,
        };
        is_file.then(|| Self(text.to_owned())).ok_or(NoName)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_repository_has_a_name() {
        let piece = Name::piece(&Sha256::of(b"x"));
        for text in [
            "metadata/timestamp.json",
            "metadata/12.root.json",
            "targets/ab.release-generic-x86.json",
            piece.as_str(),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_leads_out_of_it_has_none() {
        for text in [
            "",
            "metadata",
            "metadata/",
            "metadata/.",
            "metadata/..",
            "metadata/../keys",
            "metadata/a/b",
            "metadata/.hidden",
            "metadata/a b",
            "metadata/a%2fb",
            "metadata/a?b",
            "/metadata/a",
            "Metadata/a",
            "targets/\u{e4}",
            "pieces/x",
            "pieces/../metadata/timestamp.json",
            "site.toml",
        ] {
            assert_eq!(text.parse::<Name>(), Err(NoName), "{text:?}");
        }
        assert!(format!("targets/{}", "a".repeat(201)).parse::<Name>().is_err());
    }
}
