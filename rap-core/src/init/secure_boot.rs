//! Secure Boot as firmware says it is, and its keys given to firmware that waits for them.
//!
//! Sources: UEFI 2.10 §3.3 (the variables), §8.2 (writing authenticated ones), §32.3 (setup mode);
//! Documentation/filesystems/efivarfs.rst (four bytes of attributes, one write, the immutable flag).
//!
//! Invariant: nothing is written to firmware that has a platform key, and the platform key is written last, so that an
//! interrupted enrolment leaves setup mode, and is done again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::boot::variable::{ATTRIBUTES, GLOBAL, Variable};
use crate::status::SecureBoot;

/// Where the kernel shows firmware's variables.
pub(super) const VARIABLES: &str = "/sys/firmware/efi/efivars";

/// What firmware says; `None` where there is none, or none that knows Secure Boot.
pub(super) fn state(variables: &Path) -> Option<SecureBoot> {
    // A flag is four bytes of attributes and one byte.
    let flag = |name: &str| {
        let content = std::fs::read(variables.join(format!("{name}-{GLOBAL}"))).ok()?;
        content.get(4).map(|flag| *flag == 1)
    };
    match (flag("SetupMode")?, flag("SecureBoot")?) {
        (_, true) => Some(SecureBoot::On),
        (true, false) => Some(SecureBoot::Setup),
        (false, false) => Some(SecureBoot::Off),
    }
}

/// Gives firmware in setup mode the keys in `files`. Says whether it did.
///
/// # Errors
/// When firmware refuses one of them. Those before it are set, and setup mode lasts.
pub(super) fn enrol(variables: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<bool> {
    if files.is_empty() || state(variables) != Some(SecureBoot::Setup) {
        return Ok(false);
    }
    for variable in Variable::ALL {
        let file = variable.file();
        let Some(content) = files.get(file) else {
            return Err(io::Error::other(format!(
                "secure-boot/{file} is missing beside the others"
            )));
        };
        set(variables, variable, content)
            .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    }
    Ok(true)
}

fn set(variables: &Path, variable: Variable, content: &[u8]) -> io::Result<()> {
    let file = format!("{}-{}", variable.name(), variable.vendor());
    put(variables, &file, ATTRIBUTES, content)
}

/// Sets the variable whose file is `file` in one call of firmware's.
///
/// # Errors
/// When firmware refuses.
pub(super) fn put(variables: &Path, file: &str, attributes: u32, content: &[u8]) -> io::Result<()> {
    let path = variables.join(file);
    // One that is there is protected against being removed by accident.
    if let Ok(present) = File::open(&path)
        && let Ok(flags) = ioctl_getflags(&present)
        && flags.contains(IFlags::IMMUTABLE)
    {
        ioctl_setflags(&present, flags.difference(IFlags::IMMUTABLE))?;
    }
    let whole = [&attributes.to_le_bytes()[..], content].concat();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    // Each write(2) is one call of SetVariable: half of one would be another value.
    match file.write(&whole)? {
        written if written == whole.len() => Ok(()),
        written => Err(io::Error::other(format!(
            "only {written} of {} bytes were taken",
            whole.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware(setup: u8, on: u8) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, flag) in [("SetupMode", setup), ("SecureBoot", on)] {
            let content = [6, 0, 0, 0, flag];
            std::fs::write(place.path().join(format!("{name}-{GLOBAL}")), content).unwrap();
        }
        place
    }

    fn keys() -> BTreeMap<String, Vec<u8>> {
        let files = Variable::ALL.map(Variable::file);
        files
            .map(|name| (name.to_owned(), name.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn firmware_says_how_it_is() {
        for (setup, on, found) in [
            (0, 1, SecureBoot::On),
            (1, 0, SecureBoot::Setup),
            (0, 0, SecureBoot::Off),
        ] {
            assert_eq!(state(firmware(setup, on).path()), Some(found));
        }
        assert_eq!(state(Path::new("/nonexistent")), None);
    }

    #[test]
    fn keys_are_given_to_firmware_that_waits_for_them_and_to_no_other() {
        let waiting = firmware(1, 0);
        assert!(enrol(waiting.path(), &keys()).unwrap());
        let pk = std::fs::read(waiting.path().join("PK-8be4df61-93ca-11d2-aa0d-00e098032b8c")).unwrap();
        assert_eq!(pk, b"\x27\0\0\0PK.auth");
        assert!(
            waiting
                .path()
                .join("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f")
                .exists()
        );
        for other in [firmware(0, 0), firmware(0, 1)] {
            assert!(!enrol(other.path(), &keys()).unwrap());
            assert!(
                !other
                    .path()
                    .join("PK-8be4df61-93ca-11d2-aa0d-00e098032b8c")
                    .exists()
            );
        }
        assert!(!enrol(waiting.path(), &BTreeMap::new()).unwrap());
    }

    #[test]
    fn without_all_three_the_platform_key_is_not_set() {
        let waiting = firmware(1, 0);
        let mut keys = keys();
        keys.remove("KEK.auth");
        assert!(
            enrol(waiting.path(), &keys)
                .unwrap_err()
                .to_string()
                .contains("KEK.auth is missing")
        );
        assert!(
            !waiting
                .path()
                .join("PK-8be4df61-93ca-11d2-aa0d-00e098032b8c")
                .exists()
        );
    }
}
