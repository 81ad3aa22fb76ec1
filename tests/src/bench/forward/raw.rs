//! What a disk can do at all: groups of 1 KiB written into a file that is there already, and the disk waited for after
//! each (`O_DSYNC`, which is a `fdatasync` after each write). No network, nothing parsed. `dd` does it, so that anybody
//! can see it again, and because a disk of our own must not be used by the process it lives in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rap_qemu::process::spawn;

use super::load::float;
use super::report::BYTES;

/// Bytes of the file.
const FILE: usize = 64 * 1024 * 1024;
/// Groups of one run of `dd`, so that starting it does not count.
const GROUPS: usize = 200;

/// A file to write into.
#[derive(Debug)]
pub(super) struct Raw(PathBuf);

impl Raw {
    /// Makes it in `directory`.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Self> {
        let raw = Self(directory.join("raw"));
        raw.write(1024 * 1024, FILE / (1024 * 1024), &["conv=fsync"])?;
        Ok(raw)
    }

    /// Durable KiB a second in groups of `group`, measured for at least `length`.
    pub(super) fn rate(&self, group: usize, length: Duration) -> anyhow::Result<f64> {
        let count = GROUPS.min(FILE / (group * BYTES));
        let (mut groups, mut seconds) = (0, 0.0);
        while seconds < length.as_secs_f64() {
            seconds += self.write(group * BYTES, count, &["conv=notrunc", "oflag=dsync"])?;
            groups += count;
        }
        Ok(float(groups * group) / seconds)
    }

    /// Seconds that `count` writes of `bytes` took, from the file's start.
    fn write(&self, bytes: usize, count: usize, how: &[&str]) -> anyhow::Result<f64> {
        let mut dd = Command::new("dd");
        dd.arg("if=/dev/zero").arg(format!("of={}", self.0.display()));
        dd.arg(format!("bs={bytes}"))
            .arg(format!("count={count}"))
            .args(how);
        dd.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::piped());
        let output = spawn(dd, None, Vec::new())?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dd: {}", text.trim());
        seconds(&text).with_context(|| format!("dd said something else than its time: {text}"))
    }
}

/// From `N bytes (…) copied, 0.123 s, …`.
fn seconds(text: &str) -> Option<f64> {
    text.rsplit_once(" copied, ")?.1.split_once(" s")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_from_what_dd_says() {
        let text =
            "20+0 records in\n20+0 records out\n20480 bytes (20 kB, 20 KiB) copied, 0.0123 s, 1.7 MB/s\n";
        assert_eq!(seconds(text), Some(0.0123));
        assert_eq!(seconds("20+0 records in"), None);
    }

    #[test]
    fn groups_are_written_and_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let raw = Raw::new(place.path()).unwrap();
        let rate = raw.rate(64, Duration::from_millis(1)).unwrap();
        assert!(rate.is_finite() && rate > 64.0, "{rate}");
    }
}
