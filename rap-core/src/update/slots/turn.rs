//! Whose turn it is: a slot is armed for its trial, confirmed, or failed.
//!
//! A trial that was cut short is armed again by [`Slots::verify`] and [`Slots::arm`]; a person who wants the image back that ran
//! before asks for the same, and it has its trial like any other.

use crate::boot::disk::DiskError;
use crate::boot::environment::{Environment, State, with_revision, with_state};
use crate::boot::slot::{self, Label, SlotError};

use super::device::{Barrier, Device, settle};
use super::look::environment_file;
use super::pace::{AtOnce, Pace};
use super::{Slots, SlotsError, Verified};

impl<D: Device> Slots<D> {
    /// Arms the other slot: the next start is its one trial. Where firmware saw no file system, one sector does it.
    ///
    /// # Errors
    /// When the slot that runs is not fit to be fallen back to, or it is the one to be armed, or the disk fails.
    pub fn arm(&self, verified: &Verified, pace: &mut dyn Pace) -> Result<(), SlotsError> {
        let slot = self.running.other();
        if verified.slot != slot {
            return Err(SlotsError::Runs { slot: verified.slot });
        }
        let base = self.base(pace)?;
        let base = self.with_room_above(base)?;
        let wanted = self.trial(&base);
        let device = self.device(slot);
        let failed = |source| SlotsError::Device { slot, source };
        let volume = slot::around(verified.file.bytes, slot, &wanted)
            .map_err(|source| SlotsError::Layout { slot, source })?;
        // Half an environment does not count, so it need not be there before the boot sector, which leads the first extent.
        self.put(slot, &wanted)?;
        if let Some(sector) = volume.extents.first().and_then(|boot| boot.bytes.get(..512)) {
            settle(device, sector, self.places.first_sector_copy.start).map_err(failed)?;
            settle(device, sector, self.places.first_sector.start).map_err(failed)?;
        }
        device.flush(Barrier::Armed).map_err(failed)
    }

    /// Ends the trial of the slot that runs: it is the one to start from now on. One sector. What is confirmed stays so.
    ///
    /// # Errors
    /// When it is not on trial, its environment is damaged, or the disk fails.
    pub fn confirm(&self) -> Result<(), SlotsError> {
        let slot = self.running;
        let device = self.device(slot);
        let failed = |source| SlotsError::Device { slot, source };
        let damaged = |source| SlotsError::Environment { slot, source };
        let file = environment_file(device, &self.places).map_err(failed)?;
        let found = Environment::decode(&file).map_err(damaged)?;
        match found.state {
            State::Ok => {}
            State::Testing | State::Installed if found.revision > 0 => {
                let confirmed = with_state(&file, State::Ok).map_err(damaged)?;
                self.put_file(slot, &confirmed).map_err(failed)?;
            }
            state => return Err(SlotsError::NotOnTrial { slot, state }),
        }
        device.flush(Barrier::Confirmed).map_err(failed)
    }

    /// Takes a slot out of the loader's choice: it starts the other one, from the next start on. For the slot that runs this
    /// ends a trial, for the other one it takes back an update that was armed.
    ///
    /// # Errors
    /// When the other of the two is not fit to be fallen back to, or the disk fails.
    pub fn fail(&self, slot: Label) -> Result<(), SlotsError> {
        let known = self.known.as_ref().filter(|_| slot != self.running);
        self.fit(slot.other(), known, &mut AtOnce)?;
        self.put(slot, &self.failed(slot))?;
        self.device(slot)
            .flush(Barrier::Failed)
            .map_err(|source| SlotsError::Device { slot, source })
    }

    /// An environment that loses against every other.
    fn failed(&self, slot: Label) -> Environment {
        let watchdog = environment_file(self.device(slot), &self.places)
            .ok()
            .and_then(|file| Environment::decode(&file).ok())
            .map_or(0, |found| found.watchdog_seconds);
        Environment {
            watchdog_seconds: watchdog,
            ..slot.vacant()
        }
    }

    /// The environment of the slot that runs, with a revision that another one can be above. Only where it has the highest
    /// there is something is written: the other slot fails first, then revisions begin anew, in one sector.
    pub(super) fn with_room_above(&self, base: Environment) -> Result<Environment, SlotsError> {
        if base.revision < u32::MAX {
            return Ok(base);
        }
        let other = self.running.other();
        self.put(other, &self.failed(other))?;
        self.device(other)
            .flush(Barrier::Vacated)
            .map_err(|source| SlotsError::Device { slot: other, source })?;
        let slot = self.running;
        let failed = |source| SlotsError::Device { slot, source };
        let file = environment_file(self.device(slot), &self.places).map_err(failed)?;
        let anew = with_revision(&file, 1).map_err(|source| SlotsError::Environment { slot, source })?;
        self.put_file(slot, &anew).map_err(failed)?;
        self.device(slot).flush(Barrier::Renumbered).map_err(failed)?;
        Ok(Environment { revision: 1, ..base })
    }

    /// Makes a slot's environment be `wanted`; says whether it was written. One that means the same already stays.
    pub(super) fn put(&self, slot: Label, wanted: &Environment) -> Result<bool, SlotsError> {
        let found = environment_file(self.device(slot), &self.places);
        if found.is_ok_and(|file| Environment::decode(&file).as_ref() == Ok(wanted)) {
            return Ok(false);
        }
        let file = wanted.encode().map_err(|source| SlotsError::Layout {
            slot,
            source: SlotError::Environment(source),
        })?;
        self.put_file(slot, &file)
            .map_err(|source| SlotsError::Device { slot, source })
    }

    fn put_file(&self, slot: Label, file: &[u8]) -> Result<bool, DiskError> {
        settle(self.device(slot), file, self.places.environment.start)
    }
}
