//! A release: what the desk publishes and a box installs. The one description of it, used by both.
//!
//! ```text
//! metadata/                     TUF: N.root.json, timestamp.json, N.snapshot.json, N.targets.json
//! targets/HASH.release-PROFILE.json   the manifest, a TUF target
//! targets/HASH.sbom-PROFILE.cdx.json  its bill of materials, a TUF target
//! pieces/HASH                   everything else, each file named by its SHA-256
//! ```
//!
//! A repository is static files; a bundle is the same files in one tar archive. The only thing a box brings is
//! [`Manifest::uki`], in one of the manifest's [`ways`](Manifest): the whole of it as zstd frames, or a patch from what
//! the box runs. Every piece is small, is named by its hash and checked against it: what was brought is kept over a
//! power cut, and nothing asks for HTTP ranges.
//!
//! Invariant: a [`Manifest`] was checked as a whole; every size in it is bounded.

use serde::{Deserialize, Serialize};

use crate::boot::disk::SLOT_BYTES;
use crate::digest::Sha256;

/// The format this program writes and reads.
pub const FORMAT: u32 = 1;
/// Bytes of a manifest, at most.
pub const MANIFEST_LIMIT: u64 = 1 << 20;
/// Bytes of the UKI that each frame of the whole image holds; the last holds what is left.
pub const FRAME: u64 = 1 << 20;
/// Bytes of a piece, at most: a frame that cannot be compressed is a little larger than what it holds.
pub const PIECE_LIMIT: u64 = FRAME + (64 << 10);
/// Bytes of each piece of a patch but the last: 16 s of a line of 128 kbit/s.
pub const PATCH_PIECE: usize = 256 << 10;
/// The folder of pieces in a repository.
pub const PIECES: &str = "pieces";

/// The manifest's name as a TUF target.
#[must_use]
pub fn manifest_name(profile: &str) -> String {
    format!("release-{profile}.json")
}

/// The bill of materials' name as a TUF target.
#[must_use]
pub fn sbom_name(profile: &str) -> String {
    format!("sbom-{profile}.cdx.json")
}

/// What a release is, and how to come by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The hardware profile it is for, such as `generic-x86`.
    pub profile: String,
    /// Rises with every release of a profile; a box never goes below the highest it has confirmed.
    pub number: u64,
    /// What people call it, such as `1.4.0`.
    pub version: String,
    /// [`BuildInfo::build_id`](crate::build_info::BuildInfo::build_id) of the image.
    pub build_id: String,
    /// When it was published, in seconds since 1970-01-01 UTC: no box's clock is earlier once it has seen this.
    pub published: u64,
    /// The signed `RAP.EFI`.
    pub uki: File,
    /// What the box needs to run it, in MiB of memory.
    pub memory_mib: u64,
    /// The lowest release number from which a box may go to this one at once; 0 is any.
    pub minimum: u64,
    /// What changed, in sentences for people.
    pub changes: Vec<String>,
    /// When which part of the boxes installs it by itself. Without any: all, at once.
    #[serde(default)]
    pub waves: Vec<Wave>,
    /// The whole image: one zstd frame for each [`FRAME`] bytes.
    pub full: Vec<File>,
    /// Patches from earlier releases.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// A file by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its bytes.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Sha256,
}

/// A part of the boxes, and when its turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// The share of all boxes that this wave and those before it are, 1 to 100.
    pub percent: u8,
    /// Seconds after [`Manifest::published`].
    pub after: u64,
}

/// A patch from one earlier release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// SHA-256 of the `RAP.EFI` it is from.
    pub from: Sha256,
    /// Over what it is made.
    pub over: Over,
    /// Memory that applying it takes, in MiB.
    pub memory_mib: u64,
    /// Its pieces, in their order: together one stream.
    pub pieces: Vec<File>,
}

/// Over what a patch is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// `RAP.EFI` as it is.
    Raw,
    /// `RAP.EFI` with the kernel's payload unpacked; the box packs the new one again, to the very bytes.
    UnpackedKernel,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON of a manifest.
    #[error("the manifest is not one this program reads")]
    Json(#[from] serde_json::Error),
    /// Another format.
    #[error(
        "the manifest has format {0}, this program reads {FORMAT}: an update to a release between is needed"
    )]
    Format(u32),
    /// A field breaks a rule.
    #[error("the manifest's `{field}` is {found}; expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
}

impl Manifest {
    /// Reads a manifest and holds it against this module's rules. Fields it does not know are passed over.
    ///
    /// # Errors
    /// When it is no manifest, of another format, or breaks a rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Holds the manifest against this module's rules; the desk does so before it publishes.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ManifestError> {
        let wrong = |field, found: &dyn ToString, expected| {
            let found = found.to_string();
            Err(ManifestError::Field {
                field,
                found,
                expected,
            })
        };
        if !is_profile(&self.profile) {
            return wrong("profile", &self.profile, "1 to 32 of a-z, 0-9 and -");
        }
        if self.number == 0 {
            return wrong("number", &0, "1 or more");
        }
        if self.version.is_empty() || self.version.len() > 64 || self.version.contains(char::is_control) {
            return wrong("version", &self.version.escape_debug(), "1 to 64 characters");
        }
        if self.build_id.parse::<Sha256>().is_err() {
            return wrong("build-id", &self.build_id.escape_debug(), "64 of 0-9 and a-f");
        }
        if self.uki.bytes == 0 || self.uki.bytes >= SLOT_BYTES {
            return wrong("uki.bytes", &self.uki.bytes, "what fits into a slot");
        }
        if self.full.len() as u64 != self.uki.bytes.div_ceil(FRAME) {
            return wrong("full", &self.full.len(), "a frame for each MiB of the UKI");
        }
        let pieces = self.patches.iter().flat_map(|patch| &patch.pieces);
        if let Some(piece) = self
            .full
            .iter()
            .chain(pieces)
            .find(|piece| piece.bytes == 0 || piece.bytes > PIECE_LIMIT)
        {
            return wrong("bytes", &piece.bytes, "a piece of 1 to 1,114,112 bytes");
        }
        // A patch larger than a slot is no patch.
        if let Some(patch) = self
            .patches
            .iter()
            .find(|patch| patch.pieces.is_empty() || bytes(&patch.pieces) > SLOT_BYTES)
        {
            return wrong("patches", &bytes(&patch.pieces), "bytes that fit into a slot");
        }
        let rising = self
            .waves
            .windows(2)
            .all(|pair| pair[0].percent < pair[1].percent && pair[0].after < pair[1].after);
        if !rising || self.waves.iter().any(|wave| !(1..=100).contains(&wave.percent)) {
            return wrong(
                "waves",
                &self.waves.len(),
                "rising shares of 1 to 100 at rising times",
            );
        }
        Ok(())
    }
}

/// The bytes of files together.
#[must_use]
pub fn bytes(files: &[File]) -> u64 {
    files
        .iter()
        .fold(0, |sum, file| u64::saturating_add(sum, file.bytes))
}

/// Whether `name` may be a hardware profile's.
#[must_use]
pub fn is_profile(name: &str) -> bool {
    let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(clean)
}

#[cfg(test)]
mod tests;
