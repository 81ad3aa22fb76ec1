//! What a test in another process gives the centre to ask: a directory that both know.
//!
//! A file appears there by a rename, so it is whole when it is seen: `NUMBER.json`, an envelope; `outbox/NAME`, a file for the
//! boxes. `docket` names the docket of the box that asked last.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Centre;

/// The centre's side of the directory.
#[derive(Debug)]
pub struct Desk {
    directory: PathBuf,
    seen: BTreeSet<PathBuf>,
    docket: Option<String>,
}

impl Desk {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            seen: BTreeSet::new(),
            docket: None,
        }
    }

    /// Takes what is new, and says which docket asks.
    ///
    /// # Errors
    /// When the directory or a file cannot be read or written, or an envelope is no JSON.
    pub fn look(&mut self, centre: &Centre) -> anyhow::Result<()> {
        for path in self.new_in(&self.directory.join("outbox"))? {
            centre.outbox().add(&std::fs::read(&path)?);
            self.seen.insert(path);
        }
        for path in self.new_in(&self.directory)? {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if let Ok(number) = stem.parse() {
                let envelope = serde_json::from_slice(&std::fs::read(&path)?)
                    .with_context(|| path.display().to_string())?;
                centre.directives().add(number, envelope);
            }
            self.seen.insert(path);
        }
        let docket = centre.directives().last_poll().map(|poll| poll.docket);
        if docket.is_some() && docket != self.docket {
            put(
                &self.directory,
                "docket",
                docket.clone().unwrap_or_default().as_bytes(),
            )?;
            self.docket = docket;
        }
        Ok(())
    }

    fn new_in(&self, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_file() && !hidden && !self.seen.contains(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// Puts a file there, whole from the first moment on.
///
/// # Errors
/// When it cannot be written.
pub fn put(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let temporary = directory.join(format!(".{name}"));
    std::fs::write(&temporary, content)?;
    std::fs::rename(temporary, directory.join(name))?;
    Ok(())
}
