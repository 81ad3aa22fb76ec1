//! What comes with the pieces: a real repository of both images, asked as a box that knows the first one asks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rap_core::folder::Directory;
use rap_core::update::source::{Name, Source, SourceError};
use rap_core::update::trust::{self, Question};
use rap_image::patch::Made;

use super::Setup;
use super::pairs::Pair;
use crate::releases::Workshop;

/// Bytes of metadata and manifest that a box brings to learn of the second image with the patches `made`: bodies, without
/// HTTP's heads and TLS.
pub(super) fn metadata(pair: &Pair, made: &[Made], setup: &Setup, place: &Path) -> anyhow::Result<u64> {
    let workshop = Workshop::new(&setup.image, &setup.keys)?;
    let root = fs::read(setup.keys.join("root.json"))?;
    let folder = |uki, version| workshop.shelve(uki, version);
    let outcome = workshop.publish(&folder(&pair.old, "1.0.0")?, None, |order| {
        order.version = Some("1.0.0".to_owned());
    })?;
    let profile = &outcome.releases.first().context("nothing was published")?.profile;

    let shop = Arc::new(Counted {
        folder: workshop.repository(),
        bytes: AtomicU64::new(0),
    });
    let source: Arc<dyn Source> = Arc::clone(&shop) as _;
    let (scratch, memory) = (place.join("scratch"), place.join("tuf"));
    let _ = fs::remove_dir_all(&memory);
    fs::create_dir_all(&memory)?;
    let ask = || -> anyhow::Result<u64> {
        let before = shop.bytes.load(Ordering::Relaxed);
        let question = Question {
            root: &root,
            profile,
            floor: 0,
            scratch: &scratch,
        };
        trust::check(&source, question, &mut Directory(memory.clone()))?;
        Ok(shop.bytes.load(Ordering::Relaxed) - before)
    };
    ask()?;
    let patcher = |_: &[u8], _: &[u8]| Ok(made.iter().map(Made::clone).collect());
    workshop.publish(&folder(&pair.new, "1.1.0")?, Some(&patcher), |order| {
        order.version = Some("1.1.0".to_owned());
    })?;
    ask()
}

/// A repository's folder that counts what is taken from it.
#[derive(Debug)]
struct Counted {
    folder: PathBuf,
    bytes: AtomicU64,
}

impl Source for Counted {
    fn fetch(&self, name: &Name, _: u64) -> Result<Vec<u8>, SourceError> {
        let bytes = fs::read(self.folder.join(name.as_str()))
            .map_err(|_| SourceError::NotThere { name: name.clone() })?;
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
