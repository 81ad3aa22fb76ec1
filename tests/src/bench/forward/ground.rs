//! The disks that everything is measured on: this machine's own, and one of ours whose flush takes as long as a small
//! box's, and which forgets what was not flushed when its power is cut.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use rap_qemu::process::spawn;

use super::device::Device;
use crate::volatile::Volatile;

/// How long the slow disk's flush takes: between a small SSD and an eMMC.
pub(super) const FLUSH: Duration = Duration::from_millis(3);
/// How long the flush of slower disks takes: an SSD without capacitors that is in use, a worn eMMC or a spinning disk.
pub(super) const SLOWER: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(20)];
/// Bytes of the slow disk.
const SIZE: u64 = 1536 * 1024 * 1024;

/// A directory, and the counter of what reaches its disk.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) directory: PathBuf,
    /// `None` when nothing can be counted there.
    device: Option<Device>,
    /// The disk of ours; used by other processes than this one only.
    pub(super) disk: Option<Volatile>,
}

impl Ground {
    /// A directory on this machine.
    pub(super) fn here(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            device: Device::of(directory)?,
            disk: None,
        })
    }

    /// A disk of its own whose flush takes `flush`.
    pub(super) fn slow(flush: Duration) -> anyhow::Result<Self> {
        let disk = Volatile::new(SIZE)?;
        disk.flush_takes(flush);
        Ok(Self {
            directory: disk.directory().to_owned(),
            device: None,
            disk: Some(disk),
        })
    }

    /// Bytes the disk was given so far.
    pub(super) fn written(&self) -> anyhow::Result<Option<u64>> {
        match (&self.disk, &self.device) {
            (Some(disk), _) => {
                run("sync", &["--file-system".as_ref(), self.directory.as_ref()])?;
                Ok(Some(disk.traffic().written))
            }
            (None, Some(device)) => device.written().map(Some),
            (None, None) => Ok(None),
        }
    }

    /// A new, empty directory on it.
    pub(super) fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        run("rm", &["-rf".as_ref(), path.as_ref()])?;
        run("mkdir", &[path.as_ref()])?;
        Ok(path)
    }

    /// A copy of `original`, whatever was there before.
    pub(super) fn copy(&self, original: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        copy(original, &path)?;
        Ok(path)
    }
}

/// Copies a directory; the copy is durable.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    run("rm", &["-rf".as_ref(), to.as_ref()])?;
    run("cp", &["-a".as_ref(), from.as_ref(), to.as_ref()])?;
    run("sync", &["--file-system".as_ref(), to.as_ref()])
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let output = spawn(command, None, Vec::new())?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", text.trim());
    Ok(())
}
