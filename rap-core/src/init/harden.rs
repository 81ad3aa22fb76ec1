//! What makes the box tight once everything is loaded and mounted, and what the network service, which is not root, has to
//! have for itself.
//!
//! Nothing here stops the boot: what fails is a warning on the console, and `rapctl hardening` names it as long as it does
//! not hold.

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use crate::{confine, netd, paths};

use super::InitError;
use super::durable::{self, Owner};

/// Where the kernel says what it locks (Linux `security/lockdown/lockdown.c`).
const SECURITY: &str = "/sys/kernel/security";
/// From now on no module is loaded, until the next boot (`Documentation/admin-guide/sysctl/kernel.rst`).
const NO_MORE_MODULES: &str = "/proc/sys/kernel/modules_disabled";
/// Where dhcpcd has its socket and its process's number.
const DHCPCD: &str = "/run/dhcpcd";

/// Forbids everybody, root too, to load modules and to reach into the kernel: its memory, its image, raw devices.
pub(super) fn lock_kernel() {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let lockdown = || {
        mount("securityfs", SECURITY, "securityfs", flags, c"")?;
        // Secure Boot has set `integrity` already; this is more.
        std::fs::write(Path::new(SECURITY).join("lockdown"), "confidentiality")
    };
    complain("the kernel's lockdown", lockdown());
    complain("the lock on modules", std::fs::write(NO_MORE_MODULES, "1"));
    complain("control groups", confine::mount_groups());
}

fn complain(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::error!("{what}: {error}");
    }
}

/// Gives netd and the audit trail's writer the folders they write in; netd's: its own below `/run`, and a share in those
/// where others write, too. These are sticky, so that nobody takes away or puts in place what is another's; the identity
/// beside the site among it.
///
/// # Errors
/// When one cannot be made.
pub(super) fn hand_over(netd: Owner, audit: Owner, data: bool) -> Result<(), InitError> {
    let shared = Owner { user: 0, ..netd };
    let run = Path::new(paths::STATUS).parent().unwrap_or(Path::new("/run"));
    durable::directory(run, 0o1775, Some(shared))?;
    for own in [netd::RUNTIME, netfw::netns::DIRECTORY, DHCPCD] {
        durable::directory(Path::new(own), 0o755, Some(netd))?;
    }
    let socket = Path::new(paths::AUDIT_SOCKET).parent().unwrap_or(run);
    durable::directory(socket, 0o755, Some(audit))?;
    if data {
        durable::directory(Path::new(paths::AUDIT), 0o700, Some(audit))?;
        let config = Path::new(paths::CONFIG);
        durable::directory(config, 0o1775, Some(shared))?;
        give_files(config, netd).map_err(|source| InitError::Write {
            path: config.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// The files in a folder, not what is below: the site, the one on trial and their history are netd's, whoever wrote them.
fn give_files(folder: &Path, owner: Owner) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::os::unix::fs::lchown(entry.path(), Some(owner.user), Some(owner.group))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn files_change_hands_and_folders_do_not() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("identity")).unwrap();
        std::fs::write(at("identity/device.key"), "secret").unwrap();
        std::fs::write(at("site.toml"), "").unwrap();
        std::os::unix::fs::symlink("identity/device.key", at("link")).unwrap();
        give_files(
            folder.path(),
            Owner {
                user: 902,
                group: 902,
            },
        )
        .unwrap();
        let owner = |name: &str| std::fs::metadata(at(name)).unwrap().uid();
        assert_eq!(owner("site.toml"), 902);
        assert_ne!(owner("identity"), 902);
        assert_ne!(owner("identity/device.key"), 902);
    }
}
