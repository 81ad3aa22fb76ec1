//! `bench image`: how large the image is and how long it takes to build.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sha2::{Digest, Sha256};

use super::Figure;

/// The size goal for the whole image on the wire, in MB.
const WIRE_GOAL: f64 = 28.0;
/// The goal for a rebuild when nothing but an overlay file changed, in seconds.
const WARM_GOAL: f64 = 10.0;
/// The level full images are published with.
const LEVEL: i32 = 19;

/// The overlay file that is touched for the warm build.
const TOUCHED: &str = "overlays/base/rootfs/etc/sysctl.d/10-hardening.conf";

/// Measures the image in `directory`; `builder` is `rap-image`, the working directory the workspace's root. With
/// `cold`, also builds once in a fresh clone with an empty package store, which takes minutes.
///
/// # Errors
/// When the image is missing or a build fails.
pub fn measure(directory: &Path, builder: &Path, cold: bool) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let place = tempfile::tempdir()?;
    if cold {
        let clone = clone(&place.path().join("cold"))?;
        let store = place.path().join("store");
        let seconds = run(Command::new(builder)
            .arg("build")
            .current_dir(&clone)
            .env("XDG_CACHE_HOME", store))?;
        figures.push(Figure::number(
            "cold build, packages fetched, crates cached",
            seconds,
            "s",
        ));
    }
    let seconds = touched(&clone(&place.path().join("warm"))?, builder)?;
    figures
        .push(Figure::number("warm build after touching one overlay file", seconds, "s").at_most(WARM_GOAL));

    let uki = directory.join("rap.efi");
    let bytes = std::fs::metadata(&uki)
        .with_context(|| format!("cannot read {}", uki.display()))?
        .len();
    let wire = compressed(&uki)?;
    figures.push(Figure::number("UKI on disk", megabytes(bytes), "MB"));
    figures.push(
        Figure::number(format!("full image, zstd -{LEVEL}"), megabytes(wire), "MB")
            .at_most(WIRE_GOAL)
            .beside("uncompressed", megabytes(bytes)),
    );
    figures.push(Figure::text("SHA-256 of the UKI", digest(&uki)?, ""));
    Ok(figures)
}

/// A clone of the workspace, so that measuring changes nothing in it.
pub(super) fn clone(place: &Path) -> anyhow::Result<PathBuf> {
    run(Command::new("git").args(["clone", "--quiet", "."]).arg(place))?;
    Ok(place.to_owned())
}

/// Seconds of a build in `clone`, with everything compiled, after an overlay's file changed.
fn touched(clone: &Path, builder: &Path) -> anyhow::Result<f64> {
    let compiled = std::path::absolute("target")?;
    std::os::unix::fs::symlink(compiled, clone.join("target"))?;
    let mut build = Command::new(builder);
    build
        .args(["build", "--offline", "--out"])
        .arg(clone.join("image"))
        .current_dir(clone);
    run(&mut build)?;
    let file = clone.join(TOUCHED);
    let content =
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    std::fs::write(&file, content + "# touched\n")?;
    run(&mut build)
}

/// Runs a command to its end; returns the seconds it took.
pub(super) fn run(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(begun.elapsed().as_secs_f64())
}

/// Bytes of the file as one zstd frame.
fn compressed(path: &Path) -> anyhow::Result<u64> {
    let mut counter = Counter(0);
    let mut encoder = zstd::Encoder::new(&mut counter, LEVEL)?;
    encoder.long_distance_matching(true)?;
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    Ok(counter.0)
}

fn digest(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// 10⁶ bytes, to the kilobyte.
fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// Counts what is written to it.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_compresses_to_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("zeros");
        std::fs::write(&path, vec![0; 1_000_000]).unwrap();
        let wire = compressed(&path).unwrap();
        assert!((10..1000).contains(&wire), "{wire}");
    }

    #[test]
    fn a_failing_builder_is_an_error_with_its_words() {
        let error = run(Command::new("sh").args(["-c", "echo no mirror >&2; exit 2"])).unwrap_err();
        assert!(error.to_string().contains("no mirror"), "{error}");
    }
}
