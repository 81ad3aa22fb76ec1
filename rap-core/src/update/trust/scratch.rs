//! The folder `tough` works in: what was remembered goes in, nothing that is in it afterwards is relied upon.
//!
//! Invariant: `latest_known_time.json` is never in it at the start. `tough` refuses everything while the wall clock is
//! earlier than that file, so one wrong clock would lock the box out; our own floor of the clock does that work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tough::schema::{Root, Signed};

use super::known::Known;

/// The folder, emptied when it is let go of.
#[derive(Debug)]
pub(super) struct Scratch<'a>(&'a Path);

impl<'a> Scratch<'a> {
    /// Empties the folder and puts in what `tough` compares with.
    pub(super) fn with(path: &'a Path, known: &Known) -> io::Result<Self> {
        clear(path)?;
        fs::create_dir_all(path)?;
        let scratch = Self(path);
        for (name, content) in [
            ("timestamp.json", &known.timestamp),
            ("snapshot.json", &known.snapshot),
        ] {
            if let Some(content) = content {
                fs::write(path.join(name), content)?;
            }
        }
        Ok(scratch)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.to_owned()
    }

    /// The root that `tough` ended with, if it came so far.
    pub(super) fn root(&self) -> Option<Signed<Root>> {
        let content = fs::read(self.0.join("root.json")).ok()?;
        serde_json::from_slice(&content).ok()
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // What stays is cleared by the next.
        let _ = clear(self.0);
    }
}

fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
