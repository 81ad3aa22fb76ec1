//! A slot: a FAT32 file system with `EFILABEL`, `BGENV.DAT` and `RAP.EFI`, as a pure function of the UKI, the label
//! and the environment.
//!
//! Where things lie depends only on the UKI's length, so the box, which has no FAT driver, knows every offset:
//!
//! * Arming: while [`Layout::first_sector`] is not a boot sector the firmware sees no file system in the slot. An
//!   update destroys it first, writes everything else, and writes it back as the very last.
//! * Confirming: the sector with the state, then the sector with the checksum. A cut between the two makes the
//!   environment invalid, which counts as an interrupted trial.
//! * Scrubbing compares [`Layout::uki`] alone: Boot Guard itself rewrites `BGENV.DAT` in place, and its time stamp.

use std::ops::Range;

use super::disk::{Place, SLOT_BYTES};
use super::environment::{CRC_AT, Environment, EnvironmentError, LENGTH, STATE_AT};
use super::fat::{self, FatError, File, Volume};
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
    /// `BGENV.DAT`.
    pub environment: Range<u64>,
    /// The sector of `BGENV.DAT` with the state.
    pub state_sector: Range<u64>,
    /// The sector of `BGENV.DAT` with the checksum.
    pub checksum_sector: Range<u64>,
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
        let files = [
            (LABEL_FILE, LABEL_BYTES),
            (ENVIRONMENT_FILE, length),
            (UKI_FILE, uki_bytes),
        ];
        let places = fat::places(SLOT_BYTES, &files).map_err(SlotError::FileSystem)?;
        let (environment, uki) = (places[1], places[2]);
        let sector_with = |at: usize| {
            let start = environment + at as u64 / SECTOR * SECTOR;
            start..start + SECTOR
        };
        Ok(Self {
            first_sector: 0..SECTOR,
            environment: environment..environment + length,
            state_sector: sector_with(STATE_AT),
            checksum_sector: sector_with(CRC_AT),
            uki: uki..uki + uki_bytes,
        })
    }
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
            assert_eq!(layout.state_sector.start, layout.environment.start + 512);
            assert_eq!(layout.checksum_sector.start, layout.environment.start + 132_096);
            assert_eq!(at(0)[510..512], [0x55, 0xaa]);
        }
    }

    #[test]
    fn confirming_changes_two_sectors_and_nothing_else() {
        let uki = vec![1; 10_000];
        let confirmed = Label::A.confirmed(3, 60);
        let testing = Environment {
            state: environment::State::Testing,
            ..confirmed.clone()
        };
        let layout = Layout::of(10_000).unwrap();
        let before = flat(&slot_image(&uki, Label::A, &testing).unwrap());
        let after = flat(&slot_image(&uki, Label::A, &confirmed).unwrap());
        let changed: Vec<u64> = (0..before.len())
            .filter(|&at| before[at] != after[at])
            .map(|at| at as u64 / 512 * 512)
            .collect();
        assert!(!changed.is_empty());
        assert!(
            changed
                .iter()
                .all(|at| [layout.state_sector.start, layout.checksum_sector.start].contains(at))
        );
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
