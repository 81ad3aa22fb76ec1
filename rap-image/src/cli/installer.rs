//! `rap-image installer`.

use std::path::PathBuf;

use anyhow::bail;
use indicatif::HumanBytes;
use rap_image::installer::{Made, Recipe, make};
use rap_image::signing::{PROGRAM_KEY, Signer};

use super::given::Given;

/// What `installer` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "OUT is written to a USB stick as it is, by any program that writes images (such as `dd if=OUT of=/dev/sdX bs=4M \
                  conv=fsync`). Booted from it (UEFI, 1 GiB of memory), a computer shows its disks with model, serial number and \
                  size, on the screen and on the first serial line (115200 8N1), and asks for the disk's name. Then the image is \
                  written, read back, and given its partition table last: until then the disk does not boot, and the next \
                  start begins anew.\n\n\
                  Disks that are attached by USB, removable, read-only, in use or too small are not offered. With --unattended \
                  nobody is asked: there has to be exactly one disk, without an appliance on it unless --replace says so; the \
                  computer goes off when it is done.\n\n\
                  With site and identity in it the medium holds the box's keys: wipe it when the box runs.\n\n\
                  Examples:\n  \
                  rap-image installer target/image/generic-x86/disk.img installer.img --keys keys/release\n  \
                  rap-image installer disk.img ward3.img --unattended --site ward3.toml --identity keys/ward3\n\n\
                  Exit codes: 0 written; 2 it could not be done, and there is no new file."
)]
pub(super) struct Args {
    /// The disk image, as `rap-image build` made it
    image: PathBuf,
    /// Where the medium's image goes
    out: PathBuf,
    #[command(flatten)]
    given: Given,
    /// Sign the installer for Secure Boot with secure-boot-db.key and .crt of this directory
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Ask nobody
    #[arg(long)]
    unattended: bool,
    /// Unattended, replace an appliance that is on the disk, with all its data
    #[arg(long, requires = "unattended")]
    replace: bool,
    /// Print one JSON object when it is done
    #[arg(long)]
    json: bool,
}

/// Carries out `installer`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    if !args.image.is_file() {
        bail!(
            "{} is no disk image; build one first: rap-image build",
            args.image.display()
        );
    }
    let parcel = args.given.parcel(&args.image)?;
    let signer = match &args.keys {
        Some(keys) => Some(Signer::load(keys, PROGRAM_KEY)?),
        None => None,
    };
    eprintln!("packing {} (some seconds)", args.image.display());
    let recipe = Recipe {
        image: &args.image,
        parcel: parcel.as_ref(),
        unattended: args.unattended,
        replace: args.replace,
        signer: signer.as_ref(),
    };
    let made = make(&recipe, &args.out)?;
    report(&args, &made)
}

fn report(args: &Args, made: &Made) -> anyhow::Result<()> {
    if args.json {
        let mut told = serde_json::to_value(made)?;
        told["installer"] = args.out.display().to_string().into();
        told["unattended"] = args.unattended.into();
        told["replace"] = args.replace.into();
        told["provisioned"] = args.given.site.is_some().into();
        told["secure-boot"] = args.given.secure_boot.is_some().into();
        println!("{told}");
        return Ok(());
    }
    println!(
        "{}: {}, installs version {}, build {:.12}, {}; signed by {}",
        args.out.display(),
        HumanBytes(made.bytes),
        made.image.version,
        made.image.build_id,
        if args.unattended {
            "asks nobody"
        } else {
            "asks which disk"
        },
        made.signed_by.as_deref().unwrap_or("nobody")
    );
    Ok(())
}
