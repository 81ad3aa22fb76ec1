//! The installer's medium: the image's own UKI with one more word on its command line and one more archive in its
//! initramfs, as the program that firmware starts.
//!
//! So what installs is what is installed: where the installer finds disk and screen, the appliance will; nothing is
//! compiled; and one signature is over everything that is written. The archive:
//!
//! ```text
//! etc/rap/installer.json     what to do; first, so that an archive cut short is an installer that refuses
//! etc/rap/installer.package  the image's used bytes and what the box is given, compressed
//! ```

use std::io;
use std::path::{Path, PathBuf};

use rap_core::boot::disk::{Place, Table};
use rap_core::boot::fat::FatError;
use rap_core::boot::medium::Medium;
use rap_core::build_info::BuildInfo;
use rap_core::digest::Sha256;
use rap_core::flash::Source as _;
use rap_core::install::{self, package};
use rap_core::paths;
use serde::Serialize;

use crate::cpio::{self, CpioError};
use crate::flash::{DiskImage, ImageError};
use crate::output::{OutputError, Staging};
use crate::parcel::Parcel;
use crate::payload::{Entry, Kind, Part};
use crate::signing::{Signer, SigningError, sign};
use crate::uki::{self, UkiError};
use crate::verify::{self, VerifyError};

/// What an installer is made from, and how it behaves.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The disk image.
    pub image: &'a Path,
    /// What the box is given.
    pub parcel: Option<&'a Parcel>,
    /// Whether nobody is asked.
    pub unattended: bool,
    /// Whether, unattended, an appliance on the disk is replaced.
    pub replace: bool,
    /// Who signs it; `None` leaves it unsigned.
    pub signer: Option<&'a Signer>,
}

/// Why there is no installer.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    /// The image.
    #[error("the image cannot be installed")]
    Image(#[from] ImageError),
    /// Reading the image.
    #[error("the image is not as it should be")]
    Verify(#[from] VerifyError),
    /// The image was started already.
    #[error("{0} is not as it was built: it was booted already; give a fresh one (rap-image build)")]
    Used(PathBuf),
    /// Packing.
    #[error("cannot pack {0}")]
    Pack(PathBuf, #[source] io::Error),
    /// The archive.
    #[error("the package does not fit into an initramfs")]
    Archive(#[from] CpioError),
    /// The UKI.
    #[error("the installer's program cannot be composed")]
    Uki(#[from] UkiError),
    /// A key for use, and an image for development.
    #[error("an image for development is only signed with development keys, and {0} is none")]
    Development(String),
    /// Signing.
    #[error("the installer is not signed")]
    Signing(#[from] SigningError),
    /// The medium.
    #[error("the installer's program does not fit on a medium")]
    Medium(#[from] FatError),
    /// Writing.
    #[error("the installer was not written")]
    Output(#[from] OutputError),
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Made {
    /// The image that it installs.
    pub image: BuildInfo,
    /// Bytes of the medium.
    pub bytes: u64,
    /// Bytes of the program on it.
    pub program_bytes: usize,
    /// Bytes of the package in the program.
    pub package_bytes: usize,
    /// SHA-256 of the package.
    pub package: Sha256,
    /// The digest to compare builds by: Authenticode's SHA-256, which a signature does not change.
    pub unsigned_digest: Sha256,
    /// Who signed it.
    pub signed_by: Option<String>,
}

/// Makes an installer and writes its medium to `out`. The same image and keys give the same bits.
///
/// # Errors
/// When the image is not one that can be installed, or there is no room; then there is no new file.
pub fn make(recipe: &Recipe<'_>, out: &Path) -> Result<Made, InstallerError> {
    let found = verify::read(recipe.image)?;
    let info = found.uki.info;
    if let Some(signer) = recipe.signer
        && info.development
        && !signer.is_development()
    {
        return Err(InstallerError::Development(signer.name().to_owned()));
    }
    let image = DiskImage::open(recipe.image, recipe.parcel)?;
    if *image.table() != Table::fresh() {
        return Err(InstallerError::Used(recipe.image.to_owned()));
    }
    let package =
        package::pack(&image).map_err(|source| InstallerError::Pack(recipe.image.to_owned(), source))?;
    let order = install::Order {
        unattended: recipe.unattended,
        replace: recipe.replace,
        package: Sha256::of(&package),
        used: Place::ALL.map(|place| image.used(place)),
    };
    let package_bytes = package.len();
    let mut writer = cpio::Writer::new(u32::try_from(info.built).unwrap_or(u32::MAX));
    writer.archive(&archive(&order, package))?;
    let uki = verify::first_uki(recipe.image)?;
    let mut program = uki::extended(&uki, install::WORD, &writer.finish())?;
    let unsigned_digest = uki::Program::parse(&program)?.authenticode();
    if let Some(signer) = recipe.signer {
        program = sign(&program, signer)?;
    }
    let medium = Medium::new(&program)?;
    write(out, &medium)?;
    Ok(Made {
        image: info,
        bytes: medium.bytes(),
        program_bytes: program.len(),
        package_bytes,
        package: order.package,
        unsigned_digest,
        signed_by: recipe.signer.map(|signer| signer.name().to_owned()),
    })
}

fn archive(order: &install::Order, package: Vec<u8>) -> Part {
    let file = |path: &str, content| Entry {
        path: path.trim_start_matches('/').to_owned(),
        mode: 0o444,
        kind: Kind::File(content),
        reason: String::new(),
    };
    Part {
        owner: "installer".to_owned(),
        entries: vec![
            file(paths::INSTALLER, order.encode()),
            file(paths::PACKAGE, package),
        ],
    }
}

/// The medium appears under its name when it is whole.
fn write(out: &Path, medium: &Medium<'_>) -> Result<(), OutputError> {
    let folder = match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let mut staging = Staging::new(folder)?;
    staging.medium(&name, medium)?;
    staging.publish()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, SeekFrom};

    use rap_core::flash::Plan;
    use rap_core::install::package::Package;

    use super::*;
    use crate::parcel::tests::identity;
    use crate::verify::tests::example;

    const DEVICE: u64 = 1 << 30;

    fn recipe<'a>(image: &'a Path, parcel: Option<&'a Parcel>, signer: Option<&'a Signer>) -> Recipe<'a> {
        Recipe {
            image,
            parcel,
            unattended: true,
            replace: false,
            signer,
        }
    }

    /// The program on a medium, found by other implementations than ours.
    fn program(medium: &Path) -> Vec<u8> {
        let mut file = File::open(medium).unwrap();
        // The only partition begins at 1 MiB and ends 1 MiB before the end.
        file.seek(SeekFrom::Start(1 << 20)).unwrap();
        let mut partition = Vec::new();
        file.read_to_end(&mut partition).unwrap();
        partition.truncate(partition.len() - (1 << 20));
        let system = fatfs::FileSystem::new(io::Cursor::new(partition), fatfs::FsOptions::new()).unwrap();
        let mut content = Vec::new();
        let root = system.root_dir();
        let mut file = root.open_file("EFI/BOOT/BOOTX64.EFI").unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    /// What a file of the installer's archive holds.
    fn in_archive(program: &[u8], path: &str) -> Vec<u8> {
        let initramfs = uki::Program::parse(program)
            .unwrap()
            .required(".initrd")
            .unwrap()
            .to_vec();
        let entries = cpio::read(&initramfs).unwrap().pop().unwrap();
        let found = entries
            .into_iter()
            .find(|entry| format!("/{}", entry.path) == path);
        match found.unwrap().kind {
            Kind::File(content) => content,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_installer_writes_is_what_flash_writes() {
        let (folder, image, uki) = example();
        let keys = tempfile::tempdir().unwrap();
        let parcel = Parcel::new(rap_core::site::EXAMPLE, &identity(keys.path())).unwrap();
        let out = folder.path().join("installer.img");
        let made = make(&recipe(&image, Some(&parcel), None), &out).unwrap();
        assert_eq!(made.bytes, out.metadata().unwrap().len());
        let program = program(&out);
        let parsed = uki::Program::parse(&program).unwrap();
        assert_eq!(parsed.authenticode(), made.unsigned_digest);
        assert_eq!(parsed.content(".cmdline"), Some(&b"panic=-1 rap.install"[..]));
        let own = uki::Program::parse(&uki).unwrap();
        assert_eq!(parsed.content(".linux"), own.content(".linux"));
        assert!(
            parsed
                .required(".initrd")
                .unwrap()
                .starts_with(own.required(".initrd").unwrap())
        );

        let order = install::Order::parse(&in_archive(&program, paths::INSTALLER)).unwrap();
        assert!(order.unattended && !order.replace);
        let path = folder.path().join("package");
        std::fs::write(&path, in_archive(&program, paths::PACKAGE)).unwrap();
        let package = Package::open(&path, &order, &|| ()).unwrap();
        let flashed = Plan::new(DiskImage::open(&image, Some(&parcel)).unwrap(), DEVICE);
        let installed = Plan::new(package, DEVICE);
        let device = tempfile::tempfile_in(folder.path()).unwrap();
        device.set_len(DEVICE).unwrap();
        flashed.write(&device, "5f", &|_, _| {}).unwrap();
        assert_eq!(installed.bytes(), flashed.bytes());
        installed.verify(&device, &|_, _| {}).unwrap();
        installed.finish(&device).unwrap();
        assert!(Table::read(&device, DEVICE).is_ok());
    }

    #[test]
    fn it_is_signed_as_a_whole_and_the_same_bits_again() {
        let (folder, image, _) = example();
        let keys = folder.path().join("keys");
        crate::keys::write_development(&keys, false, &[]).unwrap();
        let signer = Signer::load(&keys, crate::signing::PROGRAM_KEY).unwrap();
        let [first, second] = ["a", "b"].map(|name| {
            let out = folder.path().join(name);
            let made = make(&recipe(&image, None, Some(&signer)), &out).unwrap();
            assert_eq!(made.signed_by.as_deref(), Some(signer.name()));
            out
        });
        let program = program(&first);
        crate::signing::check(&uki::Program::parse(&program).unwrap(), signer.certificate()).unwrap();
        assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
    }

    #[test]
    fn a_strangers_installer_is_explained_down_to_what_it_would_write() {
        let (folder, image, uki) = example();
        let keys = folder.path().join("keys");
        crate::keys::write_development(&keys, false, &[]).unwrap();
        let signer = Signer::load(&keys, crate::signing::PROGRAM_KEY).unwrap();
        let own = tempfile::tempdir().unwrap();
        let parcel = Parcel::new(rap_core::site::EXAMPLE, &identity(own.path())).unwrap();
        let out = folder.path().join("installer.img");
        let made = make(&recipe(&image, Some(&parcel), Some(&signer)), &out).unwrap();
        // On a stick that is larger.
        let file = File::options().read(true).write(true).open(&out).unwrap();
        file.set_len(made.bytes + (5 << 20)).unwrap();
        let found = verify::read(&out).unwrap();
        let installer = found.installer.as_ref().unwrap();
        assert_eq!(installer.unsigned_digest, made.unsigned_digest.to_string());
        assert_eq!(installer.package, made.package.to_string());
        assert_eq!(installer.signed_by, made.signed_by);
        assert_eq!(found.uki.sha256, Sha256::of(&uki).to_string());
        assert!(
            found
                .to_string()
                .contains("nobody is asked, an appliance on the disk stays. It writes:"),
            "{found}"
        );
        // The installer is signed, what it writes is not.
        let error = verify::check_signatures(&out, signer.certificate()).unwrap_err();
        assert!(matches!(error, VerifyError::Signature { .. }), "{error}");

        let said = |error: VerifyError| format!("{:#}", anyhow::Error::from(error));
        file.set_len(3 << 20).unwrap();
        let error = said(verify::read(&out).unwrap_err());
        assert!(
            error.contains("cut off") && error.contains("installer's medium"),
            "{error}"
        );
    }

    #[test]
    fn an_installer_that_was_tampered_with_is_not_explained_away() {
        let (folder, image, uki) = example();
        let out = folder.path().join("installer.img");
        make(&recipe(&image, None, None), &out).unwrap();
        let said = |program: &[u8]| {
            let medium = Medium::new(program).unwrap();
            let file = File::create(&out).unwrap();
            file.set_len(medium.bytes()).unwrap();
            medium.write(&file).unwrap();
            format!("{:#}", anyhow::Error::from(verify::read(&out).unwrap_err()))
        };
        let package = |program: &[u8]| in_archive(program, paths::PACKAGE);
        let order = |program: &[u8]| install::Order::parse(&in_archive(program, paths::INSTALLER)).unwrap();
        let with = |word: &str, order: &install::Order, package: Vec<u8>| {
            let mut writer = cpio::Writer::new(0);
            writer.archive(&archive(order, package)).unwrap();
            uki::extended(&uki, word, &writer.finish()).unwrap()
        };
        let good = program(&out);
        let error = said(&with("rap.install init=/bin/sh", &order(&good), package(&good)));
        assert!(
            error.contains("what installs is not what is installed"),
            "{error}"
        );
        let mut other = package(&good);
        other.push(0);
        let error = said(&with(install::WORD, &order(&good), other));
        assert!(error.contains("damaged (SHA-256"), "{error}");
        let error = said(&uki);
        assert!(error.contains("has no `/etc/rap/installer.json`"), "{error}");
    }

    #[test]
    fn an_image_that_was_booted_is_not_installed() {
        let (folder, image, _) = example();
        let file = File::options().read(true).write(true).open(&image).unwrap();
        let bytes = file.metadata().unwrap().len();
        rap_core::boot::disk::mark_file_system_made(&file, bytes).unwrap();
        let out = folder.path().join("installer.img");
        let error = make(&recipe(&image, None, None), &out).unwrap_err();
        assert!(matches!(error, InstallerError::Used(_)), "{error}");
        assert!(!out.exists());
    }
}
