//! `rap-image verify`: reads an image again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rap_image::signing::PROGRAM_KEY;
use rap_image::verify::{self, VerifyError};

use super::No;

/// What `verify` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Holds everything against the rules it was made by. Two builds are the same when their unsigned digests are.\n\n\
                  Examples:\n  \
                  rap-image verify target/image/qemu/disk.img\n  \
                  rap-image verify --expect DIGEST target/image/qemu/rap.efi\n  \
                  rap-image verify --keys keys/dev target/image/qemu/disk.img\n\n\
                  Exit codes: 0 sound; 1 --expect: another digest, --keys: another key, or none; 2 damaged, or not an image."
)]
pub(super) struct Args {
    /// A disk image or a `rap.efi`
    image: PathBuf,
    /// Exit 1 unless the unsigned digest is this one
    #[arg(long, value_name = "DIGEST")]
    expect: Option<String>,
    /// Exit 1 unless firmware with the key secure-boot-db.crt of this directory would start loader and image
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Reads the image and prints what is in it.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let found = verify::read(&args.image)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{found}");
    }
    if let Some(keys) = &args.keys {
        check(&args.image, keys)?;
    }
    match args.expect {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found.uki.unsigned_digest) => {
            let digest = found.uki.unsigned_digest;
            Err(No(format!(
                "the unsigned digest is {digest}, not {wanted}: another commit, lock or profile made it"
            ))
            .into())
        }
        _ => Ok(()),
    }
}

fn check(image: &Path, keys: &Path) -> anyhow::Result<()> {
    let file = keys.join(format!("{PROGRAM_KEY}.crt"));
    let certificates = rap_core::identity::certificates(&file)?;
    let certificate = certificates.first().context("no certificate")?;
    match verify::check_signatures(image, certificate) {
        Err(error @ VerifyError::Signature { .. }) => {
            Err(No(format!("{:#}", anyhow::Error::from(error))).into())
        }
        other => Ok(other?),
    }
}
