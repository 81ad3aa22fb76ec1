//! The whole way from recipes and lock to an image on disk, step by step.
//!
//! Nothing outside the lock goes in, and neither the clock nor the place shows in the result. What is printed is the
//! caller's matter: it is told each [`Step`] as it begins.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use rap_core::boot::disk::Place;
use rap_core::boot::fat::Volume;
use rap_core::build_info::BuildInfo;

use crate::deb::{self, unpack_all};
use crate::fetch::Fetcher;
use crate::hermetic::{self, HermeticError};
use crate::image::{self, CORE, Image, ImageError, Ingredients, Package};
use crate::lock::{self, Change, Group, Lock, Refused};
use crate::output::{OutputError, Staging};
use crate::overlay::{self, Stack};
use crate::payload::{Kind, Part};
use crate::pick::{self, Firmware, Picked, firmware, pick};
use crate::report::{Report, grouped};
use crate::signing::{PROGRAM_KEY, Signer, SigningError, sign};
use crate::trust::{Root, RootError};
use crate::uki::UkiError;
use rap_core::digest::Sha256;

/// The bottom of every stack.
const BASE: &str = "base";
/// Overlays that make an image one for development.
const FOR_DEVELOPMENT: [&str; 1] = ["debug"];
/// Long enough for the slowest boot to init, which takes the watchdog over; short enough to wait for.
const WATCHDOG_SECONDS: u16 = 60;

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Order {
    /// The repository: the core's source.
    pub repository: PathBuf,
    /// The recipes' folder.
    pub overlays: PathBuf,
    /// The hardware profile: an overlay on top of `base`.
    pub profile: String,
    /// Further overlays, lowest first.
    pub extra: Vec<String>,
    /// Where the image goes.
    pub out: PathBuf,
    /// Compile the core with the host's tools, for development.
    pub host_toolchain: bool,
    /// Fetch nothing.
    pub offline: bool,
    /// Lock anew what no mirror has any more.
    pub refresh_missing: bool,
    /// The directory with the key to sign loader and UKI with, and with the root of updates that the image is to trust.
    /// `None` leaves them unsigned, and the image without updates.
    pub keys: Option<PathBuf>,
}

/// A step of the way, as it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Packages are brought into the store.
    Fetch,
    /// Files are picked out of them.
    Pick,
    /// The build root is unpacked.
    BuildRoot,
    /// The core is compiled.
    Compile,
    /// Everything is put together.
    Compose,
    /// The result is written.
    Write,
}

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A recipe.
    #[error("a recipe is wrong")]
    Overlay(#[from] overlay::Error),
    /// The lock or a mirror.
    #[error("the locked packages are not to be had")]
    Packages(#[from] Refused),
    /// The lock.
    #[error("the lock cannot be used")]
    Lock(#[from] lock::Error),
    /// A package lacks what is wanted of it.
    #[error("the files of the image cannot be picked")]
    Pick(#[from] pick::Error),
    /// The core needs a library that no overlay brings.
    #[error("usr/bin/{program} needs {}, which no file of the image provides; want the library's package in an overlay", missing.join(", "))]
    Unmet {
        /// Which program.
        program: &'static str,
        /// The libraries.
        missing: Vec<String>,
    },
    /// The core.
    #[error("the core was not built")]
    Core(#[from] HermeticError),
    /// Composing.
    #[error("the image cannot be composed")]
    Image(#[from] ImageError),
    /// The composed UKI.
    #[error("the composed image is not as it should be")]
    Uki(#[from] UkiError),
    /// Signing.
    #[error("the image is not signed")]
    Signing(#[from] SigningError),
    /// The root of updates.
    #[error("the root of updates cannot be put into the image")]
    Root(#[from] RootError),
    /// A key that is not for development was given for an image that is.
    #[error(
        "an image with the host's tools or a debug overlay is only signed with development keys, and {0} is none; \
         leave --keys out, or build without --host-toolchain and --overlay debug"
    )]
    Development(String),
    /// Writing.
    #[error("the image was not written")]
    Output(#[from] OutputError),
    /// The report.
    #[error("the report cannot be written")]
    Report(#[from] serde_json::Error),
}

/// What was fetched and picked: everything but the core.
#[derive(Debug)]
pub struct Prepared {
    order: Order,
    lock: Lock,
    picked: Picked,
    firmware: Firmware,
    overlays: Vec<String>,
    signer: Option<Signer>,
    root: Option<Root>,
    /// What `--refresh-missing` changed in the lock.
    pub changes: Vec<Change>,
}

/// Fetches what the lock names and picks the files.
///
/// # Errors
/// When a recipe is wrong, a package is not to be had, or lacks what is wanted.
pub fn prepare(order: &Order, fetcher: &Fetcher, say: &dyn Fn(Step)) -> Result<Prepared, BuildError> {
    let signer = signer(order)?;
    let root = order.keys.as_deref().map(Root::in_keys).transpose()?.flatten();
    say(Step::Fetch);
    let overlays: Vec<String> = [BASE.to_owned(), order.profile.clone()]
        .into_iter()
        .chain(order.extra.clone())
        .collect();
    let stack = Stack::read(&order.overlays, &overlays)?;
    let mut groups = vec![Group::Image, Group::Kernel, Group::Boot, Group::Lab];
    if !order.host_toolchain {
        groups.push(Group::Toolchain);
    }
    let (lock, changes) = lock::refresh(
        fetcher,
        || Stack::all(&order.overlays),
        &order.overlays.join("keyring"),
        &order.overlays.join("image.lock"),
        &groups,
        order.refresh_missing,
    )?;
    say(Step::Pick);
    let picked = pick(&stack, &lock, fetcher.store())?;
    let firmware = firmware(&stack, &lock, fetcher.store())?;
    Ok(Prepared {
        order: order.clone(),
        lock,
        picked,
        firmware,
        overlays,
        signer,
        root,
        changes,
    })
}

/// The key to sign with, if one was named and may sign this.
fn signer(order: &Order) -> Result<Option<Signer>, BuildError> {
    let signer = order
        .keys
        .as_ref()
        .map(|keys| Signer::load(keys, PROGRAM_KEY))
        .transpose()?;
    match &signer {
        Some(signer) if order.is_development() && !signer.is_development() => {
            Err(BuildError::Development(signer.name().to_owned()))
        }
        _ => Ok(signer),
    }
}

impl Order {
    /// Whether what is built is for development only.
    fn is_development(&self) -> bool {
        let debug = self.extra.iter().chain([&self.profile]);
        self.host_toolchain
            || debug
                .into_iter()
                .any(|name| FOR_DEVELOPMENT.contains(&name.as_str()))
    }
}

impl Prepared {
    /// Who owns a path of the image, and why it is there.
    #[must_use]
    pub fn explain(&self, path: &str) -> Option<Explanation> {
        let path = path.trim_start_matches('/').trim_end_matches('/');
        self.picked
            .parts
            .iter()
            .find_map(|part| Explanation::of(part, path))
    }

    /// Compiles the core, composes the image and writes it.
    ///
    /// # Errors
    /// When the core does not compile, the image breaks a rule, or there is no room for it.
    pub fn build(self, fetcher: &Fetcher, say: &dyn Fn(Step)) -> Result<Report, BuildError> {
        let core = self.core(fetcher, say)?;
        for (&program, content) in &core {
            let missing = pick::unmet(&self.picked.parts, &format!("usr/bin/{program}"), content)?;
            if !missing.is_empty() {
                return Err(BuildError::Unmet { program, missing });
            }
        }
        say(Step::Compose);
        let Self {
            order,
            lock,
            picked,
            firmware,
            overlays,
            signer,
            root,
            ..
        } = self;
        let packages = packages(&lock, &picked.parts);
        let ingredients = Ingredients {
            info: BuildInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build_id: String::new(),
                built: picked.built,
                overlays,
                fips: !order.host_toolchain,
                development: order.is_development(),
            },
            parts: picked.parts,
            packages,
            update_root: root.map(|root| root.bytes().to_vec()),
            core,
            kernel: picked.kernel,
            kernel_version: picked.kernel_version,
            command_line: picked.command_line,
            stub: picked.stub,
            loader: picked.loader,
            watchdog_seconds: WATCHDOG_SECONDS,
        };
        let mut image = image::compose(&ingredients)?;
        let mut loader = ingredients.loader;
        if let Some(signer) = &signer {
            image.uki = sign(&image.uki, signer)?;
            loader = sign(&loader, signer)?;
        }
        let report = Report::of(&image, ingredients.packages)?;
        say(Step::Write);
        write(&order.out, &loader, &image, &firmware, &report)?;
        Ok(report)
    }

    fn core(&self, fetcher: &Fetcher, say: &dyn Fn(Step)) -> Result<hermetic::Core, BuildError> {
        let Order {
            repository,
            offline,
            host_toolchain,
            ..
        } = &self.order;
        let build = hermetic::Build {
            repository,
            offline: *offline,
        };
        if *host_toolchain {
            say(Step::Compile);
            return Ok(build.with_host_toolchain()?);
        }
        say(Step::BuildRoot);
        let store = fetcher.store();
        let packages = self.lock.group(Group::Toolchain);
        let hashes: String = packages
            .iter()
            .map(|package| format!("{}\n", package.sha256))
            .collect();
        let key = Sha256::of(hashes.as_bytes()).to_string();
        let root = hermetic::assemble(
            &store.folder().join("build-root"),
            &key,
            |folder| -> Result<(), deb::Error> { unpack_all(&packages, store, folder) },
        )?;
        say(Step::Compile);
        Ok(build.hermetic(&root)?)
    }
}

/// The packages that files of the image come from: the parts' owners, the kernel and what boots it.
fn packages(lock: &Lock, parts: &[Part]) -> Vec<Package> {
    let owners: BTreeSet<&str> = parts.iter().map(|part| part.owner.as_str()).collect();
    let is_in = |package: &&lock::Package| {
        owners.contains(format!("{} {}", package.name, package.version).as_str())
            || package.groups.contains(&Group::Boot)
            || package.groups.contains(&Group::Kernel)
    };
    let named = |package: &lock::Package| Package {
        name: package.name.clone(),
        version: package.version.clone(),
    };
    lock.packages.iter().filter(is_in).map(named).collect()
}

/// The disk image is renamed to its name last: who finds it finds everything.
fn write(
    out: &Path,
    loader: &[u8],
    image: &Image,
    firmware: &Firmware,
    report: &Report,
) -> Result<(), BuildError> {
    let volumes = image::volumes(loader, &image.uki, WATCHDOG_SECONDS)?;
    let volumes: Vec<(Place, &Volume<'_>)> = volumes.iter().map(|(place, volume)| (*place, volume)).collect();
    let mut ovmf = Staging::new(&out.join("ovmf"))?;
    ovmf.file("OVMF_CODE.fd", &firmware.code)?;
    ovmf.file("OVMF_CODE.secboot.fd", &firmware.secure_code)?;
    ovmf.file("OVMF_VARS.fd", &firmware.vars)?;
    let mut staging = Staging::new(out)?;
    staging.file("rap.efi", &image.uki)?;
    staging.file("image.json", &serde_json::to_vec_pretty(report)?)?;
    staging.disk("disk.img", &volumes)?;
    ovmf.publish()?;
    Ok(staging.publish()?)
}

/// Why a path is in the image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The path, without a leading slash.
    pub path: String,
    /// The package or overlay it comes from.
    pub owner: String,
    /// What it is.
    pub kind: String,
    /// Why.
    pub reason: String,
}

impl Explanation {
    fn of(part: &Part, path: &str) -> Option<Self> {
        let entry = part.entries.iter().find(|entry| entry.path == path)?;
        let kind = match &entry.kind {
            Kind::Directory => format!("folder, mode {:o}", entry.mode),
            Kind::File(content) => format!("file of {} bytes, mode {:o}", grouped(content.len()), entry.mode),
            Kind::Link(target) => format!("link to {target}"),
        };
        let (owner, reason) = (part.owner.clone(), entry.reason.clone());
        Some(Self {
            path: path.to_owned(),
            owner,
            kind,
            reason,
        })
    }

    /// The paths that every image has without a package or overlay: the core's.
    #[must_use]
    pub fn of_core(path: &str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        let reason = image::core_reason(path)?;
        let owner = CORE.to_owned();
        Some(Self {
            path: path.to_owned(),
            owner,
            kind: "made by the builder".to_owned(),
            reason: reason.to_owned(),
        })
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "/{}: {}", self.path, self.kind)?;
        writeln!(f, "  from  {}", self.owner)?;
        write!(f, "  why   {}", self.reason)
    }
}

#[cfg(test)]
mod tests;
