//! What reading an image found, for programs (JSON) and for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use rap_core::build_info::BuildInfo;
use serde::{Deserialize, Serialize};

use crate::auditable::Inventory;
use crate::image::Package;
use crate::lock::Lock;
use crate::report::grouped;

/// What the names of development keys begin with.
const DEVELOPMENT: &str = "DEVELOPMENT ";

/// What was found in an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// The installer, when it is one's medium; all else is of the disk that it would write.
    pub installer: Option<FoundInstaller>,
    /// The partitions, when it is a disk image.
    pub partitions: Vec<FoundPartition>,
    /// What firmware starts, when it is a disk image.
    pub loader: Option<FoundLoader>,
    /// The slots, when it is a disk image.
    pub slots: Vec<FoundSlot>,
    /// The UKI: of the slot that boots, or the file itself.
    pub uki: FoundUki,
}

/// An installer, and how it behaves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundInstaller {
    /// Bytes of the program that firmware starts.
    pub bytes: usize,
    /// SHA-256 of the whole program.
    pub sha256: String,
    /// Authenticode's SHA-256, which a signature does not change.
    pub unsigned_digest: String,
    /// As [`FoundUki::signed_by`].
    pub signed_by: Option<String>,
    /// Whether nobody is asked.
    pub unattended: bool,
    /// Whether, unattended, an appliance on the disk is replaced.
    pub replace: bool,
    /// SHA-256 of the package.
    pub package: String,
    /// Bytes of the package.
    pub package_bytes: usize,
}

/// One partition.
#[derive(Debug, Serialize)]
pub struct FoundPartition {
    /// Its name.
    pub name: String,
    /// Its identifier.
    pub guid: String,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// The loader.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundLoader {
    /// Its bytes.
    pub bytes: usize,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Authenticode's SHA-256, which a signature does not change.
    pub unsigned_digest: String,
    /// As [`FoundUki::signed_by`].
    pub signed_by: Option<String>,
}

/// One slot.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundSlot {
    /// The label.
    pub label: &'static str,
    /// How far its trial is.
    pub state: String,
    /// The environment's revision.
    pub revision: u32,
    /// Seconds of the loader's watchdog.
    pub watchdog_seconds: u16,
    /// What it boots.
    pub kernel_file: String,
    /// Bytes of its UKI; 0 when the slot is vacant.
    pub uki_bytes: usize,
}

/// A UKI.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundUki {
    /// Its bytes.
    pub bytes: usize,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Authenticode's SHA-256, which a signature does not change.
    pub unsigned_digest: String,
    /// The name in the certificate of who signed it; `None` when nobody did. Whether the signature is right is for
    /// firmware to say, which has the keys.
    pub signed_by: Option<String>,
    /// Its sections' names and bytes.
    pub sections: Vec<(String, usize)>,
    /// The kernel's command line.
    pub command_line: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// What the image says of itself.
    pub info: BuildInfo,
    /// The initramfs, by owner.
    pub parts: Vec<FoundPart>,
    /// The packages it is made from.
    pub packages: Vec<Package>,
    /// Our own programs.
    pub programs: Vec<FoundProgram>,
    /// Whose updates it takes; `None` when it takes none.
    pub update_root: Option<FoundRoot>,
}

/// A program of ours.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundProgram {
    /// Its path, without a leading slash.
    pub path: String,
    /// Its bytes.
    pub bytes: usize,
    /// SHA-256 of it.
    pub sha256: String,
    /// What compiled and linked it, in its own words.
    pub compilers: Vec<String>,
    /// The crates it says it is made of; `None` when it says nothing.
    pub crates: Option<Inventory>,
}

impl FoundProgram {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The TUF root in an image (TUF 1.0 §4.3): what it says, not whether its own signatures are right.
#[derive(Debug, Serialize, Deserialize)]
pub struct FoundRoot {
    /// The part that is signed.
    pub signed: RootFacts,
}

/// What a TUF root says.
#[derive(Debug, Serialize, Deserialize)]
pub struct RootFacts {
    /// Its version.
    pub version: u64,
    /// Until when it may be used.
    pub expires: String,
    /// Who has to sign what: by role.
    pub roles: BTreeMap<String, RoleFacts>,
}

/// Who has to sign for a role.
#[derive(Debug, Serialize, Deserialize)]
pub struct RoleFacts {
    /// How many of them.
    pub threshold: u64,
    /// Their keys' identifiers.
    pub keyids: Vec<String>,
}

impl FoundUki {
    /// Whether it is for use or for development only, and why.
    fn purpose(&self) -> &'static str {
        let signer = self.signed_by.as_deref().unwrap_or_default();
        if self.info.development {
            "for development only: with the host's tools or a debug overlay"
        } else if signer.starts_with(DEVELOPMENT) {
            "for development only: signed with a development key"
        } else if self.info.fips {
            "for use, with the FIPS module"
        } else {
            "for use, without the FIPS module"
        }
    }

    /// What the image has of packages that `lock` does not name in this version, each in words.
    #[must_use]
    pub fn not_locked(&self, lock: &Lock) -> Vec<String> {
        let others = self.packages.iter().filter_map(|Package { name, version }| {
            let locked = lock.packages.iter().find(|package| package.name == *name);
            match locked {
                Some(locked) if locked.version == *version => None,
                Some(locked) => Some(format!(
                    "{name} {version} is in the image, {} in the lock",
                    locked.version
                )),
                None => Some(format!("{name} {version} is in the image, and not in the lock")),
            }
        });
        others.collect()
    }
}

/// What one owner has in the initramfs.
#[derive(Debug, Serialize)]
pub struct FoundPart {
    /// The owner.
    pub owner: String,
    /// Bytes of its files.
    pub bytes: usize,
    /// Its paths.
    pub paths: Vec<String>,
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(installer) = &self.installer {
            writeln!(f, "{installer}")?;
        }
        for FoundPartition {
            name,
            guid,
            offset,
            bytes,
        } in &self.partitions
        {
            writeln!(
                f,
                "partition  {name:14}  {guid}  at {offset:>12}  {bytes:>12} bytes"
            )?;
        }
        if let Some(loader) = &self.loader {
            let signer = loader.signed_by.as_deref().unwrap_or("nobody");
            writeln!(
                f,
                "loader     BOOTX64.EFI, {} bytes, signed by {signer}, unsigned digest {}",
                grouped(loader.bytes),
                loader.unsigned_digest
            )?;
        }
        for slot in &self.slots {
            let FoundSlot {
                label,
                state,
                revision,
                watchdog_seconds,
                kernel_file,
                uki_bytes,
            } = slot;
            writeln!(
                f,
                "slot       {label}  {state}, revision {revision}, watchdog {watchdog_seconds} s, {kernel_file}, {} bytes",
                grouped(*uki_bytes)
            )?;
        }
        let uki = &self.uki;
        for (name, bytes) in &uki.sections {
            writeln!(f, "section    {name:8}  {:>12} bytes", grouped(*bytes))?;
        }
        for FoundPart { owner, bytes, paths } in &uki.parts {
            writeln!(
                f,
                "part       {owner}  {} files, {} bytes",
                paths.len(),
                grouped(*bytes)
            )?;
        }
        for Package { name, version } in &uki.packages {
            writeln!(f, "package    {name} {version}")?;
        }
        for program in &uki.programs {
            writeln!(f, "program    {program}")?;
        }
        writeln!(f, "command    {}", uki.command_line)?;
        writeln!(f, "kernel     {}", uki.kernel_version)?;
        writeln!(
            f,
            "version    {} ({})",
            uki.info.version,
            uki.info.overlays.join(", ")
        )?;
        match &uki.update_root {
            Some(root) => writeln!(f, "updates    {root}")?,
            None => writeln!(
                f,
                "updates    none: no root of trust is in it, so it cannot update itself"
            )?,
        }
        writeln!(f, "made       {}", uki.purpose())?;
        writeln!(f, "signed by  {}", uki.signed_by.as_deref().unwrap_or("nobody"))?;
        writeln!(f, "build id         {}", uki.info.build_id)?;
        writeln!(f, "sha-256          {}", uki.sha256)?;
        write!(f, "unsigned digest  {}", uki.unsigned_digest)
    }
}

impl Display for FoundInstaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match (self.unattended, self.replace) {
            (false, _) => "a person is asked",
            (true, false) => "nobody is asked, an appliance on the disk stays",
            (true, true) => "nobody is asked, an appliance on the disk is replaced",
        };
        writeln!(
            f,
            "installer  BOOTX64.EFI, {} bytes, signed by {}, unsigned digest {}: the image's own program with an order and a \
             package",
            grouped(self.bytes),
            self.signed_by.as_deref().unwrap_or("nobody"),
            self.unsigned_digest
        )?;
        write!(
            f,
            "package    {} bytes, SHA-256 {}; {who}. It writes:",
            grouped(self.package_bytes),
            self.package
        )
    }
}

impl Display for FoundProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes, .. } = self;
        let bytes = grouped(*bytes);
        match &self.crates {
            Some(crates) => write!(
                f,
                "/{path}  {bytes} bytes, {} crates",
                crates.compiled_in().count()
            )?,
            None => write!(
                f,
                "/{path}  {bytes} bytes, does not say which crates it is made of"
            )?,
        }
        self.compilers.iter().try_for_each(|text| write!(f, "; {text}"))
    }
}

impl Display for FoundRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RootFacts {
            version,
            expires,
            roles,
        } = &self.signed;
        write!(f, "by root {version}, which expires {expires:?}")?;
        for (role, facts) in roles {
            let RoleFacts { threshold, keyids } = facts;
            write!(f, "; {role:?} {threshold} of {}", keyids.len())?;
        }
        Ok(())
    }
}
