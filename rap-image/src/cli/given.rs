//! What a box is given with its image, as `flash` and `installer` take it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rap_image::parcel::Parcel;
use rap_image::signing::{PROGRAM_KEY, Signer};
use rap_image::verify;

/// Site, identity, firmware's keys.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// A site.toml for the box; without --identity it makes its keys itself, and waits for its certificate
    #[arg(long, value_name = "FILE")]
    pub(super) site: Option<PathBuf>,
    /// The directory with the box's keys and certificates
    #[arg(long, value_name = "DIR", requires = "site")]
    identity: Option<PathBuf>,
    /// Give the keys for Secure Boot in this directory to firmware that is in setup mode, on the box's first boot
    #[arg(long, value_name = "DIR")]
    pub(super) secure_boot: Option<PathBuf>,
}

impl Given {
    /// It as a parcel, if there is any. Keys that would not start this very image are refused.
    pub(super) fn parcel(&self, image: &Path) -> anyhow::Result<Option<Parcel>> {
        let mut parcel = None;
        if let Some(site) = &self.site {
            let text =
                std::fs::read_to_string(site).with_context(|| format!("cannot read {}", site.display()))?;
            parcel = Some(match &self.identity {
                Some(identity) => Parcel::new(&text, identity)?,
                None => Parcel::without_identity(&text)?,
            });
        }
        if let Some(keys) = &self.secure_boot {
            verify::check_signatures(image, Signer::load(keys, PROGRAM_KEY)?.certificate()).context(
                "with these keys the box would never start; build the image with --keys and the same directory",
            )?;
            parcel = Some(parcel.unwrap_or_default().with_secure_boot(keys)?);
        }
        Ok(parcel)
    }
}
