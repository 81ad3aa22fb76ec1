//! What is in the slots, and writing, arming, confirming and mending them.
//!
//! * [`device`]: what a slot is on: a partition, or a test's disk that loses power.
//! * `look`: what a slot says of itself.
//! * `write`: a new UKI into the slot that does not run.
//! * `turn`: which slot is started next: arm, confirm, fail.
//! * [`keep`]: compressed copies of UKIs on the data partition.
//! * [`mend`]: finding what rotted, and mending it.
//!
//! Invariants, each held by the simulator in `tests` at every write and flush, with what was not flushed lost, kept or torn
//! by sectors in any order:
//!
//! * At every moment the loader starts a whole UKI. The slot that runs is written to by one sector at a time.
//! * What was confirmed is started until something newer was armed; what was armed gets its trial; what failed is
//!   not started again.
//! * What is done twice, or done again after a power cut, ends the same.
//!
//! What would leave the box without a slot to start is refused: the other slot is written only while this one is
//! confirmed and sound.

pub mod device;
pub mod keep;
mod look;
pub mod mend;
pub mod pace;
#[cfg(test)]
mod tests;
mod turn;
mod write;

pub use look::{Damage, Program, Reader, View};
pub use write::Verified;

use crate::boot::disk::{DiskError, SLOT_BYTES};
use crate::boot::environment::{EnvironmentError, State};
use crate::boot::slot::{Label, Layout, SlotError};
use crate::release;

use device::Device;

/// Both slots, and which of them runs.
#[derive(Debug)]
pub struct Slots<D> {
    devices: [D; 2],
    running: Label,
    known: Option<release::File>,
    /// Where things begin, which does not depend on the UKI.
    places: Layout,
}

/// What stops work on the slots. Whatever it is, the box starts what it started before.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// Reading or writing failed.
    #[error("slot {slot} cannot be read or written")]
    Device {
        /// Which.
        slot: Label,
        /// Why.
        #[source]
        source: DiskError,
    },
    /// The partition is too small.
    #[error(
        "slot {slot} has {found} bytes, expected {SLOT_BYTES} or more: this disk was not made by rap-image"
    )]
    TooSmall {
        /// Which.
        slot: Label,
        /// Its bytes.
        found: u64,
    },
    /// Nobody knows which slot runs.
    #[error(
        "neither slot has the image that runs, {build_id:.12}: it was started from somewhere else, and updating it would do \
         nothing. Flash this disk, or start from it"
    )]
    NotFromHere {
        /// What runs.
        build_id: String,
    },
    /// The slot that is to be relied upon cannot be.
    #[error("slot {slot} is not fit to be fallen back to: {why}. Nothing was changed")]
    Unfit {
        /// Which.
        slot: Label,
        /// What is wrong with it.
        why: Unfit,
    },
    /// The UKI does not fit, or the environment cannot be written.
    #[error("slot {slot} cannot hold that")]
    Layout {
        /// Which.
        slot: Label,
        /// Why.
        #[source]
        source: SlotError,
    },
    /// The new UKI could not be read.
    #[error("the new image cannot be read")]
    Source(#[source] std::io::Error),
    /// The new UKI is not what it should be.
    #[error("the new image has {found} bytes, its manifest says {expected}: slot {slot} stays empty")]
    Length {
        /// Which slot.
        slot: Label,
        /// Bytes there were, at most one more than expected.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// What was read back is not what the manifest says.
    #[error("slot {slot} does not hold what its manifest says: the disk did not keep it, or it was changed")]
    Digest {
        /// Which.
        slot: Label,
    },
    /// The file system around the UKI is not as it should be.
    #[error("the file system of slot {slot} is damaged at byte {offset}")]
    FileSystem {
        /// Which.
        slot: Label,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// The environment of the slot that runs is of no use.
    #[error("the environment of slot {slot} is damaged")]
    Environment {
        /// Which.
        slot: Label,
        /// Why.
        #[source]
        source: EnvironmentError,
    },
    /// The slot that runs is not armed, nor written to.
    #[error("slot {slot} runs: it is the other one that is armed")]
    Runs {
        /// Which.
        slot: Label,
    },
    /// There is no trial to be confirmed.
    #[error("slot {slot} is not on trial: its state is {state:?}")]
    NotOnTrial {
        /// Which.
        slot: Label,
        /// How it is instead.
        state: State,
    },
    /// Somebody wants it to end.
    #[error("interrupted")]
    Interrupted,
}

/// Why a slot cannot be relied upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its environment cannot be read.
    #[error("its environment is damaged")]
    Environment,
    /// Its environment says that it was not confirmed.
    #[error("its state is {0:?}, expected Ok")]
    State(State),
    /// Its environment would not start it.
    #[error("its environment starts `{0}`")]
    Starts(String),
    /// The file system is not as it should be.
    #[error("its file system is damaged at byte {0}")]
    FileSystem(u64),
    /// Its UKI is not whole.
    #[error("its image is damaged")]
    Uki,
}

impl<D: Device> Slots<D> {
    /// The slots on these partitions, of which the one labelled `running` runs. `known` is what is in that one, when it
    /// is known: then it is held against that before it is relied upon.
    ///
    /// # Errors
    /// When a partition cannot be a slot.
    pub fn new(devices: [D; 2], running: Label, known: Option<release::File>) -> Result<Self, SlotsError> {
        for (device, slot) in devices.iter().zip(Label::ALL) {
            let found = device
                .length()
                .map_err(|source| SlotsError::Device { slot, source })?;
            if found < SLOT_BYTES {
                return Err(SlotsError::TooSmall { slot, found });
            }
        }
        Ok(Self {
            devices,
            running,
            known,
            places: look::beginnings()?,
        })
    }

    /// The slot that runs.
    #[must_use]
    pub fn running(&self) -> Label {
        self.running
    }

    /// Says what is in the slot that runs, once it is known.
    pub fn know(&mut self, file: release::File) {
        self.known = Some(file);
    }

    fn device(&self, slot: Label) -> &D {
        &self.devices[slot as usize]
    }
}
