//! The kernel's file systems, and the root made read-only.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};

use super::InitError;

struct Mount {
    kind: &'static str,
    at: &'static str,
    flags: MountFlags,
    options: &'static std::ffi::CStr,
}

/// In the order they are mounted.
fn mounts() -> [Mount; 5] {
    let safe = MountFlags::NOSUID
        .union(MountFlags::NODEV)
        .union(MountFlags::NOEXEC);
    let mount = |kind, at, flags, options| Mount {
        kind,
        at,
        flags,
        options,
    };
    [
        // Nobody but root sees that others' processes are there (proc(5)).
        mount("proc", "/proc", safe, c"hidepid=invisible"),
        mount("sysfs", "/sys", safe, c""),
        mount(
            "devtmpfs",
            "/dev",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            c"mode=0755",
        ),
        mount(
            "devpts",
            "/dev/pts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            c"mode=0620,ptmxmode=0666",
        ),
        // Everything that has to be written on a box whose root is read-only.
        mount("tmpfs", "/run", safe, c"mode=0755,size=32m"),
    ]
}

/// Mounts `/proc`, `/sys`, `/dev`, `/dev/pts` and `/run`.
pub(super) fn mount_kernel() -> Result<(), InitError> {
    for Mount {
        kind,
        at,
        flags,
        options,
    } in mounts()
    {
        make_directory(Path::new(at))?;
        match mount(kind, at, kind, flags, options) {
            // The kernel mounts /dev itself where CONFIG_DEVTMPFS_MOUNT reaches.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => {
                return Err(InitError::Mount {
                    what: kind.to_owned(),
                    at: at.into(),
                    source: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Mounts efivarfs where the firmware is UEFI; a machine without it works too.
pub(super) fn mount_efi_variables() {
    let at = "/sys/firmware/efi/efivars";
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if let Err(error) = mount("efivarfs", at, "efivarfs", flags, c"") {
        log::warn!("no UEFI variables at {at}: {error}");
    }
}

/// Gives the tunnels' device to all, as udev does: to attach takes a right, or a link made for the user who does.
pub(super) fn open_tunnels() {
    use std::os::unix::fs::PermissionsExt as _;
    let all = std::fs::Permissions::from_mode(0o666);
    if let Err(error) = std::fs::set_permissions("/dev/net/tun", all) {
        log::warn!("/dev/net/tun: {error}; there can be no remote session");
    }
}

/// Makes what must exist before the root is read-only, and makes it so.
///
/// The root is an unpacked initramfs: nothing in it is ever worth writing.
pub(super) fn seal_root() {
    if let Err(error) = mount_remount("/", MountFlags::RDONLY, c"") {
        log::warn!("the root stays writable: {error}");
    }
}

/// Makes a directory; one that is there is fine.
pub(super) fn make_directory(path: &Path) -> Result<(), InitError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(InitError::Write {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
