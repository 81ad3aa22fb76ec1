//! The installer: process 1 of the very image that it installs, told by the kernel's command line ([`WORD`]) to write that
//! image to a disk of this computer instead of running services.
//!
//! What it is to do ([`Order`]) and what it writes ([`package`]) are in its initramfs, put there by `rap-image installer`, so
//! one signature covers all of it, and the medium is not needed any more once it runs. Nothing is mounted, no service is
//! started, no network card is touched.
//!
//! Invariants: nothing is written before a person typed the disk's name, or, unattended, unless there is exactly one disk
//! and no appliance on it; a disk is written as [`crate::flash`] does, so that one that was left halfway does not boot,
//! and the next start begins anew; no wait is without an end but the one for a person, and the watchdog is fed meanwhile.

pub mod candidate;
pub mod dialogue;
mod order;
pub mod package;
mod progress;
mod screen;
mod work;

pub use order::{Order, OrderError};
pub(crate) use work::{End, run};

use std::path::Path;

/// The word on the kernel's command line that makes process 1 the installer.
pub const WORD: &str = "rap.install";

/// Whether this start is an installer's. The command line is signed with the image, as the rest is.
pub(crate) fn is_wanted() -> bool {
    has_word(&std::fs::read_to_string(Path::new("/proc/cmdline")).unwrap_or_default())
}

fn has_word(command_line: &str) -> bool {
    command_line.split_ascii_whitespace().any(|word| word == WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_makes_an_installer() {
        assert!(has_word("rootfstype=ramfs rap.install\n"));
        assert!(!has_word("rootfstype=ramfs rap.installer panic=-1"));
        assert!(!has_word(""));
    }
}
