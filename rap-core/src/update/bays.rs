//! [`Bays`] on the disk: both slots, as init hands them down, by [`slots`](super::slots), with copies of their images on the
//! data partition from which rot is mended.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::needs::{Bays, Found, Image, Rot, View};
use super::slots::keep::{Copy, Keep};
use super::slots::mend::{Bring, Report};
use super::slots::pace::{AtOnce, Gently};
use super::slots::{Reader, Slots, Verified};
use crate::boot::slot::Label;
use crate::release;

/// Bytes a second that scrubbing reads: it must not keep the forwarder from the disk.
const GENTLE: u64 = 8 << 20;

/// Both slots.
#[derive(Debug)]
pub(super) struct Disk {
    slots: Slots<File>,
    /// The same partitions once more, for readers that outlive a call.
    devices: [File; 2],
    keep: Keep,
    verified: Option<Verified>,
}

impl Disk {
    /// Of slot A and slot B, open for reading and writing; `build_id` is the image's that runs. Copies of images are kept in
    /// the folder `keep`.
    ///
    /// # Errors
    /// When neither slot holds that image, or a partition cannot be a slot.
    pub(super) fn new(devices: [File; 2], build_id: &str, keep: &Path) -> anyhow::Result<Self> {
        let running = Slots::with_build_id(&devices, build_id)?;
        let again = [devices[0].try_clone()?, devices[1].try_clone()?];
        if let Err(error) = std::fs::create_dir(keep)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot make {}", keep.display()));
        }
        Ok(Self {
            slots: Slots::new(devices, running, None)?,
            devices: again,
            keep: Keep::new(keep),
            verified: None,
        })
    }

    /// The kept copy of an image; made from the slot where there is none and the slot is whole.
    fn copy(&self, slot: Label, file: &release::File) -> Option<Copy> {
        let kept = self.keep.copy(file);
        if let Ok(Some(copy)) = kept {
            return Some(copy);
        }
        let mut reader = self.slots.reader(slot, file.bytes).ok()?;
        match self.keep.make(file, &mut reader, &mut Gently::new(GENTLE)) {
            Ok(copy) => Some(copy),
            Err(error) => {
                log::warn!("no copy of slot {slot}: {:#}", anyhow::Error::from(error));
                None
            }
        }
    }
}

impl Bays for Disk {
    fn look(&mut self) -> anyhow::Result<View> {
        let found = |slot| {
            let seen = self.slots.look(slot);
            let environment = seen.environment.ok().filter(|_| seen.visible);
            let program = seen.uki.ok().filter(|_| seen.visible);
            let (build_id, version) = program
                .map(|program| (program.release.build_id, program.release.version))
                .unzip();
            Found {
                build_id,
                version,
                state: environment.as_ref().map(|environment| environment.state),
                revision: environment.map_or(0, |environment| environment.revision),
            }
        };
        Ok(View {
            running: self.slots.running(),
            slots: Label::ALL.map(found),
        })
    }

    fn know(&mut self, file: release::File) {
        self.slots.know(file);
    }

    fn image(&mut self, label: Label) -> anyhow::Result<Box<dyn Image>> {
        let bytes = self.slots.look(label).uki?.bytes;
        let device = self.devices[label as usize].try_clone()?;
        Ok(Box::new(Reader::new(device, bytes)?))
    }

    fn digest(&mut self, label: Label) -> anyhow::Result<release::File> {
        Ok(self.slots.digest(label, &mut AtOnce)?)
    }

    fn write(&mut self, label: Label, image: &mut dyn Read, file: &release::File) -> anyhow::Result<()> {
        ensure!(label != self.slots.running(), "slot {label} runs");
        self.verified = Some(self.slots.write(file, image, &mut AtOnce)?);
        Ok(())
    }

    fn arm(&mut self) -> anyhow::Result<()> {
        let verified = self
            .verified
            .take()
            .context("nothing was written into the slot")?;
        Ok(self.slots.arm(&verified, &mut AtOnce)?)
    }

    fn arm_again(&mut self, label: Label, file: &release::File) -> anyhow::Result<()> {
        let verified = self.slots.verify(label, file, &mut AtOnce)?;
        Ok(self.slots.arm(&verified, &mut AtOnce)?)
    }

    fn confirm(&mut self) -> anyhow::Result<()> {
        Ok(self.slots.confirm()?)
    }

    fn reject(&mut self) -> anyhow::Result<()> {
        Ok(self.slots.fail(self.slots.running())?)
    }

    fn scrub(
        &mut self,
        known: &[Option<release::File>; 2],
        elsewhere: &mut dyn Bring,
    ) -> anyhow::Result<Vec<Rot>> {
        let mut words = Vec::new();
        let kept: Vec<release::File> = known.iter().flatten().copied().collect();
        self.keep.retain(&kept)?;
        for slot in Label::ALL {
            let Some(file) = &known[slot as usize] else {
                continue;
            };
            let copy = self.copy(slot, file);
            let report = self
                .slots
                .mend(slot, file, copy.as_ref(), elsewhere, &mut Gently::new(GENTLE))?;
            words.extend(told(slot, &report));
        }
        Ok(words)
    }
}

/// What was found; nothing when nothing was.
fn told(slot: Label, report: &Report) -> Option<Rot> {
    if !report.is_whole() {
        let words = format!(
            "slot {slot} has rotted in {} of {} MiB ({:?}), and neither a copy nor the repository has them: install a release again",
            report.lost.len(),
            report.blocks,
            report.lost
        );
        return Some(Rot { words, left: true });
    }
    let around = match (report.file_system, report.environment) {
        (false, false) => "",
        (true, false) => ", its file system",
        (false, true) => ", its environment",
        (true, true) => ", its file system and environment",
    };
    let words = format!(
        "slot {slot} had rotted and is mended: {} MiB of its image{around}",
        report.mended.len()
    );
    report.found_rot().then_some(Rot { words, left: false })
}
