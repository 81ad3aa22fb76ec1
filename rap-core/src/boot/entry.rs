//! Firmware's boot entries: one for the loader and one for each slot's `RAP.EFI` behind it, as the last resort.
//!
//! Boot Guard does not fall back from a *confirmed* slot whose UKI is damaged: it fails, and firmware goes on with its
//! next entry. Nothing relies upon these entries, because firmware drops, reorders and restores them as it likes. What
//! others put there is kept, behind ours.
//!
//! ```text
//! BootOrder   u16 each
//! Boot####    u32 attributes, u16 bytes of the path, description as UTF-16 ended by 0, path, optional data
//! path        HD(partition number, first sector, sectors, GUID), file as UTF-16 ended by 0, end
//! ```
//!
//! Sources: UEFI 2.10 §3.1.3 (load options), §3.3 (the variables), §10.3 (device paths).

use std::collections::BTreeMap;

use super::disk::{Place, Table};
use super::slot::Label;

/// Non-volatile, for boot services and at run time (UEFI 2.10 §3.3).
pub const ATTRIBUTES: u32 = 7;
/// The order's name.
pub const ORDER: &str = "BootOrder";
/// `LOAD_OPTION_ACTIVE`.
const ACTIVE: u32 = 1;
/// Bytes of the hard drive's node of a path.
const DRIVE_BYTES: u16 = 42;

/// A boot entry: what it is called and what it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For people, in the firmware's menu.
    pub description: String,
    /// The path, with its end.
    pub path: Vec<u8>,
}

/// Why bytes are no boot entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no EFI load option: {0}")]
pub struct NoEntry(&'static str);

impl Entry {
    /// The entry that starts the file `path`, such as `\RAP.EFI`, on a partition of our disk.
    #[must_use]
    pub fn of(table: &Table, place: Place, description: &str, path: &str) -> Self {
        let partition = table.partition(place);
        let mut bytes = vec![4, 1];
        bytes.extend(DRIVE_BYTES.to_le_bytes());
        bytes.extend(u32::try_from(place.number()).unwrap_or(0).to_le_bytes());
        bytes.extend(partition.first.to_le_bytes());
        bytes.extend((partition.last - partition.first + 1).to_le_bytes());
        bytes.extend(place.guid().to_bytes_le());
        // A GUID partition table, and so the signature is a GUID.
        bytes.extend([2, 2]);
        let file = utf16(path);
        bytes.extend([4, 4]);
        bytes.extend(u16::try_from(file.len() + 4).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(file);
        bytes.extend([0x7f, 0xff, 4, 0]);
        Self {
            description: description.to_owned(),
            path: bytes,
        }
    }

    /// The variable's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u16::try_from(self.path.len()).unwrap_or(u16::MAX);
        [
            &ACTIVE.to_le_bytes()[..],
            &length.to_le_bytes(),
            &utf16(&self.description),
            &self.path,
        ]
        .concat()
    }

    /// Reads a variable's content. Attributes and optional data are passed over.
    ///
    /// # Errors
    /// When it is shorter than it says, or its description has no end.
    pub fn decode(content: &[u8]) -> Result<Self, NoEntry> {
        let [_, _, _, _, low, high, rest @ ..] = content else {
            return Err(NoEntry("shorter than its head"));
        };
        let units: Vec<u16> = rest
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .take_while(|&unit| unit != 0)
            .collect();
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let behind = rest.get(2 * units.len()..).filter(|rest| rest.len() >= 2);
        let path = behind
            .ok_or(NoEntry("its description has no end"))?
            .get(2..2 + length)
            .ok_or(NoEntry("shorter than its path"))?;
        Ok(Self {
            description: String::from_utf16_lossy(&units),
            path: path.to_vec(),
        })
    }
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// The entries a box has, first to last: the loader, slot A, slot B.
#[must_use]
pub fn wanted(table: &Table) -> [Entry; 3] {
    let slot = |label: Label, name| Entry::of(table, label.place(), name, "\\RAP.EFI");
    [
        Entry::of(table, Place::Esp, "RAP", "\\EFI\\BOOT\\BOOTX64.EFI"),
        slot(Label::A, "RAP slot A, without its loader"),
        slot(Label::B, "RAP slot B, without its loader"),
    ]
}

/// What firmware has: the content of `BootOrder` and of each `Boot####`, without attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Numbers of entries, the first first.
    pub order: Vec<u16>,
    /// Each entry's content.
    pub entries: BTreeMap<u16, Vec<u8>>,
}

impl Found {
    /// Puts a variable's content to the rest, if it is one of these.
    pub fn take(&mut self, name: &str, content: &[u8]) {
        if name == ORDER {
            self.order = content
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
        } else if let Some(number) = number(name) {
            self.entries.insert(number, content.to_vec());
        }
    }

    /// The variables to be written, in this order, so that ours lead: none when they do. An entry that starts what ours
    /// is to start is ours, whatever it is called.
    #[must_use]
    pub fn missing(&self, wanted: &[Entry]) -> Vec<(String, Vec<u8>)> {
        let mut taken = self.entries.clone();
        let mut writes = Vec::new();
        let mut ours = Vec::new();
        for entry in wanted {
            let is_it =
                |content: &Vec<u8>| Entry::decode(content).is_ok_and(|found| found.path == entry.path);
            let there = self.entries.iter().find(|(_, content)| is_it(content));
            let number = if let Some((number, _)) = there {
                *number
            } else {
                let Some(free) = (0..=u16::MAX).find(|number| !taken.contains_key(number)) else {
                    return Vec::new();
                };
                taken.insert(free, Vec::new());
                writes.push((format!("Boot{free:04X}"), entry.encode()));
                free
            };
            ours.push(number);
        }
        if !self.order.starts_with(&ours) {
            let others = self.order.iter().filter(|number| !ours.contains(number));
            let order = ours.iter().chain(others);
            writes.push((ORDER.to_owned(), order.flat_map(|n| n.to_le_bytes()).collect()));
        }
        writes
    }
}

/// The number in `Boot####`: four upper-case hexadecimal digits.
fn number(name: &str) -> Option<u16> {
    let digits = name.strip_prefix("Boot")?;
    let clean = digits.len() == 4 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    clean.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_what_firmware_reads_byte_by_byte() {
        let entry = Entry::of(&Table::fresh(), Place::SlotA, "A", "\\RAP.EFI");
        #[rustfmt::skip]
        let mut expected: Vec<u8> = vec![
            1, 0, 0, 0, 68, 0, b'A', 0, 0, 0,
            // HD(2, GPT, 8D0F5F1E-6C3B-4D6A-9A2E-524150000002, 0x20800, 0x80000)
            4, 1, 42, 0, 2, 0, 0, 0,
            0x00, 0x08, 0x02, 0, 0, 0, 0, 0, 0x00, 0x00, 0x08, 0, 0, 0, 0, 0,
            0x1e, 0x5f, 0x0f, 0x8d, 0x3b, 0x6c, 0x6a, 0x4d, 0x9a, 0x2e, 0x52, 0x41, 0x50, 0, 0, 2,
            2, 2,
            4, 4, 22, 0,
            b'\\', 0, b'R', 0, b'A', 0, b'P', 0, b'.', 0, b'E', 0, b'F', 0, b'I', 0, 0, 0,
            0x7f, 0xff, 4, 0,
        ];
        assert_eq!(entry.encode(), expected);
        assert_eq!(Entry::decode(&expected).unwrap(), entry);
        expected.extend(b"optional data");
        assert_eq!(Entry::decode(&expected).unwrap(), entry);
    }

    fn firmware(order: &[u16], entries: &[(u16, &[u8])]) -> Found {
        let mut found = Found::default();
        found.take(
            ORDER,
            &order.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>(),
        );
        for (number, content) in entries {
            found.take(&format!("Boot{number:04X}"), content);
        }
        found
    }

    fn written(mut found: Found) -> Found {
        for (name, content) in found.missing(&wanted(&Table::fresh())) {
            found.take(&name, &content);
        }
        found
    }

    #[test]
    fn ours_lead_and_others_are_kept() {
        let disk = Entry {
            description: "UEFI QEMU HARDDISK".to_owned(),
            path: vec![2, 1, 12, 0],
        };
        let before = firmware(&[0, 3], &[(0, &disk.encode()), (3, b"damaged")]);
        let after = written(before.clone());
        assert_eq!(after.order, [1, 2, 4, 0, 3]);
        assert_eq!(after.entries[&0], before.entries[&0]);
        assert_eq!(after.entries[&3], before.entries[&3]);
        assert_eq!(
            Entry::decode(&after.entries[&1]).unwrap(),
            wanted(&Table::fresh())[0]
        );
        assert!(after.missing(&wanted(&Table::fresh())).is_empty());
    }

    #[test]
    fn what_firmware_appends_changes_nothing_and_what_it_drops_comes_back() {
        let mut found = written(Found::default());
        found.order.push(9);
        assert!(found.missing(&wanted(&Table::fresh())).is_empty());
        found.order.swap(0, 3);
        found.entries.remove(&1);
        let writes = found.missing(&wanted(&Table::fresh()));
        let names: Vec<_> = writes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Boot0001", ORDER]);
        assert_eq!(written(found).order, [0, 1, 2, 9]);
    }

    #[test]
    fn only_numbers_of_four_digits_are_entries() {
        assert_eq!(number("Boot00AF"), Some(0xaf));
        for name in [
            "Boot00af",
            "Boot0",
            "BootOrder",
            "BootNext",
            "Boot+001",
            "Boot00000",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_firmware_has_one_round_is_enough(
            order in proptest::collection::vec(0_u16..8, 0..8),
            entries in proptest::collection::btree_map(0_u16..8, proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let found = Found { order, entries };
            let after = written(found.clone());
            prop_assert!(after.missing(&wanted(&Table::fresh())).is_empty());
            for (number, content) in &found.entries {
                prop_assert_eq!(&after.entries[number], content);
            }
            prop_assert!(found.order.iter().all(|number| after.order.contains(number)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Entry::decode(&bytes);
        }
    }
}
