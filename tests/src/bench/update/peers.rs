//! Other ways to move an image, by Debian's programs, unpacked and not installed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::frames;

/// The level of whole images.
const LEVEL: i32 = 19;

/// A way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// Our own whole image, in frames.
    Frames,
    /// `zstd -19` of the whole image.
    Full,
    /// `zstd --patch-from`.
    PatchFrom,
    /// `xdelta3`, its strongest.
    Xdelta,
    /// `bsdiff`.
    Bsdiff,
    /// The chunks and the index that casync would bring.
    Casync,
}

/// All of them.
pub(super) const PEERS: [Peer; 6] = [
    Peer::Frames,
    Peer::Full,
    Peer::PatchFrom,
    Peer::Xdelta,
    Peer::Bsdiff,
    Peer::Casync,
];

/// What a way moves, and how long it takes to make that.
pub(super) struct Moved {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
}

impl Peer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Frames => "whole, frames of 1 MiB",
            Self::Full => "whole, zstd -19",
            Self::PatchFrom => "zstd --patch-from -22",
            Self::Xdelta => "xdelta3 -9 -S lzma",
            Self::Bsdiff => "bsdiff",
            Self::Casync => "casync",
        }
    }

    /// Makes what brings `new` to who has `old`, in `place`.
    pub(super) fn moves(self, peers: &Path, old: &Path, new: &Path, place: &Path) -> anyhow::Result<Moved> {
        let out = place.join("peer");
        let (old, new) = (old.as_os_str(), new.as_os_str());
        let run = |program: &str, arguments: &[&OsStr]| run(peers, program, arguments);
        let text = OsStr::new;
        let begun = Instant::now();
        let bytes = match self {
            Self::Frames => frames(Path::new(new), LEVEL)?,
            Self::Full => {
                run(
                    "zstd",
                    &[text("-19"), text("-fq"), new, text("-o"), out.as_os_str()],
                )?;
                length(&out)?
            }
            Self::PatchFrom => {
                let from = joined("--patch-from=", old);
                let flags = ["-22", "--ultra", "--long=27", "-fq"].map(text);
                run(
                    "zstd",
                    &[&flags[..], &[&from, new, text("-o"), out.as_os_str()]].concat(),
                )?;
                length(&out)?
            }
            Self::Xdelta => {
                let flags = ["-e", "-f", "-9", "-S", "lzma", "-B", "134217728", "-s"].map(text);
                run("xdelta3", &[&flags[..], &[old, new, out.as_os_str()]].concat())?;
                length(&out)?
            }
            Self::Bsdiff => {
                run("bsdiff", &[old, new, out.as_os_str()])?;
                length(&out)?
            }
            Self::Casync => {
                let had = chunks(&run, old, place, "old")?;
                let wanted = chunks(&run, new, place, "new")?;
                let chunks: u64 = wanted.difference(&had).map(|(_, bytes)| bytes).sum();
                chunks + length(&place.join("new.caibx"))?
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Moved { bytes, seconds })
    }
}

/// The compressed chunks of a file, by name and size.
fn chunks(
    run: &dyn Fn(&str, &[&OsStr]) -> anyhow::Result<()>,
    file: &OsStr,
    place: &Path,
    name: &str,
) -> anyhow::Result<BTreeSet<(PathBuf, u64)>> {
    let (store, index) = (
        place.join(format!("{name}.castr")),
        place.join(format!("{name}.caibx")),
    );
    let _ = fs::remove_dir_all(&store);
    let to = joined("--store=", store.as_os_str());
    run("casync", &[OsStr::new("make"), &to, index.as_os_str(), file])?;
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(&store)? {
        let folder = folder?.path();
        for chunk in fs::read_dir(&folder)? {
            let path = chunk?.path();
            let bytes = length(&path)?;
            found.insert((path.strip_prefix(&store)?.to_owned(), bytes));
        }
    }
    Ok(found)
}

/// Runs a program that lies below `peers`, or else the host's.
fn run(peers: &Path, program: &str, arguments: &[&OsStr]) -> anyhow::Result<()> {
    let unpacked = peers.join("usr/bin").join(program);
    let mut command = if unpacked.is_file() {
        let folder = format!("{}-linux-gnu", std::env::consts::ARCH);
        let libraries = ["usr/lib", "lib"].map(|lib| peers.join(lib).join(&folder));
        let mut command = Command::new(unpacked);
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        command
    } else {
        Command::new(program)
    };
    let output = command
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", words.trim());
    Ok(())
}

fn length(path: &Path) -> anyhow::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

fn joined(option: &str, value: &OsStr) -> OsString {
    let mut joined = OsString::from(option);
    joined.push(value);
    joined
}
