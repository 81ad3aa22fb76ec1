//! The recipes: `overlays/NAME/overlay.toml` (packages and the files wanted from each, kernel modules and arguments,
//! users, folders, links) and `overlays/NAME/rootfs/` (files as they are). An image is a [`Stack`] of them.
//!
//! A recipe is read whole: all its mistakes come out in one run, each with file, line, field, got, expected and fix.

mod read;
mod reader;
mod rootfs;
mod stack;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use rootfs::rootfs;
pub use stack::{Stack, names};

/// One recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Packages whose files go into the image.
    pub packages: BTreeMap<String, Wanted>,
    /// The package that depends on the kernel's, where this overlay says which.
    pub kernel: Option<String>,
    /// Kernel arguments.
    pub arguments: Vec<String>,
    /// Watchdog drivers, loaded before anything else.
    pub watchdogs: Vec<String>,
    /// Kernel modules, in the order they are to be loaded.
    pub modules: Vec<String>,
    /// Modules that only the installer loads: keyboards, and what its own medium is on.
    pub installer_modules: Vec<String>,
    /// Users, each with a group of the same name and number.
    pub users: BTreeMap<String, User>,
    /// Folders and their modes.
    pub directories: BTreeMap<String, u32>,
    /// Symbolic links and their targets.
    pub links: BTreeMap<String, String>,
    /// What boots the image.
    pub boot: Option<Boot>,
    /// What the lab boots it with.
    pub lab: Option<Lab>,
    /// Packages of the build root.
    pub toolchain: Vec<String>,
}

/// What is wanted of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Paths of files, or of folders with everything below.
    pub files: Vec<String>,
    /// Dependencies that are not followed: only its maintainer scripts need them.
    pub without: Vec<String>,
}

/// A service's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number and its group's, from 1 to 65534.
    pub id: u32,
    /// Its home.
    pub home: String,
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The package.
    pub package: String,
    /// The file's path in it.
    pub file: String,
}

/// The programs the firmware starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// EFI Boot Guard.
    pub loader: PackageFile,
    /// systemd's stub.
    pub stub: PackageFile,
}

/// The firmware the lab boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    /// OVMF's code.
    pub code: PackageFile,
    /// OVMF's empty variables.
    pub vars: PackageFile,
    /// OVMF's code with Secure Boot.
    pub secure_code: PackageFile,
}

/// One mistake in a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The field, e.g. `packages.nftables.files`.
    pub field: String,
    /// What is there.
    pub got: String,
    /// What should be there.
    pub expected: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            field,
            got,
            expected,
            fix,
        } = self;
        write!(
            f,
            "{}:{line}: {field}: got {got}, expected {expected}; {fix}",
            file.display()
        )
    }
}

/// Why the recipes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// There is no such overlay.
    #[error("there is no overlay {name:?} in {folder}; there are: {there}")]
    NoSuchOverlay {
        /// What was asked for.
        name: String,
        /// The overlays' folder.
        folder: PathBuf,
        /// Those that are there.
        there: String,
    },
    /// Mistakes, all of them.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
    /// A path under `rootfs/` that cannot be in an image.
    #[error("{0} is neither a file, a folder nor a link, or its name is not UTF-8; remove it")]
    Unusable(PathBuf),
}

fn lines(faults: &[Fault]) -> String {
    let mut text = format!("{} mistake(s) in the overlays:", faults.len());
    for fault in faults {
        text += &format!("\n  {fault}");
    }
    text
}

#[cfg(test)]
mod tests;
