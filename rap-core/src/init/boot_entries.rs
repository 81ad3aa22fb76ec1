//! Firmware's boot entries, kept as far as firmware lets itself be told: the loader, then each slot without it.
//!
//! Best effort: what fails is a warning. Firmware that drops them at each start is not written to for ever: a variable's
//! memory wears out, so after [`ROUNDS`] starts at which something had to be written, it is left alone.
//!
//! Sources: UEFI 2.10 §3.1; Documentation/filesystems/efivarfs.rst.

use std::io;
use std::path::Path;

use crate::boot::disk::Table;
use crate::boot::entry::{ATTRIBUTES, Found, ORDER, wanted};
use crate::boot::variable::GLOBAL;

use super::InitError;
use super::durable;
use super::secure_boot;

/// Starts at which something may be written, in the life of a data partition.
const ROUNDS: u32 = 8;
/// Variables that are looked at, at most.
const MOST: usize = 1024;
/// Bytes of a variable, at most: larger ones are no boot entry of any use.
const LONGEST: u64 = 64 << 10;

/// Sees that our entries lead. `count` is the file that counts at how many starts something was written.
pub(super) fn keep(variables: &Path, table: &Table, count: &Path) {
    match settle(variables, table, count) {
        Ok(Outcome::There) => {}
        Ok(Outcome::Written(names)) => log::info!("boot entries written: {}", names.join(", ")),
        Ok(Outcome::GivenUp) => {
            log::warn!("firmware does not keep boot entries: there is no way around a loader that fails");
        }
        Err(error) => log::warn!("boot entries: {:#}", anyhow::Error::from(error)),
    }
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    There,
    Written(Vec<String>),
    GivenUp,
}

fn settle(variables: &Path, table: &Table, count: &Path) -> Result<Outcome, InitError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        look(variables).map_err(|source| InitError::Read { path, source })
    };
    let wanted = wanted(table);
    let writes = read(variables)?.missing(&wanted);
    if writes.is_empty() {
        return Ok(Outcome::There);
    }
    let rounds = std::fs::read_to_string(count)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0_u32);
    if rounds >= ROUNDS {
        return Ok(Outcome::GivenUp);
    }
    // Counted first: firmware that resets the machine at a write is not written to for ever either.
    durable::write(count, format!("{}\n", rounds + 1).as_bytes(), 0o644, None)?;
    for (name, content) in &writes {
        secure_boot::put(variables, &format!("{name}-{GLOBAL}"), ATTRIBUTES, content).map_err(|source| {
            InitError::Write {
                path: variables.join(name),
                source,
            }
        })?;
    }
    if !read(variables)?.missing(&wanted).is_empty() {
        log::warn!("firmware did not keep the boot entries as they were written");
    }
    Ok(Outcome::Written(
        writes.into_iter().map(|(name, _)| name).collect(),
    ))
}

/// What firmware has; what is too long or cannot be read is passed over.
fn look(variables: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(variables)?.take(MOST).flatten() {
        let name = entry.file_name();
        let Some(name) = name
            .to_str()
            .and_then(|name| name.strip_suffix(&format!("-{GLOBAL}")))
        else {
            continue;
        };
        if (name != ORDER && !name.starts_with("Boot")) || entry.metadata()?.len() > LONGEST {
            continue;
        }
        // Four bytes of attributes, then the content.
        if let Ok(content) = std::fs::read(entry.path())
            && let Some(content) = content.get(4..)
        {
            found.take(name, content);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware() -> (tempfile::TempDir, std::path::PathBuf) {
        let place = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("BootOrder", &[7, 0, 0, 0, 1, 0][..]),
            ("Boot0001", b"\x07\0\0\0\x01\0\0\0\x04\0d\0\0\0\x7f\xff\x04\0"),
            ("BootCurrent", &[6, 0, 0, 0, 1, 0]),
        ] {
            std::fs::write(place.path().join(format!("{name}-{GLOBAL}")), content).unwrap();
        }
        let count = place.path().join("count");
        (place, count)
    }

    #[test]
    fn ours_are_written_once_and_lead() {
        let (place, count) = firmware();
        let done = settle(place.path(), &Table::fresh(), &count).unwrap();
        let names = ["Boot0000", "Boot0002", "Boot0003", "BootOrder"].map(str::to_owned);
        assert_eq!(done, Outcome::Written(names.into()));
        let order = std::fs::read(place.path().join(format!("BootOrder-{GLOBAL}"))).unwrap();
        assert_eq!(order, [7, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 0]);
        assert_eq!(
            settle(place.path(), &Table::fresh(), &count).unwrap(),
            Outcome::There
        );
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "1\n");
    }

    #[test]
    fn firmware_that_forgets_is_not_written_to_for_ever() {
        let (place, count) = firmware();
        let order = place.path().join(format!("BootOrder-{GLOBAL}"));
        for _ in 0..ROUNDS {
            let done = settle(place.path(), &Table::fresh(), &count).unwrap();
            assert!(matches!(done, Outcome::Written(_)));
            std::fs::write(&order, [7, 0, 0, 0, 1, 0]).unwrap();
        }
        let done = settle(place.path(), &Table::fresh(), &count).unwrap();
        assert_eq!(done, Outcome::GivenUp);
        assert_eq!(std::fs::read(&order).unwrap(), [7, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn without_variables_there_is_an_error_and_nothing_is_counted() {
        let (place, count) = firmware();
        let nowhere = place.path().join("nowhere");
        let error = settle(&nowhere, &Table::fresh(), &count).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
        assert!(!count.exists());
    }
}
