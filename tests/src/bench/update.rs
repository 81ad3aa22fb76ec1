//! `bench update`: what three kinds of update move and take, beside other ways to move the same images.
//!
//! A kind is a pair of signed images that differ in one thing only, made from the image in `target/image/qemu`
//! (`pairs`). Ours is what `rap_image::patch` makes, applied by a process of its own, so that its memory is its own;
//! the others (`peers`) are Debian's programs on the very same files.

mod pairs;
mod peers;
mod wire;

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use rap_core::digest::Sha256;
use rap_core::release::{self, Over};
use rap_core::update::apply;
use rap_image::patch::{self, Made};

use super::Figure;
use pairs::Pair;
pub use pairs::{What, before, with_core_of};

/// What is measured with.
#[derive(Debug)]
pub struct Setup {
    /// The directory `rap-image build` writes.
    pub image: PathBuf,
    /// The development keys: both images of a pair are signed.
    pub keys: PathBuf,
    /// Where the peers are unpacked.
    pub peers: PathBuf,
    /// `rap-image`, which builds the image with a changed core.
    pub builder: PathBuf,
    /// An image with a changed core that was built before.
    pub changed: Option<PathBuf>,
    /// The one kind to measure; all without.
    pub only: Option<What>,
}

/// Measures each kind that is to be had.
///
/// # Errors
/// When there is no image, or a patch does not make what it should.
pub fn measure(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let mut figures = Vec::new();
    let wanted = |kind: &What| setup.only.is_none_or(|only| only == *kind);
    for kind in pairs::KINDS.into_iter().filter(wanted) {
        match pairs::pair(kind, setup) {
            Ok(pair) => figures.extend(kind_of_update(&pair, setup, place.path())?),
            Err(error) => figures.push(Figure::text(kind.name(), format!("not to be had: {error:#}"), "")),
        }
    }
    Ok(figures)
}

fn kind_of_update(pair: &Pair, setup: &Setup, place: &Path) -> anyhow::Result<Vec<Figure>> {
    let (old, new) = (place.join("old"), place.join("new"));
    fs::write(&old, &pair.old)?;
    fs::write(&new, &pair.new)?;
    let figure =
        |what: &str, value, unit| Figure::number(format!("{}: {what}", pair.kind.name()), value, unit);
    let mut figures = Vec::new();

    let begun = Instant::now();
    let patches = patch::between(&pair.old, &pair.new)?;
    let seconds = begun.elapsed().as_secs_f64();
    figures.push(figure("patches made and verified", seconds, "s"));
    let metadata = wire::metadata(pair, &patches.made, setup, place)?;
    figures.push(figure("metadata and manifest", kilobytes(metadata), "kB"));
    for made in &patches.made {
        let (over, goal) = match made.patch.over {
            Over::Raw => ("raw", pair.kind.goals().raw),
            Over::UnpackedKernel => ("unpacked kernel", pair.kind.goals().unpacked),
        };
        figures.push(figure(&format!("pieces, {over}"), kilobytes(made.bytes()), "kB"));
        let all = figure(&format!("all, {over}"), kilobytes(made.bytes() + metadata), "kB");
        figures.push(match goal {
            Some(goal) => all.at_most(goal),
            None => all,
        });
        let taken = apply_alone(made, &old, &new, place)?;
        figures.push(figure(&format!("applied, {over}"), taken.seconds, "s"));
        figures.push(
            figure(&format!("memory to apply, {over}"), taken.mebibytes, "MiB").beside(
                "the manifest says",
                f64::from(u32::try_from(made.patch.memory_mib)?),
            ),
        );
    }
    if let Some(why) = &patches.raw_only {
        figures.push(Figure::text(
            format!("{}: only raw", pair.kind.name()),
            why.to_string(),
            "",
        ));
    }
    for peer in peers::PEERS {
        match peer.moves(&setup.peers, &old, &new, place) {
            Ok(moved) => {
                figures.push(figure(peer.name(), kilobytes(moved.bytes), "kB"));
                figures.push(figure(&format!("{} made", peer.name()), moved.seconds, "s"));
            }
            Err(error) => figures.push(Figure::text(peer.name(), format!("not measured: {error:#}"), "")),
        }
    }
    Ok(figures)
}

/// What applying took.
struct Taken {
    seconds: f64,
    /// The process' memory at its most, without what it had before.
    mebibytes: f64,
}

/// Applies a patch in a process of its own: [`apply_here`].
fn apply_alone(made: &Made, old: &Path, new: &Path, place: &Path) -> anyhow::Result<Taken> {
    let patch = place.join("patch");
    fs::write(&patch, made.pieces.concat())?;
    let output = Command::new(std::env::current_exe()?)
        .args(["update", "--apply"])
        .args([old, &patch, new])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "the patch was not applied: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
    let (Some(seconds), Some(mebibytes)) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("no figures in {text:?}");
    };
    Ok(Taken { seconds, mebibytes })
}

/// Applies the patch in the second file to the first; the third says what has to come out. Prints the seconds, and the
/// MiB of memory it took.
///
/// # Errors
/// When it does not come out.
pub fn apply_here(files: &[PathBuf]) -> anyhow::Result<()> {
    let [old, patch, new] = files else {
        anyhow::bail!("--apply takes three files");
    };
    let (sha256, bytes) = Sha256::of_reader(&mut File::open(new)?)?;
    let before = peak()?;
    let begun = Instant::now();
    let pieces = BufReader::new(File::open(patch)?);
    let header = apply::Header::read(&mut File::open(patch)?)?;
    let said = release::Patch {
        from: sha256,
        over: header.over(),
        memory_mib: apply::memory(&header).div_ceil(1 << 20),
        pieces: Vec::new(),
    };
    let mut made = apply::patched(&said, pieces, File::open(old)?, release::File { bytes, sha256 })?;
    io::copy(&mut made, &mut io::sink())?;
    println!("{} {}", begun.elapsed().as_secs_f64(), peak()? - before);
    Ok(())
}

/// This process' memory at its most so far, in MiB.
fn peak() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: f64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .context("no VmHWM in /proc/self/status")?;
    Ok(kibibytes / 1024.0)
}

/// 10³ bytes.
fn kilobytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1000.0
}

/// What a file has, in frames of a MiB as `rap-image publish` makes them.
fn frames(path: &Path, level: i32) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let mut file = File::open(path)?;
    loop {
        let mut frame = Vec::new();
        if file.by_ref().take(release::FRAME).read_to_end(&mut frame)? == 0 {
            return Ok(bytes);
        }
        bytes += zstd::bulk::compress(&frame, level)?.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("zeros");
        fs::write(&path, vec![0; 3 << 20]).unwrap();
        let bytes = frames(&path, 3).unwrap();
        assert!((30..3000).contains(&bytes), "{bytes}");
        assert!(peak().unwrap() > 3.0);
    }
}
