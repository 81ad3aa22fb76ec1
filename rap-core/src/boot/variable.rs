//! Firmware's key variables for Secure Boot: what the desk signs and the box writes.
//!
//! A signature covers a variable's name, vendor and attributes (UEFI 2.10 §8.2.2), so both sides have to mean the same.

use uuid::{Uuid, uuid};

/// Non-volatile, for boot services and at run time, authenticated by time (UEFI 2.10 §8.2).
pub const ATTRIBUTES: u32 = 0x27;
/// The vendor of what firmware defines itself, `EFI_GLOBAL_VARIABLE`: PK, KEK, and the flags `SetupMode` and `SecureBoot`.
pub const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`: db.
const DATABASE: Uuid = uuid!("d719b2cb-3d3a-4596-a3bc-dad00e67656f");

/// A key variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// Who may sign programs.
    Db,
    /// The key exchange key: who may change db.
    Kek,
    /// The platform key: who may change KEK. Setting it ends setup mode.
    Pk,
}

impl Variable {
    /// In the order in which they are set: the platform key last.
    pub const ALL: [Self; 3] = [Self::Db, Self::Kek, Self::Pk];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Kek => "KEK",
            Self::Pk => "PK",
        }
    }

    /// Its vendor.
    #[must_use]
    pub fn vendor(self) -> Uuid {
        match self {
            Self::Db => DATABASE,
            Self::Kek | Self::Pk => GLOBAL,
        }
    }

    /// The file that brings its content into a box, below `secure-boot/` in what a box is given.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Db => "db.auth",
            Self::Kek => "KEK.auth",
            Self::Pk => "PK.auth",
        }
    }
}
