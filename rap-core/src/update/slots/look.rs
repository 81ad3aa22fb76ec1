//! What a slot says of itself, and whether it can be relied upon.

use std::io::{self, Read, Seek, SeekFrom};

use crate::boot::disk::DiskError;
use crate::boot::environment::{self, Environment, EnvironmentError, State};
use crate::boot::slot::{self, Label, Layout, SlotError};
use crate::boot::uki::{HEAD, Headers, LONGEST, Release, UkiError};
use crate::digest::{Hasher, Sha256};
use crate::release;

use super::device::Device;
use super::pace::Pace;
use super::{Slots, SlotsError, Unfit};

/// Bytes read at once where a whole UKI is.
pub(super) const BLOCK: usize = 1 << 20;

/// What is in a slot.
#[derive(Debug)]
pub struct View {
    /// Whether firmware sees a file system there: the last sector that an update writes.
    pub visible: bool,
    /// The loader's environment.
    pub environment: Result<Environment, Damage>,
    /// The UKI, as far as its headers say.
    pub uki: Result<Program, Damage>,
}

/// A UKI by what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// How long it is.
    pub bytes: u64,
    /// Which image it is.
    pub release: Release,
}

/// What is wrong with a part of a slot.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The disk does not give it.
    #[error("it cannot be read")]
    Unreadable(#[from] DiskError),
    /// It is no environment.
    #[error("its environment is damaged")]
    Environment(#[from] EnvironmentError),
    /// It is no UKI.
    #[error("its image is none of ours")]
    Uki(#[from] UkiError),
}

impl<D: Device> Slots<D> {
    /// The slot that holds the image `build_id`, which runs. When both do, the one that the loader prefers.
    ///
    /// # Errors
    /// When neither does.
    pub fn with_build_id(devices: &[D; 2], build_id: &str) -> Result<Label, SlotsError> {
        let places = beginnings()?;
        let holds = |label: &Label| {
            uki(&devices[*label as usize], &places).is_ok_and(|found| found.release.build_id == build_id)
        };
        let revision = |label: &Label| {
            environment(&devices[*label as usize], &places).map_or(0, |environment| environment.revision)
        };
        Label::ALL
            .into_iter()
            .filter(holds)
            .max_by_key(revision)
            .ok_or_else(|| SlotsError::NotFromHere {
                build_id: build_id.to_owned(),
            })
    }

    /// What is in a slot.
    #[must_use]
    pub fn look(&self, slot: Label) -> View {
        let device = self.device(slot);
        View {
            visible: is_visible(device),
            environment: environment(device, &self.places),
            uki: uki(device, &self.places),
        }
    }

    /// The UKI of a slot, `bytes` long, to be read.
    ///
    /// # Errors
    /// When no slot has room for that.
    pub fn reader(&self, slot: Label, bytes: u64) -> Result<Reader<&D>, SlotsError> {
        Reader::new(self.device(slot), bytes).map_err(|source| SlotsError::Layout { slot, source })
    }

    /// What file the UKI of a slot is, all of it read from the medium.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&self, slot: Label, pace: &mut dyn Pace) -> Result<release::File, SlotsError> {
        let failed = |source| SlotsError::Device { slot, source };
        let device = self.device(slot);
        let found = uki(device, &self.places).map_err(|_| SlotsError::Unfit {
            slot,
            why: Unfit::Uki,
        })?;
        device.forget().map_err(failed)?;
        let bytes = found.bytes;
        let sha256 = self.hash(slot, bytes, pace)?;
        Ok(release::File { bytes, sha256 })
    }

    pub(super) fn hash(&self, slot: Label, bytes: u64, pace: &mut dyn Pace) -> Result<Sha256, SlotsError> {
        let layout = Layout::of(bytes).map_err(|source| SlotsError::Layout { slot, source })?;
        let mut hash = Hasher::new();
        let mut block = vec![0; BLOCK];
        let mut at = layout.uki.start;
        while at < layout.uki.end {
            let length = block
                .len()
                .min(usize::try_from(layout.uki.end - at).unwrap_or(BLOCK));
            self.device(slot)
                .read_at(&mut block[..length], at)
                .map_err(|source| SlotsError::Device { slot, source })?;
            hash.update(&block[..length]);
            at += length as u64;
            if !pace.after(length as u64) {
                return Err(SlotsError::Interrupted);
            }
        }
        Ok(hash.finish())
    }

    /// The environment of a slot that can be relied upon: the loader starts it whatever becomes of the other.
    ///
    /// # Errors
    /// [`SlotsError::Unfit`], and when it cannot be read.
    pub(super) fn fit(
        &self,
        slot: Label,
        known: Option<&release::File>,
        pace: &mut dyn Pace,
    ) -> Result<Environment, SlotsError> {
        let refuse = |why| SlotsError::Unfit { slot, why };
        let device = self.device(slot);
        let environment = environment(device, &self.places).map_err(|_| refuse(Unfit::Environment))?;
        if environment.state != State::Ok || environment.in_progress || environment.revision == 0 {
            return Err(refuse(Unfit::State(environment.state)));
        }
        if environment.kernel_file != slot.kernel_file() {
            return Err(refuse(Unfit::Starts(environment.kernel_file)));
        }
        let bytes = match known {
            Some(file) => file.bytes,
            None => uki(device, &self.places).map_err(|_| refuse(Unfit::Uki))?.bytes,
        };
        if let Some(offset) = self.first_difference(slot, bytes, true)? {
            return Err(refuse(Unfit::FileSystem(offset)));
        }
        if let Some(file) = known
            && self.hash(slot, bytes, pace)? != file.sha256
        {
            return Err(refuse(Unfit::Uki));
        }
        Ok(environment)
    }

    /// The first byte of a slot's file system that is not as it is computed, besides what is the loader's and the
    /// firmware's; without the boot sector when not `visible`.
    pub(super) fn first_difference(
        &self,
        slot: Label,
        bytes: u64,
        visible: bool,
    ) -> Result<Option<u64>, SlotsError> {
        let device = self.device(slot);
        for extent in around(slot, bytes, visible)? {
            let mut found = vec![0; extent.bytes.len()];
            device
                .read_at(&mut found, extent.offset)
                .map_err(|source| SlotsError::Device { slot, source })?;
            let mut wanted = extent.bytes;
            tolerate(bytes, extent.offset, &mut wanted, &found, slot)?;
            if found == wanted {
                continue;
            }
            let differs = found
                .iter()
                .zip(&wanted)
                .position(|(found, wanted)| found != wanted);
            return Ok(Some(extent.offset + differs.unwrap_or(0) as u64));
        }
        Ok(None)
    }
}

/// Bytes that a slot has to have somewhere.
pub(super) struct Wanted {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Everything of a slot but UKI and environment; without boot sector and copy when not `visible`.
pub(super) fn around(slot: Label, bytes: u64, visible: bool) -> Result<Vec<Wanted>, SlotsError> {
    let wrap = |source| SlotsError::Layout { slot, source };
    let layout = Layout::of(bytes).map_err(wrap)?;
    let volume = slot::around(bytes, slot, &slot.vacant()).map_err(wrap)?;
    let mut wanted = Vec::new();
    for extent in volume.extents {
        if extent.offset == layout.environment.start {
            continue;
        }
        let mut pieces = vec![(extent.offset, extent.bytes.as_ref())];
        if extent.offset == 0 && !visible {
            // The boot sectors: in pieces, without the two that are written last.
            let cut = |from: u64, to: u64| {
                let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
                extent
                    .bytes
                    .get(from..to.min(extent.bytes.len()))
                    .unwrap_or_default()
            };
            let copy = &layout.first_sector_copy;
            pieces = vec![
                (layout.first_sector.end, cut(layout.first_sector.end, copy.start)),
                (copy.end, cut(copy.end, u64::MAX)),
            ];
        }
        wanted.extend(pieces.into_iter().map(|(offset, bytes)| Wanted {
            offset,
            bytes: bytes.to_vec(),
        }));
    }
    Ok(wanted)
}

/// Takes over into `wanted`, which is for `offset`, what firmware's driver may have changed in `found`.
pub(super) fn tolerate(
    uki_bytes: u64,
    offset: u64,
    wanted: &mut [u8],
    found: &[u8],
    slot: Label,
) -> Result<(), SlotsError> {
    let volatile = slot::volatile(uki_bytes).map_err(|source| SlotsError::Layout { slot, source })?;
    for at in volatile.into_iter().flatten() {
        let place = at.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(place) = place
            && let (Some(wanted), Some(found)) = (wanted.get_mut(place), found.get(place))
        {
            *wanted = *found;
        }
    }
    Ok(())
}

/// Whether firmware sees a file system: the boot sector has its mark.
pub(super) fn is_visible(device: &impl Device) -> bool {
    let mut sector = [0; 512];
    device.read_at(&mut sector, 0).is_ok() && sector[510..] == [0x55, 0xaa]
}

/// The layout of the smallest UKI: where everything begins does not depend on how long it is.
pub(super) fn beginnings() -> Result<Layout, SlotsError> {
    let slot = Label::A;
    Layout::of(1).map_err(|source| SlotsError::Layout { slot, source })
}

pub(super) fn environment_file(device: &impl Device, places: &Layout) -> Result<Vec<u8>, DiskError> {
    let mut file = vec![0; environment::LENGTH];
    device.read_at(&mut file, places.environment.start)?;
    Ok(file)
}

fn environment(device: &impl Device, places: &Layout) -> Result<Environment, Damage> {
    Ok(Environment::decode(&environment_file(device, places)?)?)
}

fn uki(device: &impl Device, places: &Layout) -> Result<Program, Damage> {
    let start = places.uki.start;
    let mut head = [0; HEAD];
    device.read_at(&mut head, start)?;
    let headers = Headers::parse(&head)?;
    // A UKI that no slot can hold was never put into one.
    Layout::of(headers.bytes).map_err(|_| UkiError::NotPe("longer than a slot has room for"))?;
    let length = usize::try_from(headers.release.end - headers.release.start).unwrap_or(0);
    let mut content = vec![0; length];
    device.read_at(&mut content, start + headers.release.start)?;
    Ok(Program {
        bytes: headers.bytes,
        release: Release::parse(&content)?,
    })
}

/// A UKI, read from its slot.
#[derive(Debug)]
pub struct Reader<D> {
    device: D,
    start: u64,
    at: u64,
    bytes: u64,
}

impl<D: Device> Reader<D> {
    /// The UKI of `bytes` bytes of the slot on `device`.
    ///
    /// # Errors
    /// When no slot has room for that.
    pub fn new(device: D, bytes: u64) -> Result<Self, SlotError> {
        Ok(Self {
            device,
            start: Layout::of(bytes)?.uki.start,
            at: 0,
            bytes,
        })
    }
}

impl<D: Device> Read for Reader<D> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = bytes.len().min(left);
        self.device
            .read_at(&mut bytes[..length], self.start + self.at)
            .map_err(io::Error::other)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl<D: Device> Seek for Reader<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
        };
        // So that the offset on the device cannot overflow.
        let at = at.filter(|at| *at <= LONGEST);
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
