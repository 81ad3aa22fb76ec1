//! Only files that are wanted: what the overlays name, the shared libraries and kernel modules that follow, and no more.
//!
//! Every entry says why it is there. The result is a pure function of the overlays and the lock: parts in a fixed order
//! (folders and links, packages by name, kernel modules, overlays from the bottom up, what is generated), so that
//! composing it twice gives the same bytes.

mod firmware;
mod kernel;
mod libraries;
mod tree;

use crate::deb;
use crate::elf;
use crate::lock::{Group, Lock};
use crate::modules;
use crate::overlay::{self, PackageFile, Stack, rootfs};
use crate::payload::{Kind, Part};
use crate::store::Store;

pub use libraries::unmet;

use libraries::Packages;
use tree::{Owner, Tree};

/// All that the overlays want, taken from the locked packages.
#[derive(Debug, Clone)]
pub struct Picked {
    /// What goes into the initramfs, in order; our own program is not among it.
    pub parts: Vec<Part>,
    /// The kernel (`vmlinuz`).
    pub kernel: Vec<u8>,
    /// Its version, as `uname -r` says it.
    pub kernel_version: String,
    /// The kernel's command line.
    pub command_line: String,
    /// systemd's EFI stub.
    pub stub: Vec<u8>,
    /// EFI Boot Guard.
    pub loader: Vec<u8>,
    /// The lock's time, in seconds since 1970: what everything built from it is dated.
    pub built: u64,
}

/// What the lab boots an image with.
#[derive(Debug, Clone)]
pub struct Firmware {
    /// OVMF's code.
    pub code: Vec<u8>,
    /// OVMF's empty variables.
    pub vars: Vec<u8>,
    /// OVMF's code with Secure Boot; its variables are [`Self::vars`].
    pub secure_code: Vec<u8>,
}

/// Why files could not be picked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A package cannot be opened.
    #[error("cannot open package {0}")]
    Package(String, #[source] deb::Error),
    /// A package does not contain what is wanted of it.
    #[error("package {package} has no {path:?}, wanted by {wanted_by}{hint}")]
    NoSuchFile {
        /// The package.
        package: String,
        /// The path.
        path: String,
        /// Who wants it.
        wanted_by: String,
        /// Paths that end alike, if there are.
        hint: String,
    },
    /// A library is in none of the locked packages.
    #[error(
        "{needed_by} needs {library:?}, which no locked package of the image has; add its package to the overlay that \
         wants {needed_by}"
    )]
    NoSuchLibrary {
        /// The library's name.
        library: String,
        /// The file that needs it.
        needed_by: String,
    },
    /// An ELF file cannot be read.
    #[error("cannot read {0}")]
    Elf(String, #[source] elf::Error),
    /// Two owners want one path with different content.
    #[error("{path} is in {first} and in {second}; let only one overlay have it")]
    Twice {
        /// The path.
        path: String,
        /// Who had it first.
        first: String,
        /// Who has it too.
        second: String,
    },
    /// A wanted link leads nowhere in its package.
    #[error("{0} is a link whose target {1:?} is in none of the locked packages of the image")]
    Dangling(String, String),
    /// Kernel modules.
    #[error(transparent)]
    Modules(#[from] modules::Error),
    /// The kernel's package is not as expected.
    #[error("the kernel package {package} {what}")]
    Kernel {
        /// The package.
        package: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The lock.
    #[error(transparent)]
    Lock(#[from] crate::lock::Error),
    /// An overlay.
    #[error(transparent)]
    Overlay(#[from] overlay::Error),
}

/// Groups that [`pick`] reads; they must be in the store.
pub const GROUPS: [Group; 3] = [Group::Image, Group::Kernel, Group::Boot];

/// Takes what `stack` wants from the packages `lock` names, which must be in `store`.
///
/// # Errors
/// What is missing, and who wants it.
pub fn pick(stack: &Stack, lock: &Lock, store: &Store) -> Result<Picked, Error> {
    let mut tree = Tree::default();
    layout(stack, &mut tree)?;
    let mut packages = Packages::open(lock, store);
    for overlay in &stack.overlays {
        for (package, wanted) in &overlay.packages {
            let reason = format!("wanted by overlays/{}", overlay.name);
            wanted
                .files
                .iter()
                .try_for_each(|file| packages.take(package, file, &reason, &mut tree))?;
        }
    }
    packages.close_over_libraries(&mut tree)?;
    let kernel = kernel::pick(stack, lock, store, &mut tree)?;
    for (place, overlay) in stack.overlays.iter().enumerate() {
        for entry in rootfs(overlay)? {
            tree.add(Owner::Overlay(place, format!("overlays/{}", overlay.name)), entry)?;
        }
    }
    let (passwd, group) = stack.users();
    for (path, text, reason) in [
        ("etc/passwd", passwd, "users of the overlays"),
        ("etc/group", group, "users of the overlays"),
        (
            "etc/rap/modules",
            kernel.load_order,
            "modules of the overlays, in load order",
        ),
        (
            "etc/rap/installer-modules",
            kernel.installer_order,
            "modules that only the installer loads, in load order",
        ),
    ] {
        // A profile whose installer needs no more than the appliance has no list for it.
        if text.is_empty() && path == "etc/rap/installer-modules" {
            continue;
        }
        tree.add(
            Owner::Generated,
            tree::entry(path, 0o644, Kind::File(text.into_bytes()), reason),
        )?;
    }
    Ok(Picked {
        parts: tree.into_parts(),
        kernel: kernel.image,
        kernel_version: kernel.version,
        command_line: stack.command_line(),
        stub: firmware::file(&stack.boot.stub, lock, store)?,
        loader: firmware::file(&stack.boot.loader, lock, store)?,
        built: u64::try_from(lock.time().as_second()).unwrap_or(0),
    })
}

/// The lab's firmware; its packages (group [`Group::Lab`]) must be in `store`.
///
/// # Errors
/// As [`pick`].
pub fn firmware(stack: &Stack, lock: &Lock, store: &Store) -> Result<Firmware, Error> {
    let file = |file: &PackageFile| firmware::file(file, lock, store);
    Ok(Firmware {
        code: file(&stack.lab.code)?,
        vars: file(&stack.lab.vars)?,
        secure_code: file(&stack.lab.secure_code)?,
    })
}

/// The folders and links the overlays name.
fn layout(stack: &Stack, tree: &mut Tree) -> Result<(), Error> {
    for overlay in &stack.overlays {
        let reason = format!("layout of overlays/{}", overlay.name);
        for (path, mode) in &overlay.directories {
            tree.add(Owner::Layout, tree::entry(path, *mode, Kind::Directory, &reason))?;
        }
        for (path, target) in &overlay.links {
            tree.add(
                Owner::Layout,
                tree::entry(path, 0o777, Kind::Link(target.clone()), &reason),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
