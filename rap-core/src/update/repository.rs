//! [`Repository`] by the real means: files of a web server or bundle ([`source`](super::source)), believed by TUF
//! ([`trust`](super::trust)), kept as pieces ([`pieces`](super::pieces)), made an image.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::apply;
use super::needs::{Done, Image, Offer, Repository};
use super::pieces::{self, Pieces};
use super::policy::Way;
use super::source::Source;
use super::trust::{self, Question};
use crate::boot::disk::SLOT_BYTES;
use crate::folder::Directory;
use crate::release::{FRAME, File, Manifest};

/// A repository of files.
#[derive(Debug)]
pub(super) struct Files {
    source: Arc<dyn Source>,
    trust: Trust,
    pieces: Pieces<Directory>,
    folder: PathBuf,
}

/// What is trusted, and for which boxes.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    /// The root in the image.
    pub(super) root: Arc<[u8]>,
    /// The image's hardware profile.
    pub(super) profile: String,
}

impl Files {
    /// With what is remembered of metadata and pieces below `folder`.
    pub(super) fn new(source: Arc<dyn Source>, trust: Trust, folder: &Path) -> Self {
        Self {
            source,
            trust,
            pieces: Pieces::new(Directory(folder.join("pieces"))),
            folder: folder.to_owned(),
        }
    }
}

impl Repository for Files {
    fn check(&mut self, now: u64) -> anyhow::Result<Offer> {
        let question = Question {
            root: &self.trust.root,
            profile: &self.trust.profile,
            floor: now,
            scratch: &self.folder.join("scratch"),
        };
        let mut memory = Directory(self.folder.join("tuf"));
        let trusted = trust::check(&self.source, question, &mut memory)?;
        if let Some(lost) = &trusted.lost {
            log::error!("{lost}");
        }
        Ok(Offer {
            manifest: trusted.manifest,
            date: self.source.time(),
        })
    }

    fn bring(
        &mut self,
        manifest: &Manifest,
        way: Way,
        report: &mut dyn FnMut(Done) -> bool,
    ) -> anyhow::Result<()> {
        let files = files(manifest, way)?;
        let budget = budget(&self.folder);
        let mut tell = |progress: pieces::Progress| {
            let done = Done {
                bytes: progress.bytes,
                brought: progress.came,
            };
            if report(done) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        self.pieces
            .bring(self.source.as_ref(), files, budget, &mut tell)?;
        Ok(())
    }

    fn image<'a>(
        &'a mut self,
        manifest: &'a Manifest,
        way: Way,
        base: Box<dyn Image>,
    ) -> anyhow::Result<Box<dyn io::Read + 'a>> {
        let stream = self.pieces.stream(files(manifest, way)?);
        match way {
            Way::Full => Ok(Box::new(apply::frames(stream, manifest.uki)?)),
            Way::Patch(index) => {
                let patch = manifest
                    .patches
                    .get(index)
                    .context("the release has no such patch")?;
                Ok(Box::new(apply::patched(patch, stream, base, manifest.uki)?))
            }
        }
    }

    fn block(&mut self, manifest: &Manifest, block: u64) -> anyhow::Result<Vec<u8>> {
        let piece = usize::try_from(block).ok().and_then(|at| manifest.full.get(at));
        let piece = piece.context("the release has no such MiB")?;
        let frame = pieces::fetch(self.source.as_ref(), piece)?;
        let room = usize::try_from(FRAME).unwrap_or(0);
        zstd::bulk::decompress(&frame, room).context("a piece of the release does not unpack")
    }

    fn sweep(&mut self) {
        if let Err(error) = self.pieces.sweep(&[]) {
            log::warn!("{:#}", anyhow::Error::from(error));
        }
    }
}

/// The files of a way, in their order.
fn files(manifest: &Manifest, way: Way) -> anyhow::Result<&[File]> {
    match way {
        Way::Full => Ok(&manifest.full),
        Way::Patch(index) => {
            let patch = manifest
                .patches
                .get(index)
                .context("the release has no such patch")?;
            Ok(&patch.pieces)
        }
    }
}

/// What pieces may take of the disk: half of what is free, the rest is the forwarder's; never more than a slot.
fn budget(folder: &Path) -> u64 {
    let free = rustix::fs::statvfs(folder).map_or(0, |about| about.f_bavail.saturating_mul(about.f_frsize));
    (free / 2).min(SLOT_BYTES)
}
