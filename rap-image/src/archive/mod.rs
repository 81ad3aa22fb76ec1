//! Debian's archive as we use it: which suites, whom we believe, what a Release and a Packages file say, and which
//! packages follow from a wish. Nothing here touches the network.

pub mod index;
pub mod release;
pub mod resolve;
pub mod signature;
pub mod stanza;
pub mod version;

use std::fmt;

use serde::Deserialize;

/// One of the two trees a mirror serves; they may live on different mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// The distribution, `debian` on most mirrors.
    Main,
    /// Security updates, `debian-security` on most mirrors.
    Security,
}

impl Archive {
    /// The folder's usual name on a mirror and in the snapshot archive.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Main => "debian",
            Self::Security => "debian-security",
        }
    }
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Security => "security",
        })
    }
}

/// A suite we take packages from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// The tree it is in.
    pub archive: Archive,
    /// Its name below `dists/`, which must also be its `Codename`.
    pub name: &'static str,
}

/// Debian 13, its updates and its security updates; later ones win where versions are equal.
pub const SUITES: [Suite; 3] = [
    Suite {
        archive: Archive::Main,
        name: "trixie",
    },
    Suite {
        archive: Archive::Main,
        name: "trixie-updates",
    },
    Suite {
        archive: Archive::Security,
        name: "trixie-security",
    },
];

impl Suite {
    /// The signed Release file, below the archive's base.
    #[must_use]
    pub fn in_release(&self) -> String {
        format!("dists/{}/InRelease", self.name)
    }

    /// The index of component main for amd64, below `dists/SUITE/`, as the Release file names it.
    #[must_use]
    pub const fn index(&self) -> &'static str {
        "main/binary-amd64/Packages.xz"
    }
}
