//! Finding what rotted in a slot, and mending it while the box runs.
//!
//! A slot is settled when it holds an image that was confirmed: then all of it is known. Its UKI is held against a kept
//! copy MiB by MiB; what is around it is computed again; the loader's environment is the loader's, and is made anew only
//! when it is damaged. What is right is not written. What rotted is written page by page and read back from the medium.
//!
//! Where the kept copy is damaged too, the MiB is asked for from elsewhere ([`Bring`]); what nobody has is in the report.
//! A boot sector is written last, and only over a UKI that is whole: a slot that cannot be mended stays as it is.

use crate::boot::environment::Environment;
use crate::boot::slot::Label;
use crate::digest::Sha256;
use crate::release::{self, FRAME};

use super::device::{Barrier, Device, settle};
use super::keep::Copy;
use super::look::{around, environment_file, tolerate};
use super::pace::Pace;
use super::{Slots, SlotsError};

/// The watchdog's seconds where neither environment says them any more.
const WATCHDOG_SECONDS: u16 = 60;

/// Where a block comes from that the kept copy does not have.
pub trait Bring {
    /// The MiB `block` of the UKI `file`, from 0, as its manifest's `full` has it; `None` when it is not to be had now.
    fn bring(&mut self, file: &release::File, block: u64) -> Option<Vec<u8>>;
}

/// Nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Bring for Nobody {
    fn bring(&mut self, _file: &release::File, _block: u64) -> Option<Vec<u8>> {
        None
    }
}

/// What was found and done in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// MiB of the UKI that were looked at.
    pub blocks: u64,
    /// Those that had rotted and are right again, from 0.
    pub mended: Vec<u64>,
    /// Those that had rotted, or may have, and nobody has.
    pub lost: Vec<u64>,
    /// Whether something of the file system had rotted and is right again.
    pub file_system: bool,
    /// Whether the loader's environment had rotted and is made anew.
    pub environment: bool,
}

impl Report {
    /// Whether all of the slot is right now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty()
    }

    /// Whether anything had rotted.
    #[must_use]
    pub fn found_rot(&self) -> bool {
        self.file_system || self.environment || !(self.mended.is_empty() && self.lost.is_empty())
    }
}

impl<D: Device> Slots<D> {
    /// Looks at all of the settled slot `slot`, which holds `file`, and mends what rotted. Memory: 3 MiB.
    ///
    /// # Errors
    /// When the disk does not take what is written. Rot that cannot be mended is no error but in the report.
    pub fn mend(
        &self,
        slot: Label,
        file: &release::File,
        copy: Option<&Copy>,
        elsewhere: &mut dyn Bring,
        pace: &mut dyn Pace,
    ) -> Result<Report, SlotsError> {
        let failed = |source| SlotsError::Device { slot, source };
        let device = self.device(slot);
        device.forget().map_err(failed)?;
        let copy = copy.filter(|copy| copy.uki() == *file);
        let suspects = self.suspects(slot, file, copy, pace)?;
        let mut report = Report {
            blocks: file.bytes.div_ceil(FRAME),
            ..Report::default()
        };
        for (block, digest) in suspects {
            let wanted = Self::wanted(file, block, digest, copy, elsewhere);
            match wanted {
                Some(bytes) => {
                    let at = self.places.uki.start + block * FRAME;
                    if settle(device, &bytes, at).map_err(failed)? {
                        report.mended.push(block);
                    }
                }
                None => report.lost.push(block),
            }
            if !pace.after(FRAME) {
                return Err(SlotsError::Interrupted);
            }
        }
        report.file_system = self.mend_around(slot, file.bytes, false)?;
        if report.file_system || !report.mended.is_empty() {
            device.flush(Barrier::Mended).map_err(failed)?;
            device.forget().map_err(failed)?;
            if report.lost.is_empty() {
                self.verify(slot, file, pace)?;
            }
        }
        if report.lost.is_empty() {
            report.environment = self.mend_environment(slot)?;
            let boot = self.mend_around(slot, file.bytes, true)?;
            if boot || report.environment {
                report.file_system |= boot;
                device.flush(Barrier::Mended).map_err(failed)?;
            }
        }
        Ok(report)
    }

    /// The blocks that are not right, or, without a copy to tell them apart, all when not all are right; each with its
    /// digest where that is known.
    fn suspects(
        &self,
        slot: Label,
        file: &release::File,
        copy: Option<&Copy>,
        pace: &mut dyn Pace,
    ) -> Result<Vec<(u64, Option<Sha256>)>, SlotsError> {
        let Some(copy) = copy else {
            // What cannot be read is as wrong.
            let whole = match self.hash(slot, file.bytes, pace) {
                Err(SlotsError::Interrupted) => return Err(SlotsError::Interrupted),
                found => found.is_ok_and(|found| found == file.sha256),
            };
            let all = if whole { 0 } else { file.bytes.div_ceil(FRAME) };
            return Ok((0..all).map(|block| (block, None)).collect());
        };
        let mut suspects = Vec::new();
        for (block, digest) in (0..).zip(copy.digests()) {
            let mut bytes = vec![0; block_bytes(file, block)];
            let at = self.places.uki.start + block * FRAME;
            let read = self.device(slot).read_at(&mut bytes, at);
            if read.is_err() || Sha256::of(&bytes) != digest {
                suspects.push((block, Some(digest)));
            }
            if !pace.after(bytes.len() as u64) {
                return Err(SlotsError::Interrupted);
            }
        }
        Ok(suspects)
    }

    /// What a block should be: from the copy, else from elsewhere; right by its digest where that is known.
    fn wanted(
        file: &release::File,
        block: u64,
        digest: Option<Sha256>,
        copy: Option<&Copy>,
        elsewhere: &mut dyn Bring,
    ) -> Option<Vec<u8>> {
        let kept = copy.and_then(|copy| copy.block(block).ok());
        let fits = |bytes: &Vec<u8>| {
            bytes.len() == block_bytes(file, block) && digest.is_none_or(|digest| Sha256::of(bytes) == digest)
        };
        kept.or_else(|| elsewhere.bring(file, block)).filter(fits)
    }

    /// Makes what is around the UKI as it is computed; with the boot sector only when `visible`.
    fn mend_around(&self, slot: Label, bytes: u64, visible: bool) -> Result<bool, SlotsError> {
        let failed = |source| SlotsError::Device { slot, source };
        let device = self.device(slot);
        let mut wrote = false;
        for mut extent in around(slot, bytes, visible)? {
            let mut found = vec![0; extent.bytes.len()];
            if device.read_at(&mut found, extent.offset).is_ok() {
                tolerate(bytes, extent.offset, &mut extent.bytes, &found, slot)?;
            }
            wrote |= settle(device, &extent.bytes, extent.offset).map_err(failed)?;
        }
        Ok(wrote)
    }

    /// Makes a damaged environment anew: this slot stays the one to start, the other one behind it.
    fn mend_environment(&self, slot: Label) -> Result<bool, SlotsError> {
        let read = |slot| {
            let file = environment_file(self.device(slot), &self.places).ok()?;
            Environment::decode(&file).ok()
        };
        if read(slot).is_some_and(|found| found.kernel_file == slot.kernel_file()) {
            return Ok(false);
        }
        let other = read(slot.other());
        let watchdog = other
            .as_ref()
            .map_or(WATCHDOG_SECONDS, |other| other.watchdog_seconds);
        let revision = other.map_or(0, |other| other.revision);
        let revision = if slot == self.running {
            revision.saturating_add(1)
        } else {
            revision.saturating_sub(1)
        };
        self.put(slot, &slot.confirmed(revision, watchdog))
    }
}

fn block_bytes(file: &release::File, block: u64) -> usize {
    let bytes = file.bytes.saturating_sub(block * FRAME).min(FRAME);
    usize::try_from(bytes).unwrap_or(0)
}
