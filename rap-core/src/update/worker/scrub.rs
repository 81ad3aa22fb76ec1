//! Holding both slots against what they should be: each week, when somebody asks, when an image was confirmed (which also
//! makes the copy that rot is mended from), and when the box came up from the slot that it was not to be started from.
//!
//! What no copy holds is brought from the repository, if what it offers is the very image.

use super::super::needs::Repository;
use super::super::slots::mend::Bring;
use super::Worker;
use crate::boot::environment;
use crate::release::{File, Manifest};

/// The time of a last look that is long ago: the next one is due.
pub(super) const OVERDUE: u64 = 1;

impl Worker {
    /// Holds both slots against what they should be, and mends them.
    pub(super) fn scrub(&mut self) -> anyhow::Result<()> {
        self.tell("holding both slots against what they should be");
        let mut elsewhere = Elsewhere {
            repository: self.parts.repository.as_deref_mut(),
            manifest: self.offer.clone(),
            now: self.knowledge.certain(),
        };
        let found = self.parts.bays.scrub(&self.state.known, &mut elsewhere)?;
        for rot in &found {
            log::warn!("{}", rot.words);
        }
        self.problems.retain(|problem| !problem.starts_with("slot "));
        let left = found.into_iter().filter(|rot| rot.left);
        self.problems.extend(left.map(|rot| rot.words));
        self.state.scrubbed = self.knowledge.certain().max(OVERDUE);
        self.look()?;
        self.save()
    }

    /// The slot that the loader starts is the other one, and yet this one runs: the other's image cannot be started. It is
    /// mended at once.
    pub(super) fn see_which_slot_runs(&mut self) {
        let running = self.view.running;
        let (this, that) = (self.view.of(running), self.view.of(running.other()));
        let wanted = that.state == Some(environment::State::Ok) && that.revision > this.revision;
        if !wanted || self.on_trial || self.state.trial.is_some() {
            return;
        }
        let slot = running.other();
        log::error!(
            "slot {slot} was to be started, and slot {running} was: firmware could not start the former"
        );
        if self.state.known[slot as usize].is_some() {
            self.state.scrubbed = OVERDUE;
            return;
        }
        self.problems.push(format!(
            "slot {slot} cannot be started, and it is not known what should be in it: install a release again"
        ));
    }
}

/// A repository, as far as it has the image that rotted.
struct Elsewhere<'a> {
    /// Absent once it failed: the other MiB would fail as well, each after a while.
    repository: Option<&'a mut (dyn Repository + 'static)>,
    manifest: Option<Manifest>,
    now: u64,
}

impl Bring for Elsewhere<'_> {
    fn bring(&mut self, file: &File, block: u64) -> Option<Vec<u8>> {
        let brought = self.ask(file, block)?;
        match brought {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                log::warn!("what rotted is not brought from the repository: {error:#}");
                self.repository = None;
                None
            }
        }
    }
}

impl Elsewhere<'_> {
    /// Nothing when there is no repository, or it offers another image.
    fn ask(&mut self, file: &File, block: u64) -> Option<anyhow::Result<Vec<u8>>> {
        let repository = self.repository.as_mut()?;
        if self.manifest.is_none() {
            match repository.check(self.now) {
                Ok(offer) => self.manifest = Some(offer.manifest),
                Err(error) => return Some(Err(error)),
            }
        }
        let manifest = self.manifest.as_ref().filter(|manifest| manifest.uki == *file)?;
        Some(repository.block(manifest, block))
    }
}
