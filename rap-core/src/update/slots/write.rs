//! A new UKI into the slot that does not run, so that a power cut at any moment leaves the old image or, whole, the new one.

use std::io::Read;

use crate::boot::environment::{Environment, State};
use crate::boot::slot::{self, Label, Layout};
use crate::release;

use super::device::{Barrier, Device};
use super::look::BLOCK;
use super::pace::Pace;
use super::{Slots, SlotsError};

/// A slot that was read from the medium and holds this file. What arms it asks for this.
#[derive(Debug)]
pub struct Verified {
    pub(super) slot: Label,
    pub(super) file: release::File,
}

impl<D: Device> Slots<D> {
    /// Writes `uki` into the slot that does not run and reads it back. The slot is not armed: firmware sees no file
    /// system in it. Memory: 1 MiB for the UKI, and 4 MiB for what is around it.
    ///
    /// # Errors
    /// When the slot that runs is not fit to be fallen back to, and then nothing was changed; when `uki` is not `file`,
    /// or the disk fails: then the slot stays empty.
    pub fn write(
        &self,
        file: &release::File,
        uki: &mut dyn Read,
        pace: &mut dyn Pace,
    ) -> Result<Verified, SlotsError> {
        let slot = self.running.other();
        let device = self.device(slot);
        let failed = |source| SlotsError::Device { slot, source };
        let layout = |source| SlotsError::Layout { slot, source };
        Layout::of(file.bytes).map_err(layout)?;
        // 1. What this box falls back to is sound.
        let base = self.base(pace)?;
        // 2. The old file system is gone, its boot sector's copy too, before anything else is written.
        self.destroy(slot)?;
        // 3. Everything but these two sectors, with the environment as it will be when armed.
        let base = self.with_room_above(base)?;
        let environment = self.trial(&base);
        let volume = slot::around(file.bytes, slot, &environment).map_err(layout)?;
        for extent in volume.extents {
            if extent.offset == 0 {
                let hidden = hide(extent.bytes.into_owned(), &self.places);
                device.write_at(&hidden, 0).map_err(failed)?;
            } else {
                device.write_at(&extent.bytes, extent.offset).map_err(failed)?;
            }
        }
        self.copy(file, uki, pace)?;
        // 4. All of it is on the medium.
        device.flush(Barrier::Written).map_err(failed)?;
        // 5. Read back from there.
        self.verify(slot, file, pace)
    }

    /// Reads a slot from the medium and holds it against `file` and what has to be around it.
    ///
    /// # Errors
    /// When it is not `file`, something around it is damaged, or it cannot be read.
    pub fn verify(
        &self,
        slot: Label,
        file: &release::File,
        pace: &mut dyn Pace,
    ) -> Result<Verified, SlotsError> {
        self.device(slot)
            .forget()
            .map_err(|source| SlotsError::Device { slot, source })?;
        if let Some(offset) = self.first_difference(slot, file.bytes, false)? {
            return Err(SlotsError::FileSystem { slot, offset });
        }
        if self.hash(slot, file.bytes, pace)? != file.sha256 {
            return Err(SlotsError::Digest { slot });
        }
        Ok(Verified { slot, file: *file })
    }

    /// The environment of the slot that runs, which is sound.
    pub(super) fn base(&self, pace: &mut dyn Pace) -> Result<Environment, SlotsError> {
        self.fit(self.running, self.known.as_ref(), pace)
    }

    /// The environment that gives the other slot its trial.
    pub(super) fn trial(&self, base: &Environment) -> Environment {
        let slot = self.running.other();
        Environment {
            state: State::Installed,
            ..slot.confirmed(base.revision.saturating_add(1), base.watchdog_seconds)
        }
    }

    fn destroy(&self, slot: Label) -> Result<(), SlotsError> {
        let device = self.device(slot);
        let nothing = [0; 512];
        device
            .write_at(&nothing, self.places.first_sector.start)
            .and_then(|()| device.write_at(&nothing, self.places.first_sector_copy.start))
            .and_then(|()| device.flush(Barrier::Destroyed))
            .map_err(|source| SlotsError::Device { slot, source })
    }

    fn copy(&self, file: &release::File, uki: &mut dyn Read, pace: &mut dyn Pace) -> Result<(), SlotsError> {
        let slot = self.running.other();
        let expected = file.bytes;
        let mut block = vec![0; BLOCK];
        let mut done = 0;
        loop {
            let length = fill(uki, &mut block).map_err(SlotsError::Source)?;
            let found = done + length as u64;
            if found > expected || (length < BLOCK && found < expected) {
                return Err(SlotsError::Length {
                    slot,
                    found: found.min(expected + 1),
                    expected,
                });
            }
            self.device(slot)
                .write_at(&block[..length], self.places.uki.start + done)
                .map_err(|source| SlotsError::Device { slot, source })?;
            done = found;
            if !pace.after(length as u64) {
                return Err(SlotsError::Interrupted);
            }
            if length < BLOCK {
                return Ok(());
            }
        }
    }
}

/// The boot sectors without the two that are written last.
fn hide(mut sectors: Vec<u8>, places: &Layout) -> Vec<u8> {
    for hidden in [&places.first_sector, &places.first_sector_copy] {
        let range = usize::try_from(hidden.start).unwrap_or(0)..usize::try_from(hidden.end).unwrap_or(0);
        if let Some(sector) = sectors.get_mut(range) {
            sector.fill(0);
        }
    }
    sectors
}

/// Reads until `block` is full or there is no more.
fn fill(uki: &mut dyn Read, block: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match uki.read(&mut block[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
