//! EFI Boot Guard's environment: the file `BGENV.DAT` of a slot (the packed `BG_ENVDATA` of its `envdata.h`).
//!
//! ```text
//!      0  kernelfile            255 UTF-16LE units, ended by 0
//!    510  kernelparams          255 UTF-16LE units, ended by 0
//!   1020  in_progress           u8
//!   1021  ustate                u8
//!   1022  watchdog timeout      u16, seconds; 0 is no watchdog
//!   1024  revision              u32
//!   1028  user data             131,072 bytes
//! 132100  CRC-32 of all before  u32
//! ```
//!
//! All numbers are little-endian. Boot Guard boots the slot with the highest revision among those whose CRC is right.
//!
//! State and revision can each be changed by writing **one sector** ([`with_state`], [`with_revision`]): four bytes of
//! the same sector that mean nothing, behind the end of a text or far into the user data, are chosen such that the CRC
//! at the file's end stays as it is. So there is no moment at which a power cut leaves an environment that is invalid.

use crc::{CRC_32_ISO_HDLC, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// The CRC's polynomial, least significant bit first.
const POLYNOMIAL: u32 = 0xedb8_8320;

const TEXT: usize = 255;
const PARAMETERS_AT: usize = 510;
const IN_PROGRESS_AT: usize = 1020;
const TIMEOUT_AT: usize = 1022;
const REVISION_AT: usize = 1024;
const USER_DATA_AT: usize = 1028;
const USER_DATA: usize = 131_072;

/// Four bytes of the state's sector: the last units but two of `kernelparams`.
const STATE_SPARE_AT: usize = 1012;
/// Four bytes of the revision's sector: its last. The user data are a list that is empty while its first byte is 0.
const REVISION_SPARE_AT: usize = 1532;

/// Where the state is in the file, in bytes.
pub const STATE_AT: usize = 1021;
/// Where the checksum is in the file, in bytes.
pub const CRC_AT: usize = USER_DATA_AT + USER_DATA;
/// How long the file is, in bytes.
pub const LENGTH: usize = CRC_AT + 4;

/// What is wrong with an environment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// Not the length of an environment.
    #[error("BGENV.DAT has {0} bytes, not {LENGTH}")]
    Length(usize),
    /// The checksum does not match.
    #[error(
        "the checksum of BGENV.DAT is {found:08x}, computed {computed:08x}: it was damaged or half written"
    )]
    Checksum {
        /// As the file says.
        found: u32,
        /// As computed over the file.
        computed: u32,
    },
    /// A state Boot Guard does not know.
    #[error("BGENV.DAT has the state {0}, which is none of 0 to 4")]
    State(u8),
    /// A text is not UTF-16 ended by 0.
    #[error("the {0} of BGENV.DAT is not UTF-16 text ended by 0")]
    Text(&'static str),
    /// The kernel's parameters leave no room for what keeps the checksum.
    #[error("the kernelparams of BGENV.DAT are too long: its state cannot be changed in one sector")]
    NoSpare,
    /// A text does not fit.
    #[error("the {0} of BGENV.DAT is longer than 254 UTF-16 units or has a 0 in it")]
    TooLong(&'static str),
}

/// How far a slot's trial is (`ustate_t` in `envdata.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Confirmed.
    Ok = 0,
    /// Written; the next boot is its one trial.
    Installed = 1,
    /// In its trial.
    Testing = 2,
    /// Its trial failed.
    Failed = 3,
    /// Boot Guard could not tell.
    Unknown = 4,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// What to boot, e.g. `C:RAP_A:RAP.EFI`: the file `RAP.EFI` on the file system labelled `RAP_A`.
    pub kernel_file: String,
    /// Load options handed to it.
    pub kernel_parameters: String,
    /// Whether someone is writing it; such an environment is not booted.
    pub in_progress: bool,
    /// How far its trial is.
    pub state: State,
    /// Seconds until the armed watchdog resets the machine; 0 arms none.
    pub watchdog_seconds: u16,
    /// The highest wins; 0 never wins against another.
    pub revision: u32,
}

impl Environment {
    /// The whole file.
    ///
    /// # Errors
    /// When a text has more than 254 UTF-16 units or contains a 0.
    pub fn encode(&self) -> Result<Vec<u8>, EnvironmentError> {
        let mut bytes = vec![0; LENGTH];
        put_text(&mut bytes[..PARAMETERS_AT], &self.kernel_file, "kernelfile")?;
        put_text(
            &mut bytes[PARAMETERS_AT..IN_PROGRESS_AT],
            &self.kernel_parameters,
            "kernelparams",
        )?;
        bytes[IN_PROGRESS_AT] = self.in_progress.into();
        bytes[STATE_AT] = self.state as u8;
        bytes[TIMEOUT_AT..REVISION_AT].copy_from_slice(&self.watchdog_seconds.to_le_bytes());
        bytes[REVISION_AT..USER_DATA_AT].copy_from_slice(&self.revision.to_le_bytes());
        let checksum = CRC.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// Reads a whole file. The user data are skipped: this project writes none.
    ///
    /// # Errors
    /// When the length, the checksum, the state or a text is not what Boot Guard would accept.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvironmentError> {
        let Ok(bytes) = <&[u8; LENGTH]>::try_from(bytes) else {
            return Err(EnvironmentError::Length(bytes.len()));
        };
        let found = u32::from_le_bytes(array(bytes, CRC_AT));
        let computed = CRC.checksum(&bytes[..CRC_AT]);
        if found != computed {
            return Err(EnvironmentError::Checksum { found, computed });
        }
        Ok(Self {
            kernel_file: text(&bytes[..PARAMETERS_AT], "kernelfile")?,
            kernel_parameters: text(&bytes[PARAMETERS_AT..IN_PROGRESS_AT], "kernelparams")?,
            in_progress: bytes[IN_PROGRESS_AT] != 0,
            state: State::try_from(bytes[STATE_AT])?,
            watchdog_seconds: u16::from_le_bytes(array(bytes, TIMEOUT_AT)),
            revision: u32::from_le_bytes(array(bytes, REVISION_AT)),
        })
    }
}

/// The sound environment `file` with another state: the same but for one sector, and with the same checksum.
///
/// # Errors
/// When `file` is no sound environment, or its texts leave no room.
pub fn with_state(file: &[u8], state: State) -> Result<Vec<u8>, EnvironmentError> {
    let parameters = Environment::decode(file)?.kernel_parameters;
    if PARAMETERS_AT + 2 * (parameters.encode_utf16().count() + 1) > STATE_SPARE_AT {
        return Err(EnvironmentError::NoSpare);
    }
    let mut bytes = file.to_vec();
    bytes[STATE_AT] = state as u8;
    keep_checksum(&mut bytes, STATE_SPARE_AT);
    Ok(bytes)
}

/// The sound environment `file` with another revision: the same but for one sector, and with the same checksum.
///
/// # Errors
/// When `file` is no sound environment.
pub fn with_revision(file: &[u8], revision: u32) -> Result<Vec<u8>, EnvironmentError> {
    Environment::decode(file)?;
    let mut bytes = file.to_vec();
    bytes[REVISION_AT..USER_DATA_AT].copy_from_slice(&revision.to_le_bytes());
    keep_checksum(&mut bytes, REVISION_SPARE_AT);
    Ok(bytes)
}

/// Sets the four bytes at `spare` so that the checksum at the end is right again.
///
/// A CRC's register can be run backwards: from the checksum to behind the spare bytes, and over four zeros to before
/// them. What that differs from the register there is what the four bytes have to be.
fn keep_checksum(bytes: &mut [u8], spare: usize) {
    let mut wanted = [0; 4];
    wanted.copy_from_slice(&bytes[CRC_AT..]);
    let mut register = !u32::from_le_bytes(wanted);
    for &byte in bytes[spare + 4..CRC_AT].iter().rev() {
        register = back_over_zero(register) ^ u32::from(byte);
    }
    for _ in 0..4 {
        register = back_over_zero(register);
    }
    let before = !CRC.checksum(&bytes[..spare]);
    bytes[spare..spare + 4].copy_from_slice(&(register ^ before).to_le_bytes());
}

/// The register that a byte of 0 made `register` of.
fn back_over_zero(register: u32) -> u32 {
    (0..8).fold(register, |register, _| {
        if register & 0x8000_0000 == 0 {
            register << 1
        } else {
            (register ^ POLYNOMIAL) << 1 | 1
        }
    })
}

impl TryFrom<u8> for State {
    type Error = EnvironmentError;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        [
            Self::Ok,
            Self::Installed,
            Self::Testing,
            Self::Failed,
            Self::Unknown,
        ]
        .into_iter()
        .find(|state| *state as u8 == value)
        .ok_or(EnvironmentError::State(value))
    }
}

fn put_text(field: &mut [u8], text: &str, name: &'static str) -> Result<(), EnvironmentError> {
    let units: Vec<u16> = text.encode_utf16().collect();
    if units.len() >= TEXT || units.contains(&0) {
        return Err(EnvironmentError::TooLong(name));
    }
    for (place, unit) in field.chunks_exact_mut(2).zip(units) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    Ok(())
}

fn text(field: &[u8], name: &'static str) -> Result<String, EnvironmentError> {
    let units: Vec<u16> = field
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let end = units
        .iter()
        .position(|&unit| unit == 0)
        .ok_or(EnvironmentError::Text(name))?;
    String::from_utf16(&units[..end]).map_err(|_| EnvironmentError::Text(name))
}

fn array<const N: usize>(bytes: &[u8; LENGTH], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        Environment {
            kernel_file: "C:RAP_A:RAP.EFI".to_owned(),
            kernel_parameters: "quiet".to_owned(),
            in_progress: false,
            state: State::Testing,
            watchdog_seconds: 0x0102,
            revision: 0x0304_0506,
        }
    }

    #[test]
    fn fields_are_where_boot_guard_reads_them() {
        let bytes = environment().encode().unwrap();
        assert_eq!(bytes.len(), 132_104);
        assert_eq!(&bytes[..8], b"C\0:\0R\0A\0");
        assert_eq!(&bytes[30..32], &[0, 0]);
        assert_eq!(&bytes[510..514], b"q\0u\0");
        assert_eq!(&bytes[1020..1028], &[0, 2, 2, 1, 6, 5, 4, 3]);
        assert!(bytes[1028..132_100].iter().all(|&byte| byte == 0));
        // Computed with zlib's crc32 over the same bytes.
        assert_eq!(
            u32::from_le_bytes(bytes[132_100..].try_into().unwrap()),
            0x7195_5113
        );
    }

    #[test]
    fn damage_is_told_apart() {
        let good = environment().encode().unwrap();
        assert_eq!(
            Environment::decode(&good[..100]),
            Err(EnvironmentError::Length(100))
        );
        let mut flipped = good.clone();
        flipped[5000] ^= 1;
        assert!(matches!(
            Environment::decode(&flipped),
            Err(EnvironmentError::Checksum { .. })
        ));
        let mut state = good.clone();
        state[STATE_AT] = 9;
        assert_eq!(
            Environment::decode(&sealed(state)),
            Err(EnvironmentError::State(9))
        );
        let mut endless = good;
        endless[..510].fill(b'x');
        assert_eq!(
            Environment::decode(&sealed(endless)),
            Err(EnvironmentError::Text("kernelfile"))
        );
        let too_long = Environment {
            kernel_parameters: "x".repeat(255),
            ..environment()
        };
        assert_eq!(too_long.encode(), Err(EnvironmentError::TooLong("kernelparams")));
        let full = Environment {
            kernel_parameters: "x".repeat(251),
            ..environment()
        };
        let full = full.encode().unwrap();
        assert_eq!(with_state(&full, State::Ok), Err(EnvironmentError::NoSpare));
        assert!(with_state(&full[1..], State::Ok).is_err());
        assert!(with_revision(&full[1..], 1).is_err());
    }

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let checksum = CRC.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_encoded_is_decoded(
            kernel_file in "[^\\x00]{0,127}",
            kernel_parameters in "[^\\x00]{0,127}",
            in_progress: bool,
            state in 0_u8..=4,
            watchdog_seconds: u16,
            revision: u32,
        ) {
            let state = State::try_from(state).unwrap();
            let before =
                Environment { kernel_file, kernel_parameters, in_progress, state, watchdog_seconds, revision };
            prop_assert_eq!(Environment::decode(&before.encode().unwrap()), Ok(before));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut whole = vec![0; LENGTH];
            whole[..bytes.len()].copy_from_slice(&bytes);
            let _ = Environment::decode(&sealed(whole));
            let _ = Environment::decode(&bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn state_and_revision_change_in_one_sector_each(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..=4, any::<u32>()), 1..6),
        ) {
            let mut expected = environment();
            let mut file = expected.encode().unwrap();
            for (is_state, state, revision) in steps {
                let state = State::try_from(state).unwrap();
                let (next, sector) = if is_state {
                    expected.state = state;
                    (with_state(&file, state).unwrap(), 1)
                } else {
                    expected.revision = revision;
                    (with_revision(&file, revision).unwrap(), 2)
                };
                prop_assert_eq!(Environment::decode(&next), Ok(expected.clone()));
                prop_assert_eq!(&next[CRC_AT..], &file[CRC_AT..]);
                let changed = |at: &usize| next[*at] != file[*at];
                prop_assert!((0..LENGTH).filter(changed).all(|at| at / 512 == sector));
                prop_assert_eq!(&next[1016..1020], &[0; 4]);
                prop_assert_eq!(next[1028], 0);
                file = next;
            }
        }
    }
}
