//! `rap-image sbom`.

use std::path::PathBuf;

use anyhow::Context as _;
use rap_image::lock::{Group, Lock};
use rap_image::output::Staging;
use rap_image::sbom::{self, Origin, Registry};
use rap_image::{hermetic, verify};

use super::sources::Sources;

/// What `sbom` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "CycloneDX 1.6: every Debian package, our programs, every crate and the C code compiled into them, with versions, \
                  hashes, licences and package URLs. The same image gives the same bytes. What is in the image is read from the \
                  image; what that is, from the lock and Cargo.lock of the repository it was built from: for an image of another \
                  commit, check that out first.\n\n\
                  Examples:\n  \
                  rap-image sbom target/image/qemu --out target/image/qemu/sbom.cdx.json\n  \
                  rap-image sbom target/image/qemu/disk.img | grype\n  \
                  rap-image verify --sbom target/image/qemu/sbom.cdx.json target/image/qemu/disk.img\n\n\
                  Exit codes: 0 written; 2 it could not be done."
)]
pub(super) struct Args {
    /// What `rap-image build` made: its folder, a disk image or a `rap.efi`
    image: PathBuf,
    /// Where to; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

/// Reads the image and writes what it is made of.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let image = if args.image.is_dir() {
        args.image.join("rap.efi")
    } else {
        args.image
    };
    let found = verify::read(&image)?;
    let fetcher = args.sources.fetcher()?;
    let lock = Lock::read(&args.sources.lock())?;
    let packages: Vec<_> = [Group::Image, Group::Kernel, Group::Boot]
        .into_iter()
        .flat_map(|group| lock.group(group))
        .filter(|package| {
            found
                .uki
                .packages
                .iter()
                .any(|wanted| wanted.name == package.name)
        })
        .collect();
    fetcher.packages(&packages, lock.time())?;
    let repository = args.sources.overlays.join("..");
    let registry = Registry::open(&repository, &hermetic::cargo_home())?;
    let origin = Origin {
        lock: &lock,
        store: fetcher.store(),
        registry: &registry,
    };
    let json = sbom::make(&found.uki, &origin)?.to_json()?;
    let Some(out) = args.out else {
        return Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &json)?);
    };
    let name = out
        .file_name()
        .and_then(|name| name.to_str())
        .context("--out names no file")?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut staging = Staging::new(folder.unwrap_or(std::path::Path::new(".")))?;
    staging.file(name, &json)?;
    Ok(staging.publish()?)
}
