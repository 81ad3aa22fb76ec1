//! `rap-image verify`: reads an image again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rap_image::lock::Lock;
use rap_image::sbom;
use rap_image::signing::PROGRAM_KEY;
use rap_image::verify::{self, VerifyError};

use super::No;

/// What `verify` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Explains an image that a stranger gave you: what firmware and loader would start, who signed it, whose updates it \
                  takes, which packages, programs and crates it is made of, whether it is for development only. Everything is held \
                  against the rules it was made by. Two builds are the same when their unsigned digests are. Of an installer's medium, what it \
                  would write is unpacked and explained, too.\n\n\
                  Examples:\n  \
                  rap-image verify target/image/qemu/disk.img\n  \
                  rap-image verify --expect DIGEST target/image/qemu/rap.efi\n  \
                  rap-image verify --keys keys/dev target/image/qemu/disk.img\n  \
                  rap-image verify --sbom sbom.cdx.json --lock overlays/image.lock disk.img\n\n\
                  Exit codes: 0 sound, and all that was asked is so; 1 --expect, --keys, --sbom or --lock: it is not; 2 damaged, or \
                  not an image."
)]
pub(super) struct Args {
    /// A disk image, an installer's medium or a `rap.efi`
    image: PathBuf,
    /// Exit 1 unless the unsigned digest is this one
    #[arg(long, value_name = "DIGEST")]
    expect: Option<String>,
    /// Exit 1 unless firmware with the key secure-boot-db.crt of this directory would start loader and image
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Exit 1 unless this bill of materials is the image's: of the same bits, and naming the same parts
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    /// Exit 1 unless every package of the image is in this lock, in the same version
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
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
    if let Some(file) = &args.sbom {
        let differences = sbom::compare(&found.uki, &sbom::read(file)?);
        none(
            &differences,
            &format!("{} is not this image's bill of materials", file.display()),
        )?;
    }
    if let Some(file) = &args.lock {
        let others = found.uki.not_locked(&Lock::read(file)?);
        none(
            &others,
            &format!("{} is not the lock this image was built from", file.display()),
        )?;
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

/// Says "no", with every difference on a line of its own, when there is one.
fn none(differences: &[impl std::fmt::Display], no: &str) -> anyhow::Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let lines = differences.iter().map(|difference| format!("\n  {difference}"));
    Err(No(format!("{no}:{}", lines.collect::<String>())).into())
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
