//! An image that is to be published: read again, and held against what boxes and keys ask of it.

use std::path::{Path, PathBuf};

use rap_core::build_info::BuildInfo;
use rap_core::digest::Sha256;
use rap_core::release::File;

use super::PublishError;
use super::place::read;
use super::repository::SBOM_LIMIT;
use crate::cpio;
use crate::image::UPDATE_ROOT;
use crate::payload::Kind;
use crate::sbom;
use crate::signing::{PROGRAM_KEY, check, signed_by};
use crate::trust::{Chain, Root};
use crate::uki::Program;
use crate::verify::{VerifyError, read_uki};

/// The UKI in an image's folder.
const UKI: &str = "rap.efi";
/// The bill of materials in an image's folder.
const SBOM: &str = "sbom.cdx.json";
/// What the names of development's certificates begin with.
const DEVELOPMENT: &str = "DEVELOPMENT ";
/// Bytes of a UKI, at most.
const UKI_LIMIT: u64 = rap_core::boot::disk::SLOT_BYTES;

/// One image to publish.
#[derive(Debug, Clone)]
pub struct Input {
    /// The folder that `rap-image build` made, or its `rap.efi`.
    pub path: PathBuf,
    /// Its bill of materials; `None` is `sbom.cdx.json` in the folder.
    pub sbom: Option<PathBuf>,
}

/// An image that was read.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) path: PathBuf,
    pub(super) uki: Vec<u8>,
    pub(super) info: BuildInfo,
    pub(super) profile: String,
    pub(super) sbom: Vec<u8>,
    signed_by: Option<String>,
    root: Option<Vec<u8>>,
}

impl Image {
    /// Reads the image.
    ///
    /// # Errors
    /// When it is none, damaged, or the bill of materials is missing or another image's.
    pub(super) fn read(input: &Input) -> Result<Self, PublishError> {
        let folder = input.path.is_dir();
        let path = if folder {
            input.path.join(UKI)
        } else {
            input.path.clone()
        };
        let uki = whole(&path, UKI_LIMIT)?.ok_or_else(|| PublishError::NoImage(path.clone()))?;
        let failed = |source| PublishError::Image(path.clone(), source);
        let found = read_uki(&uki).map_err(failed)?;
        let program = Program::parse(&uki).map_err(|error| failed(VerifyError::Uki(error)))?;
        let sbom = input.sbom.clone().unwrap_or_else(|| path.with_file_name(SBOM));
        let bill = whole(&sbom, SBOM_LIMIT)?.ok_or_else(|| PublishError::NoSbom(sbom.clone()))?;
        let differences = sbom::compare(&found, &sbom::read(&sbom)?);
        if let Some(difference) = differences.first() {
            return Err(PublishError::OtherSbom(sbom, difference.to_string()));
        }
        // The first overlay is `base`, the second the hardware's.
        let profile = found.info.overlays.get(1).cloned();
        let root = root_in(&program);
        Ok(Self {
            profile: profile.ok_or_else(|| PublishError::NoProfile(path.clone()))?,
            signed_by: signed_by(&program),
            info: found.info,
            sbom: bill,
            root,
            path,
            uki,
        })
    }

    /// Holds the image against the roots of the repository it is for, and the Secure Boot key in `keys`, if there is one.
    ///
    /// # Errors
    /// When a box with it could not start it, could not be updated later, or would not be safe.
    pub(super) fn check(&self, chain: &Chain, keys: &Path) -> Result<(), PublishError> {
        let path = || self.path.clone();
        let is_for_development = chain.newest().is_development();
        if self.info.development && !is_for_development {
            return Err(PublishError::Development(path()));
        }
        let signer = self.signed_by.as_deref().unwrap_or_default();
        if signer.starts_with(DEVELOPMENT) && !is_for_development {
            return Err(PublishError::DevelopmentKey(path(), signer.to_owned()));
        }
        let root = self.root.as_ref().ok_or_else(|| PublishError::NoRoot(path()))?;
        let embedded = Root::parse(Path::new(UPDATE_ROOT), root)?;
        if embedded.is_development() && !is_for_development {
            return Err(PublishError::DevelopmentKey(path(), "the root in it".to_owned()));
        }
        if !chain.roots().any(|known| known.bytes() == root) {
            return Err(PublishError::OtherRoot(path(), embedded.version()));
        }
        let certificate = keys.join(format!("{PROGRAM_KEY}.crt"));
        if certificate.exists() {
            let certificates = rap_core::identity::certificates(&certificate)
                .map_err(|error| PublishError::Form(Box::new(error)))?;
            let wanted = certificates.first().map(|certificate| certificate.to_vec());
            let program = Program::parse(&self.uki)
                .map_err(|error| PublishError::Image(path(), VerifyError::Uki(error)))?;
            check(&program, &wanted.unwrap_or_default())
                .map_err(|source| PublishError::SecureBoot(path(), source))?;
        }
        Ok(())
    }

    /// The UKI as a file.
    pub(super) fn file(&self) -> File {
        File {
            bytes: self.uki.len() as u64,
            sha256: Sha256::of(&self.uki),
        }
    }
}

/// The root of updates in an image.
fn root_in(program: &Program<'_>) -> Option<Vec<u8>> {
    let archives = cpio::read(program.content(".initrd")?).ok()?;
    let entry = archives
        .into_iter()
        .flatten()
        .find(|entry| entry.path == UPDATE_ROOT)?;
    match entry.kind {
        Kind::File(content) => Some(content),
        Kind::Directory | Kind::Link(_) => None,
    }
}

fn whole(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PublishError> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read(folder, &name, limit)
}
