//! The options every verb has that reads the recipes or fetches packages.

use std::path::PathBuf;

use anyhow::Context;
use rap_image::fetch::Fetcher;
use rap_image::mirror::{Given, Mirrors};
use rap_image::store::Store;

/// Where recipes are and packages come from.
#[derive(Debug, clap::Args)]
pub(super) struct Sources {
    /// The recipes' folder
    #[arg(long, value_name = "DIR", default_value = "overlays")]
    pub(super) overlays: PathBuf,
    /// A mirror of Debian; without it the configuration file's, or the host's apt sources
    #[arg(long, value_name = "ADDRESS", env = "RAP_IMAGE_MIRROR")]
    mirror: Option<String>,
    /// A mirror of Debian's security updates; without it the mirror's address with `-security` after it
    #[arg(long, value_name = "ADDRESS", env = "RAP_IMAGE_SECURITY_MIRROR")]
    security_mirror: Option<String>,
    /// Fetch nothing: everything must be in the store already
    #[arg(long)]
    offline: bool,
}

impl Sources {
    /// Whether nothing may be fetched.
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    /// The locks' file.
    pub(super) fn lock(&self) -> PathBuf {
        self.overlays.join("image.lock")
    }

    /// The believed certificates' folder.
    pub(super) fn keyring(&self) -> PathBuf {
        self.overlays.join("keyring")
    }

    /// What fetches into this user's store.
    pub(super) fn fetcher(&self) -> anyhow::Result<Fetcher> {
        let store = Store::of_user().context("the store cannot be opened")?;
        let given = Given {
            mirror: self.mirror.clone(),
            security: self.security_mirror.clone(),
        };
        let mirrors = if self.offline {
            None
        } else {
            Some(Mirrors::of_host(&given)?)
        };
        Ok(Fetcher::new(store, mirrors))
    }
}
