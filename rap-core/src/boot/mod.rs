//! The disk and what the firmware and the loader read from it: one description, used by the builder, which writes
//! it, and by the box, which finds, grows and updates it.
//!
//! * [`disk`]: the partitions, their fixed identifiers, and growing the last one.
//! * [`fat`]: the FAT32 file systems, as a pure function of their files.
//! * [`environment`]: EFI Boot Guard's `BGENV.DAT`.
//! * [`slot`]: what is in a slot, and which of its sectors arm and confirm an update.
//! * [`uki`]: what the file in a slot says of itself.
//! * [`entry`]: firmware's boot entries, the last resort.
//! * [`variable`]: firmware's key variables for Secure Boot.
//! * [`medium`]: the stick with the installer.

pub mod disk;
pub mod entry;
pub mod environment;
pub mod fat;
mod gpt;
pub mod medium;
pub mod slot;
pub mod uki;
pub mod variable;

/// Bytes of a sector. Every offset and length of this module's is a multiple of it where it says sector.
pub const SECTOR: u64 = 512;
