//! Bytes that reach the device below a directory (`/sys/dev/block/…/stat`): whatever else writes to it counts as well,
//! so the machine must be idle.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The unit of the counters, whatever the device's own (Documentation/block/stat.rst).
const SECTOR: u64 = 512;

/// The block device of a file system.
#[derive(Debug)]
pub(super) struct Device {
    directory: File,
    statistics: PathBuf,
}

impl Device {
    /// The device `directory` is on; `None` when it has none to count at, such as a tmpfs.
    pub(super) fn of(directory: &Path) -> anyhow::Result<Option<Self>> {
        let file = File::open(directory).with_context(|| directory.display().to_string())?;
        let number = rustix::fs::fstat(&file)?.st_dev;
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let statistics = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        Ok(statistics.exists().then_some(Self {
            directory: file,
            statistics,
        }))
    }

    /// Bytes written since boot, with everything that waited written out first.
    pub(super) fn written(&self) -> anyhow::Result<u64> {
        rustix::fs::syncfs(&self.directory)?;
        let text = std::fs::read_to_string(&self.statistics)?;
        let sectors = text.split_ascii_whitespace().nth(6).context("a seventh number")?;
        Ok(sectors.parse::<u64>()? * SECTOR)
    }
}
