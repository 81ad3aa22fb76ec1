//! The user's configuration: `$XDG_CONFIG_HOME/rap-image/config.toml`, else `~/.config/rap-image/config.toml`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Error;

/// What the file may say; every key is optional, and so is the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Mirror of the distribution.
    pub mirror: Option<String>,
    /// Mirror of security updates, where it is not the sibling of `mirror`.
    pub security_mirror: Option<String>,
    /// The snapshot archive, asked for files no mirror has any more.
    pub snapshot: Option<String>,
}

impl Config {
    /// Reads it; an absent file says nothing.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| Error::Config(path.to_owned(), Box::new(error)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::Read(path.to_owned(), error)),
        }
    }
}

/// Where the file is for this user.
pub(super) fn path() -> PathBuf {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    base.unwrap_or_else(|| PathBuf::from("/etc"))
        .join("rap-image/config.toml")
}
