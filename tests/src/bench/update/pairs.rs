//! The pairs of images: today's, and one that differs from it in one thing.
//!
//! The other one is composed by `rap_image`'s own functions out of today's parts. For OpenSSL and the kernel it has the
//! files of the release before, as Debian published it; for the core, programs compiled from a source in which
//! [`CHANGED`] was changed. Each pair is signed, and each image has a build id of its own, as two releases have.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rap_core::build_info::BuildInfo;
use rap_core::digest::Sha256;
use rap_image::archive::Archive;
use rap_image::deb::{self, Contents};
use rap_image::fetch::Fetcher;
use rap_image::lock::Lock;
use rap_image::mirror::{Given, Mirrors};
use rap_image::overlay::Stack;
use rap_image::payload::{Entry, Kind, Part};
use rap_image::signing::{PROGRAM_KEY, Signer, sign};
use rap_image::store::Store;
use rap_image::{cpio, uki};

use super::Setup;
use crate::bench::image;

/// What differs between the images of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Two lines of our programs
    Core,
    /// OpenSSL's libraries
    Openssl,
    /// The kernel and its modules
    Kernel,
}

/// All of them.
pub(super) const KINDS: [What; 3] = [What::Core, What::Openssl, What::Kernel];

/// The most that may be moved, in kB.
pub(super) struct Goals {
    pub(super) raw: Option<f64>,
    pub(super) unpacked: Option<f64>,
}

/// Two signed images.
pub(super) struct Pair {
    pub(super) kind: What,
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
}

/// Two lines of the core: a number of process 1, and a text of the forwarder that becomes longer and moves what is
/// behind it.
const CHANGED: [(&str, &str, &str); 2] = [
    (
        "rap-core/src/init/watchdog.rs",
        "const TIMEOUT_SECONDS: i32 = 30;",
        "const TIMEOUT_SECONDS: i32 = 45;",
    ),
    (
        "rap-core/src/forward/uplink/notice.rs",
        "\"rap.report.doubtful\";",
        "\"rap.report.doubtful.still\";",
    ),
];

/// A package as Debian published it before the one of the lock.
struct Before {
    version: &'static str,
    path: &'static str,
    sha256: &'static str,
    bytes: u64,
}

const OPENSSL: Before = Before {
    version: "3.5.7-1~deb13u3",
    path: "pool/updates/main/o/openssl/libssl3t64_3.5.7-1~deb13u3_amd64.deb",
    sha256: "ff16bc048bcd7d1b256094450b79c77947d8e76fe2a24bd99b91021d591fa074",
    bytes: 2_458_176,
};
const KERNEL: Before = Before {
    version: "6.12.116+deb13-amd64",
    path: "pool/updates/main/l/linux-signed-amd64/linux-image-6.12.116+deb13-amd64_6.12.116-1_amd64.deb",
    sha256: "0cee1131391727e0974245f197cfb22f3d8715ac2428574b290aaf16ff6eda1c",
    bytes: 108_469_928,
};
const MODULES: &str = "usr/lib/modules/";

impl What {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Core => "two lines of the core",
            Self::Openssl => "OpenSSL, a point release",
            Self::Kernel => "kernel, a point release",
        }
    }

    /// Issue 5's.
    pub(super) const fn goals(self) -> Goals {
        let (raw, unpacked) = match self {
            Self::Core => (Some(120.0), None),
            Self::Openssl => (Some(350.0), None),
            Self::Kernel => (Some(12_500.0), Some(3000.0)),
        };
        Goals { raw, unpacked }
    }
}

/// Makes a pair.
pub(super) fn pair(kind: What, setup: &Setup) -> anyhow::Result<Pair> {
    let path = setup.image.join("rap.efi");
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let today = Image::read(&read(&path)?)?;
    let signer = Signer::load(&setup.keys, PROGRAM_KEY)?;
    let signed = |image: &Image| anyhow::Ok(sign(&image.compose()?, &signer)?);
    let mut other = today.clone();
    other.rename(kind);
    let (old, new) = match kind {
        What::Core => {
            let changed = match &setup.changed {
                Some(path) => path.clone(),
                None => build_changed(setup)?,
            };
            other.take_programs(&Image::read(&read(&changed)?)?)?;
            (&today, &other)
        }
        What::Openssl => {
            other.take_files(&OPENSSL.contents()?)?;
            (&other, &today)
        }
        What::Kernel => {
            other.take_kernel(&KERNEL.contents()?)?;
            (&other, &today)
        }
    };
    let (old, new) = (signed(old)?, signed(new)?);
    ensure!(old != new, "both images are the same");
    Ok(Pair { kind, old, new })
}

/// The image `uki` as it was before each of `kinds`, of [`What::Openssl`] and [`What::Kernel`]; unsigned.
///
/// # Errors
/// When a package is not to be had, or the image is none of the builder's.
pub fn before(uki: &[u8], kinds: &[What]) -> anyhow::Result<Vec<u8>> {
    let mut image = Image::read(uki)?;
    for kind in kinds {
        match kind {
            What::Core => bail!("no earlier core is kept"),
            What::Openssl => image.take_files(&OPENSSL.contents()?)?,
            What::Kernel => image.take_kernel(&KERNEL.contents()?)?,
        }
    }
    image.compose()
}

/// The image `uki` with the programs of the image `changed`; unsigned.
///
/// # Errors
/// When one is none of the builder's.
pub fn with_core_of(uki: &[u8], changed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut image = Image::read(uki)?;
    image.take_programs(&Image::read(changed)?)?;
    image.compose()
}

/// Builds an image in a clone in which [`CHANGED`] was changed; the programs are compiled again.
fn build_changed(setup: &Setup) -> anyhow::Result<PathBuf> {
    let place = std::path::absolute("target/bench/changed")?;
    let _ = fs::remove_dir_all(&place);
    let clone = image::clone(&place)?;
    for (file, from, to) in CHANGED {
        let path = clone.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(
            text.contains(from),
            "{file} has no `{from}`: name another line to change in the measurement"
        );
        fs::write(&path, text.replacen(from, to, 1))?;
    }
    let out = clone.join("image");
    let mut build = std::process::Command::new(&setup.builder);
    build.args(["build", "--out"]).arg(&out).current_dir(&clone);
    image::run(&mut build)?;
    Ok(out.join("rap.efi"))
}

impl Before {
    /// Fetches and opens the package.
    fn contents(&self) -> anyhow::Result<Contents> {
        let fetcher = Fetcher::new(Store::of_user()?, Mirrors::of_host(&Given::default()).ok());
        let sha256: Sha256 = self.sha256.parse()?;
        fetcher.file(Archive::Security, &[self.path.to_owned()], &sha256, self.bytes)?;
        contents(fetcher.store(), &sha256)
    }
}

fn contents(store: &Store, sha256: &Sha256) -> anyhow::Result<Contents> {
    let tar = store.tar::<deb::Error>(sha256, |file, out| deb::decompress(file, out))?;
    Ok(Contents::read(tar)?)
}

/// An image as its parts.
#[derive(Clone)]
struct Image {
    stub: Vec<u8>,
    os_release: String,
    command_line: String,
    kernel_version: String,
    kernel: Vec<u8>,
    archives: Vec<Vec<Entry>>,
    info: BuildInfo,
}

impl Image {
    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let uki = uki::Program::parse(bytes)?;
        let text = |name| anyhow::Ok(String::from_utf8(uki.required(name)?.to_vec())?);
        let archives = cpio::read(uki.required(".initrd")?)?;
        let info = archives
            .iter()
            .flatten()
            .find(|entry| entry.path == "etc/rap/build.json");
        let Some(Kind::File(info)) = info.map(|entry| &entry.kind) else {
            bail!("the image says nothing of itself");
        };
        Ok(Self {
            stub: stub()?,
            os_release: text(".osrel")?,
            command_line: text(".cmdline")?,
            kernel_version: text(".uname")?,
            kernel: uki.required(".linux")?.to_vec(),
            info: serde_json::from_slice(info)?,
            archives,
        })
    }

    fn compose(&self) -> anyhow::Result<Vec<u8>> {
        let mut writer = cpio::Writer::new(u32::try_from(self.info.built)?);
        for entries in &self.archives {
            writer.archive(&Part {
                owner: String::new(),
                entries: entries.clone(),
            })?;
        }
        Ok(uki::compose(&uki::Ingredients {
            stub: &self.stub,
            os_release: &self.os_release,
            command_line: &self.command_line,
            kernel_version: &self.kernel_version,
            kernel: &self.kernel,
            initramfs: &writer.finish(),
        })?)
    }

    /// Every file's content, to be changed.
    fn files(&mut self) -> impl Iterator<Item = (&str, &mut Vec<u8>)> {
        let entries = self.archives.iter_mut().flatten();
        entries.filter_map(|entry| match &mut entry.kind {
            Kind::File(content) => Some((entry.path.as_str(), content)),
            _ => None,
        })
    }

    /// Another build id, wherever the image says it.
    fn rename(&mut self, kind: What) {
        let old = self.info.build_id.clone();
        let new = Sha256::of(kind.name().as_bytes()).to_string();
        self.os_release = self.os_release.replace(&old, &new);
        for (path, content) in self.files() {
            if path == "etc/rap/build.json" {
                *content = String::from_utf8_lossy(content).replace(&old, &new).into_bytes();
            }
        }
    }

    /// The core's programs from another image.
    fn take_programs(&mut self, from: &Self) -> anyhow::Result<()> {
        let mut from = from.clone();
        let programs: Vec<_> = from
            .files()
            .filter(|(path, _)| path.starts_with("usr/bin/rap"))
            .collect();
        ensure!(!programs.is_empty(), "the changed image has no program of ours");
        for (path, content) in self.files() {
            if let Some((_, program)) = programs.iter().find(|(name, _)| *name == path) {
                content.clone_from(program);
            }
        }
        Ok(())
    }

    /// Each file of the package that this image has, too.
    fn take_files(&mut self, package: &Contents) -> anyhow::Result<()> {
        let mut taken = 0;
        for (path, content) in self.files() {
            if package.member(path).is_some() {
                *content = package.content(path)?;
                taken += 1;
            }
        }
        ensure!(taken > 0, "no file of the package is in the image");
        Ok(())
    }

    /// The kernel of the package, and its version of each module.
    fn take_kernel(&mut self, package: &Contents) -> anyhow::Result<()> {
        let (today, before) = (self.kernel_version.clone(), KERNEL.version);
        self.kernel = package.content(&format!("boot/vmlinuz-{before}"))?;
        before.clone_into(&mut self.kernel_version);
        for entry in self.archives.iter_mut().flatten() {
            let is_module = entry.path.starts_with(MODULES);
            if is_module {
                entry.path = entry.path.replace(&today, before);
            }
            match &mut entry.kind {
                Kind::File(content) if is_module => {
                    let packed = package.content(&format!("{}.xz", entry.path))?;
                    content.clear();
                    liblzma::read::XzDecoder::new(packed.as_slice()).read_to_end(content)?;
                }
                Kind::File(content) if entry.path == "etc/rap/modules" => {
                    *content = String::from_utf8_lossy(content)
                        .replace(&today, before)
                        .into_bytes();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// systemd's stub, from the lock's package: in a UKI it has been laid out anew.
fn stub() -> anyhow::Result<Vec<u8>> {
    let overlays = Path::new("overlays");
    let wanted = Stack::all(overlays)?.boot.stub;
    let lock = Lock::read(&overlays.join("image.lock"))?;
    let package = lock.package(&wanted.package)?;
    Ok(contents(&Store::of_user()?, &package.sha256)?.content(&wanted.file)?)
}
