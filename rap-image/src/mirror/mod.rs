//! Where files may be had. The lock knows paths below a mirror; this knows the mirrors, and no address is written here.
//!
//! Asked in this order, the first that knows a mirror of Debian wins: the command line, the environment, the user's
//! configuration file, the host's own apt sources. The security archive is the one named beside it, else its sibling
//! on the same host. The snapshot archive is only ever the configured one.

mod apt;
mod config;

use std::path::{Path, PathBuf};

use crate::archive::Archive;

pub use config::Config;

/// Why the mirrors cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The user's file is wrong.
    #[error("{0} is not a valid configuration")]
    Config(PathBuf, #[source] Box<toml::de::Error>),
    /// Not an address we can fetch from.
    #[error("{given:?} from {whence} is no mirror's address; expected http:// or https://")]
    Address {
        /// What was given.
        given: String,
        /// Where it was given.
        whence: String,
    },
    /// Nobody knows one.
    #[error(
        "no mirror of Debian is known: give its address with --mirror, in the environment as RAP_IMAGE_MIRROR, or as \
         `mirror = \"…\"` in {0} (a Debian host's own apt sources are used when they are there)"
    )]
    None(PathBuf),
}

/// The addresses to try, in order; each without a trailing slash, having `dists/` and `pool/` below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// Of the distribution.
    pub main: Vec<String>,
    /// Of security updates.
    pub security: Vec<String>,
    /// Of the snapshot archive: `debian/TIME` is below it.
    pub snapshot: Option<String>,
}

/// What a person gave on the command line or in the environment.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Mirror of the distribution.
    pub mirror: Option<String>,
    /// Mirror of security updates.
    pub security: Option<String>,
}

impl Mirrors {
    /// The mirrors of this machine: `given`, else the user's configuration, else the apt sources in `/etc/apt`.
    ///
    /// # Errors
    /// A wrong configuration or address, or no mirror at all.
    pub fn of_host(given: &Given) -> Result<Self, Error> {
        Self::find(given, &config::path(), Path::new("/etc/apt"))
    }

    /// [`Self::of_host`] with the places named.
    ///
    /// # Errors
    /// As there.
    pub fn find(given: &Given, config_file: &Path, apt: &Path) -> Result<Self, Error> {
        let config = Config::read(config_file)?;
        let whence = config_file.display().to_string();
        let snapshot = config
            .snapshot
            .map(|snapshot| address(&snapshot, &whence))
            .transpose()?;
        let named = [
            (&given.mirror, &given.security, "--mirror or RAP_IMAGE_MIRROR"),
            (&config.mirror, &config.security_mirror, whence.as_str()),
        ];
        let mut security = None;
        for (main, own_security, whence) in named {
            if security.is_none() {
                security = own_security
                    .as_ref()
                    .map(|given| address(given, whence))
                    .transpose()?;
            }
            if let Some(main) = main {
                let main = address(main, whence)?;
                let security = security.unwrap_or_else(|| sibling(&main));
                return Ok(Self {
                    main: vec![main],
                    security: vec![security],
                    snapshot,
                });
            }
        }
        let mut apt = apt::sources(apt);
        if apt.main.is_empty() {
            return Err(Error::None(config_file.to_owned()));
        }
        match security {
            Some(security) => apt.security = vec![security],
            None => {
                let siblings: Vec<_> = apt.main.iter().map(|main| sibling(main)).collect();
                apt.security.extend(siblings);
            }
        }
        remove_repeated(&mut apt.security);
        Ok(Self { snapshot, ..apt })
    }

    /// The bases of one archive.
    #[must_use]
    pub fn of(&self, archive: Archive) -> &[String] {
        match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
    }

    /// The snapshot archive's base of one archive at a time written `20261121T091544Z`.
    #[must_use]
    pub fn snapshot_of(&self, archive: Archive, time: &str) -> Option<String> {
        self.snapshot
            .as_ref()
            .map(|snapshot| format!("{snapshot}/{}/{time}", archive.folder()))
    }
}

fn address(given: &str, whence: &str) -> Result<String, Error> {
    let given = given.trim();
    if !["http://", "https://"]
        .iter()
        .any(|scheme| given.starts_with(scheme))
        || given.contains(char::is_whitespace)
    {
        return Err(Error::Address {
            given: given.to_owned(),
            whence: whence.to_owned(),
        });
    }
    Ok(given.trim_end_matches('/').to_owned())
}

/// The security archive beside a mirror: `…/debian` → `…/debian-security`.
fn sibling(main: &str) -> String {
    format!("{main}-security")
}

fn remove_repeated(addresses: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
}

#[cfg(test)]
mod tests;
