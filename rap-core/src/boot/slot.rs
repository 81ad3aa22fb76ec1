//! A slot: a FAT32 file system with `EFILABEL`, `BGENV.DAT` and `RAP.EFI`, as a pure function of the UKI, the label
//! and the environment.
//!
//! Where things lie depends only on the UKI's length, so the box, which has no FAT driver, knows every offset:
//!
//! * Arming: while [`Layout::first_sector`] is not a boot sector the firmware sees no file system in the slot. An
//!   update destroys it first, writes everything else, and writes it back as the very last.
//! * Confirming: one sector, the one with the state ([`environment::with_state`]).
//! * Scrubbing: the UKI by its digest; everything else is computed again ([`around`]). Boot Guard rewrites `BGENV.DAT` in
//!   place, and firmware's file system driver keeps its time stamps and hints: those may differ ([`volatile`]).

use std::ops::Range;

use super::disk::{Place, SLOT_BYTES};
use super::environment::{Environment, EnvironmentError, LENGTH};
use super::fat::{self, Extent, FatError, File, Volume};
use super::{SECTOR, environment};

const LABEL_FILE: &str = "EFILABEL";
const ENVIRONMENT_FILE: &str = "BGENV.DAT";
const UKI_FILE: &str = "RAP.EFI";
/// Bytes of `EFILABEL`: five UTF-16 units without an end.
const LABEL_BYTES: u64 = 10;

/// Which slot. Installer media must use other labels: Boot Guard finds the kernel by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// The first.
    A,
    /// The second.
    B,
}

impl Label {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// What `EFILABEL` holds.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::A => "RAP_A",
            Self::B => "RAP_B",
        }
    }

    /// Its partition.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Self::A => Place::SlotA,
            Self::B => Place::SlotB,
        }
    }

    /// The environment's `kernelfile` for this slot.
    #[must_use]
    pub fn kernel_file(self) -> String {
        format!("C:{}:{UKI_FILE}", self.text())
    }

    /// The environment of a freshly flashed, confirmed slot.
    #[must_use]
    pub fn confirmed(self, revision: u32, watchdog_seconds: u16) -> Environment {
        Environment {
            kernel_file: self.kernel_file(),
            kernel_parameters: String::new(),
            in_progress: false,
            state: environment::State::Ok,
            watchdog_seconds,
            revision,
        }
    }

    /// The environment of a slot that was never written: it loses against every other, and Boot Guard, which wants
    /// two environments, has nothing to warn of.
    #[must_use]
    pub fn vacant(self) -> Environment {
        Environment {
            state: environment::State::Failed,
            ..self.confirmed(0, 0)
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.text().encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn serial(self) -> u32 {
        match self {
            Self::A => 0x5241_500a,
            Self::B => 0x5241_500b,
        }
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// Why a slot cannot be made or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    /// The UKI does not fit.
    #[error("the UKI does not fit into a slot")]
    FileSystem(#[source] FatError),
    /// The environment cannot be written.
    #[error("the slot's environment cannot be written")]
    Environment(#[source] EnvironmentError),
}

/// Byte ranges of a slot, from its partition's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The boot sector, which arms the slot.
    pub first_sector: Range<u64>,
    /// Its copy, which a driver may turn to.
    pub first_sector_copy: Range<u64>,
    /// Where `EFILABEL` begins.
    pub label: u64,
    /// `BGENV.DAT`.
    pub environment: Range<u64>,
    /// `RAP.EFI`.
    pub uki: Range<u64>,
}

impl Layout {
    /// The layout of a slot whose UKI has `uki_bytes` bytes.
    ///
    /// # Errors
    /// When the UKI does not fit into a slot.
    pub fn of(uki_bytes: u64) -> Result<Self, SlotError> {
        let length = LENGTH as u64;
        let places = fat::places(SLOT_BYTES, &files(uki_bytes)).map_err(SlotError::FileSystem)?;
        let (environment, uki) = (places[1], places[2]);
        Ok(Self {
            first_sector: 0..SECTOR,
            first_sector_copy: fat::BOOT_COPY * SECTOR..(fat::BOOT_COPY + 1) * SECTOR,
            label: places[0],
            environment: environment..environment + length,
            uki: uki..uki + uki_bytes,
        })
    }
}

fn files(uki_bytes: u64) -> [(&'static str, u64); 3] {
    [
        (LABEL_FILE, LABEL_BYTES),
        (ENVIRONMENT_FILE, LENGTH as u64),
        (UKI_FILE, uki_bytes),
    ]
}

/// Everything of a slot but its UKI: what a box writes and mends around a UKI that it need not have in memory.
///
/// # Errors
/// As [`slot_image`].
pub fn around(uki_bytes: u64, label: Label, environment: &Environment) -> Result<Volume<'static>, SlotError> {
    let layout = Layout::of(uki_bytes)?;
    let environment = environment.encode().map_err(SlotError::Environment)?;
    let mut volume =
        fat::frame(SLOT_BYTES, label.serial(), &files(uki_bytes)).map_err(SlotError::FileSystem)?;
    volume.extents.extend([
        Extent {
            offset: layout.label,
            bytes: label.bytes().into(),
        },
        Extent {
            offset: layout.environment.start,
            bytes: environment.into(),
        },
    ]);
    Ok(volume)
}

/// The bytes of [`around`] that firmware's driver changes by itself when Boot Guard writes its environment.
///
/// # Errors
/// When the UKI does not fit.
pub fn volatile(uki_bytes: u64) -> Result<Vec<Range<u64>>, SlotError> {
    fat::volatile(SLOT_BYTES, &files(uki_bytes), 1).map_err(SlotError::FileSystem)
}

/// The whole slot.
///
/// # Errors
/// When the UKI does not fit or the environment cannot be written.
pub fn slot_image<'a>(
    uki: &'a [u8],
    label: Label,
    environment: &Environment,
) -> Result<Volume<'a>, SlotError> {
    let environment = environment.encode().map_err(SlotError::Environment)?;
    let files = vec![
        File {
            path: LABEL_FILE,
            content: label.bytes().into(),
        },
        File {
            path: ENVIRONMENT_FILE,
            content: environment.into(),
        },
        File {
            path: UKI_FILE,
            content: uki.into(),
        },
    ];
    fat::compose(SLOT_BYTES, label.serial(), files).map_err(SlotError::FileSystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_where_the_bytes_are() {
        for size in [1, 4096, 57_000_001_usize] {
            let uki = vec![0x5a; size];
            let environment = Label::B.confirmed(7, 60);
            let volume = slot_image(&uki, Label::B, &environment).unwrap();
            let layout = Layout::of(size as u64).unwrap();
            let at = |offset: u64| {
                &*volume
                    .extents
                    .iter()
                    .find(|extent| extent.offset == offset)
                    .unwrap()
                    .bytes
            };
            assert_eq!(at(layout.uki.start), uki);
            let found = Environment::decode(at(layout.environment.start)).unwrap();
            assert_eq!(found, environment);
            assert_eq!(found.kernel_file, "C:RAP_B:RAP.EFI");
            assert_eq!(at(0)[510..512], [0x55, 0xaa]);
        }
    }

    #[test]
    fn a_slot_is_what_is_around_its_uki_and_the_uki() {
        let uki = vec![1; 10_000];
        let environment = Label::A.confirmed(3, 60);
        let mut around = around(10_000, Label::A, &environment).unwrap();
        around.extents.push(Extent {
            offset: Layout::of(10_000).unwrap().uki.start,
            bytes: uki.clone().into(),
        });
        assert!(flat(&around) == flat(&slot_image(&uki, Label::A, &environment).unwrap()));
    }

    #[test]
    fn a_uki_larger_than_the_slot_is_refused() {
        assert!(matches!(
            Layout::of(SLOT_BYTES),
            Err(SlotError::FileSystem(FatError::Full { .. }))
        ));
    }

    fn flat(volume: &Volume<'_>) -> Vec<u8> {
        let mut bytes = vec![0; 4 << 20];
        for extent in &volume.extents {
            let at = usize::try_from(extent.offset).unwrap();
            bytes[at..at + extent.bytes.len()].copy_from_slice(&extent.bytes);
        }
        bytes
    }
}
