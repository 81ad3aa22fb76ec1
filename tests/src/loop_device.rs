//! Files as block devices, for tests of what writes to disks. Needs root, and `losetup`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file as a block device; given back with the value.
#[derive(Debug)]
pub struct Loop {
    device: PathBuf,
}

impl Loop {
    /// All of a file.
    ///
    /// # Errors
    /// When there is no loop device to be had.
    pub fn of(file: &Path) -> io::Result<Self> {
        Self::with(file, &[])
    }

    /// As `losetup` is told by further options, such as `--read-only` or `--offset`.
    ///
    /// # Errors
    /// When there is no loop device to be had.
    pub fn with(file: &Path, options: &[&str]) -> io::Result<Self> {
        let mut losetup = Command::new("losetup");
        let output = losetup
            .args(["--find", "--show"])
            .args(options)
            .arg(file)
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let device = String::from_utf8_lossy(&output.stdout).trim().into();
        Ok(Self { device })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.device
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}
