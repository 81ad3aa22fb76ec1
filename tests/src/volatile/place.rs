//! Where a disk lives: a directory of its own with its platters and mount points, taken away again.
//!
//! ```text
//! rap-volatile-XXXXXX/   lock       held by whoever uses it, so that one that nobody holds is a dead one's
//!                        platters   what is on the disk
//!                        device     the disk as the file system in user space shows it: a mount point
//!                        mounted/   the ext4 on it: a mount point
//! ```
//!
//! Invariant: after a place is dropped, or swept after its process was killed, nothing of it is mounted.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

const PREFIX: &str = "rap-volatile-";
/// Held while places are made and swept.
const DOOR: &str = "rap-volatile.lock";

#[derive(Debug)]
pub(super) struct Place {
    directory: tempfile::TempDir,
    lock: File,
}

impl Place {
    /// A new one; those of dead processes are swept first.
    pub(super) fn new() -> anyhow::Result<Self> {
        let temporary = std::env::temp_dir();
        let _door = door()?;
        sweep(&temporary)?;
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&temporary)
            .context("cannot make a directory for the disk")?;
        let lock = File::create(directory.path().join("lock"))?;
        lock.lock()?;
        File::create(directory.path().join("device"))?;
        fs::create_dir(directory.path().join("mounted"))?;
        Ok(Self { directory, lock })
    }

    pub(super) fn platters(&self) -> PathBuf {
        self.directory.path().join("platters")
    }

    pub(super) fn device(&self) -> PathBuf {
        self.directory.path().join("device")
    }

    pub(super) fn mounted(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// Unmounts both, without a word to the disk: whoever still waits for it gets an error.
    pub(super) fn unmount(&self) -> anyhow::Result<()> {
        unmount_below(self.directory.path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody sweeps meanwhile; without the door, what is left is swept later.
        let gone = door().and_then(|_door| {
            self.unmount()?;
            fs::remove_dir_all(self.directory.path()).context("cannot remove the disk")
        });
        if let Err(error) = gone {
            log::warn!("{error:#}");
        }
        // Better a directory left behind than one emptied through a mount.
        self.directory.disable_cleanup(true);
        let _ = self.lock.unlock();
    }
}

/// The right to make places and take them away, while the value lives.
fn door() -> anyhow::Result<File> {
    let path = std::env::temp_dir().join(DOOR);
    let door = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    door.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(door)
}

/// Takes away what dead processes left.
fn sweep(temporary: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(temporary).with_context(|| temporary.display().to_string())? {
        let path = entry?.path();
        let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(PREFIX);
        if !path.file_name().is_some_and(ours) {
            continue;
        }
        match File::open(path.join("lock")).map(|lock| lock.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => {}
            // The lock is the last thing a dying process gives up; without the file it had not begun.
            _ => {
                unmount_below(&path)?;
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// The device first, and by force: then nothing that the file system above it wants waits for anybody.
fn unmount_below(directory: &Path) -> anyhow::Result<()> {
    for (name, flags) in [
        ("device", UnmountFlags::FORCE | UnmountFlags::DETACH),
        ("mounted", UnmountFlags::DETACH),
    ] {
        let path = directory.join(name);
        loop {
            match unmount(&path, flags) {
                Ok(()) => {}
                // Not a mount point (any more).
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot unmount {}", path.display()));
                }
            }
        }
    }
    Ok(())
}
