//! Inside the namespaces: builds the view that [`super`] describes, enters it and becomes cargo. Never returns when
//! all is well.

use std::convert::Infallible;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use serde::{Deserialize, Serialize};

use super::HermeticError;

/// The exit code that says the view could not be built; cargo uses 101.
pub const NO_VIEW: i32 = 3;

/// 1980-01-01. A constant: the C libraries are compiled anew whenever it changes, and nothing here shows a date.
const DATE: &str = "315532800";

/// What is bound where; all paths are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The unpacked packages.
    pub root: PathBuf,
    /// The Rust toolchain.
    pub rust: PathBuf,
    /// Cargo's registry.
    pub registry: PathBuf,
    /// The repository.
    pub source: PathBuf,
    /// What cargo writes to.
    pub target: PathBuf,
    /// An empty folder for the view to be mounted on.
    pub view: PathBuf,
}

impl Cell {
    /// As one argument of a command.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Paths and a number cannot fail to serialize, save paths that are not UTF-8, which the other side refuses.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the argument.
    ///
    /// # Errors
    /// When it was not made by [`Cell::to_text`].
    pub fn from_text(text: &str) -> Result<Self, HermeticError> {
        serde_json::from_str(text).map_err(HermeticError::Plan)
    }

    /// Builds the view, enters it and becomes cargo.
    ///
    /// # Errors
    /// When something cannot be mounted or cargo not be started.
    pub fn enter(&self) -> Result<Infallible, HermeticError> {
        let new = self.view()?;
        let there = |error: Errno| HermeticError::Mount(new.clone(), error);
        rustix::process::chroot(&new).map_err(there)?;
        rustix::process::chdir("/src").map_err(there)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let source = cargo().exec();
        Err(HermeticError::Start {
            program: "cargo",
            fix: "its toolchain is incomplete",
            source,
        })
    }

    /// Mounts everything below a tmpfs, which this namespace alone sees.
    fn view(&self) -> Result<PathBuf, HermeticError> {
        let new = self.view.clone();
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(|error| HermeticError::Mount(PathBuf::from("/"), error))?;
        rustix::mount::mount("tmpfs", &new, "tmpfs", MountFlags::empty(), None)
            .map_err(|error| HermeticError::Mount(new.clone(), error))?;
        for (folder, to) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
        ] {
            let link = new.join(folder);
            symlink(to, &link).map_err(|error| HermeticError::File("make", link, error))?;
        }
        for (host, inside) in [
            (self.root.join("usr"), "usr"),
            (self.rust.clone(), "rust"),
            (self.registry.clone(), "cargo/registry"),
            (self.source.clone(), "src"),
        ] {
            let place = new.join(inside);
            make_folder(&place)?;
            bind(&host, &place)?;
            make_read_only(&place)?;
        }
        for folder in ["target", "tmp", "proc", "dev"] {
            make_folder(&new.join(folder))?;
        }
        bind(&self.target, &new.join("target"))?;
        for device in ["null", "zero", "full", "random", "urandom"] {
            let place = new.join("dev").join(device);
            std::fs::write(&place, "").map_err(|error| HermeticError::File("make", place.clone(), error))?;
            bind(&Path::new("/dev").join(device), &place)?;
        }
        let proc = new.join("proc");
        rustix::mount::mount("proc", &proc, "proc", MountFlags::empty(), None)
            .map_err(|error| HermeticError::Mount(proc, error))?;
        Ok(new)
    }
}

/// The build, with the same environment everywhere.
fn cargo() -> Command {
    let mut cargo = Command::new("/rust/bin/cargo");
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--offline",
            "--package",
            "rap-core",
            "--features",
            "fips",
        ])
        .env_clear()
        .env("PATH", "/rust/bin:/usr/bin")
        .env("HOME", "/tmp")
        .env("LANG", "C")
        .env("TZ", "UTC")
        .env("SOURCE_DATE_EPOCH", DATE)
        .env("CARGO_HOME", "/cargo")
        .env("CARGO_TARGET_DIR", "/target")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod");
    cargo
}

fn make_folder(path: &Path) -> Result<(), HermeticError> {
    std::fs::create_dir_all(path).map_err(|error| HermeticError::File("make", path.to_owned(), error))
}

fn bind(host: &Path, place: &Path) -> Result<(), HermeticError> {
    rustix::mount::mount_bind_recursive(host, place)
        .map_err(|error| HermeticError::Mount(host.to_owned(), error))
}

/// Makes a bound folder read-only. In a user namespace the flags that the host's mount has are locked: they must be
/// named again, or the kernel refuses.
fn make_read_only(place: &Path) -> Result<(), HermeticError> {
    let failed = |error| HermeticError::Mount(place.to_owned(), error);
    let has = rustix::fs::statvfs(place).map_err(failed)?.f_flag;
    let locked = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let keep = locked
        .into_iter()
        .filter(|(flag, _)| has.contains(*flag))
        .fold(MountFlags::RDONLY, |all, (_, flag)| all | flag);
    rustix::mount::mount_remount(place, MountFlags::BIND | keep, "").map_err(failed)
}
