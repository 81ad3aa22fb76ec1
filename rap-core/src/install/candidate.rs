//! Which disks an installer may write to, and what is on them. Pure but for `look`, which reads.

use std::fs::File;
use std::path::Path;

use crate::boot::disk::{Disk, Table};
use crate::boot::medium;
use crate::flash::device::{Device, Kernel};
use crate::flash::mark;

/// Bytes at the beginning of a disk that say whether anything is on it.
const BEGINNING: usize = 1 << 20;

/// What is on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Zeros where a partition table would be.
    Nothing,
    /// Something that is not ours.
    Foreign,
    /// The mark of a flash, or of an installer, that did not come to its end.
    Interrupted,
    /// An appliance with a whole partition table.
    Appliance,
    /// It cannot be read.
    Unreadable,
}

impl Content {
    /// For a person who has to decide.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "empty",
            Self::Foreign => "something is on it",
            Self::Interrupted => "an installation of it was interrupted",
            Self::Appliance => "an appliance is on it, perhaps with reports that were not sent yet",
            Self::Unreadable => "it cannot be read",
        }
    }

    /// What is on a disk of `bytes` bytes.
    fn of(disk: &impl Disk, bytes: u64) -> Self {
        let mut beginning = vec![0; BEGINNING];
        if disk.read_at(&mut beginning, 0).is_err() {
            return Self::Unreadable;
        }
        if matches!(mark::find(disk), Ok(Some(_))) {
            Self::Interrupted
        } else if Table::read(disk, bytes).is_ok() {
            Self::Appliance
        } else if beginning.iter().all(|&byte| byte == 0) {
            Self::Nothing
        } else {
            Self::Foreign
        }
    }
}

/// A disk that may be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The disk.
    pub device: Device,
    /// What is on it.
    pub content: Content,
}

impl Candidate {
    /// A line about it: name, size, model, serial number, content.
    #[must_use]
    pub fn words(&self) -> String {
        let or_unknown = |text: &str| match plain(text) {
            text if text.is_empty() => "unknown".to_owned(),
            text => text,
        };
        format!(
            "{}  {}  {}, serial {}: {}",
            plain(&self.device.name),
            size(self.device.bytes),
            or_unknown(&self.device.model),
            or_unknown(&self.device.serial),
            self.content.words()
        )
    }
}

/// What this computer has: disks that may be written to, and why each of the others may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those that may be written to, by their places in the machine.
    pub candidates: Vec<Candidate>,
    /// The others, a line each.
    pub refused: Vec<String>,
}

/// Looks at every disk of this computer.
pub(super) fn look() -> Choice {
    let Ok(kernel) = Kernel::now() else {
        return Choice::default();
    };
    let disks = Device::disks(&kernel);
    choose(
        disks,
        |device| own_medium(&kernel.block, &device.name),
        |device| {
            File::open(&device.path).map_or(Content::Unreadable, |file| Content::of(&file, device.bytes))
        },
    )
}

fn choose(
    disks: Vec<Device>,
    is_own: impl Fn(&Device) -> bool,
    content: impl Fn(&Device) -> Content,
) -> Choice {
    let mut choice = Choice::default();
    for device in disks {
        match refusal(&device, is_own(&device)) {
            Some(why) => choice.refused.push(format!(
                "{}  {}  {}",
                plain(&device.name),
                size(device.bytes),
                plain(&why)
            )),
            None => {
                let content = content(&device);
                choice.candidates.push(Candidate { device, content });
            }
        }
    }
    choice
}

/// Why a disk is not written to.
fn refusal(device: &Device, is_own: bool) -> Option<String> {
    if is_own {
        return Some("is the medium of this installer".to_owned());
    }
    if device.usb {
        return Some("is attached by USB: the appliance goes on a disk in the computer".to_owned());
    }
    if device.removable {
        return Some("is removable: the appliance goes on a disk in the computer".to_owned());
    }
    device.refusals(true).into_iter().next()
}

/// Whether a partition of a disk has the name of the installer's.
fn own_medium(block: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(block.join(name))
        .into_iter()
        .flatten()
        .flatten();
    let wanted = format!("PARTNAME={}", medium::NAME);
    entries.into_iter().any(|entry| {
        let uevent = std::fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
        uevent.lines().any(|line| line == wanted)
    })
}

/// Text of a device, which may say anything of itself.
fn plain(text: &str) -> String {
    let printed = text.chars().map(|c| if c.is_control() { '?' } else { c });
    printed.take(80).collect()
}

/// As on a disk's label, in powers of ten; with two digits behind the point below ten.
pub(super) fn size(bytes: u64) -> String {
    const GB: u64 = 1_000_000_000;
    if bytes >= 10 * GB {
        format!("{} GB", (bytes + GB / 2) / GB)
    } else {
        let hundredths = (bytes + GB / 200) / (GB / 100);
        format!("{}.{:02} GB", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::install) fn disk(name: &str) -> Device {
        Device {
            path: format!("/dev/{name}").into(),
            name: name.to_owned(),
            model: "Quick\u{1b}[2J Disk".to_owned(),
            serial: "S1".to_owned(),
            bytes: 128_035_676_160,
            removable: false,
            usb: false,
            read_only: false,
            partition_of: None,
            used_as: Vec::new(),
            held_by: Vec::new(),
        }
    }

    fn changed(name: &str, change: impl Fn(&mut Device)) -> Device {
        let mut device = disk(name);
        change(&mut device);
        device
    }

    #[test]
    fn only_whole_free_disks_inside_that_are_large_enough_are_offered() {
        let disks = vec![
            disk("nvme0n1"),
            changed("sda", |d| d.usb = true),
            changed("sdb", |d| d.removable = true),
            changed("sdc", |d| d.bytes = 1 << 29),
            changed("sdd", |d| d.used_as = vec!["/mnt".to_owned()]),
            changed("sde", |d| d.read_only = true),
            changed("sdf", |d| d.held_by = vec!["dm-0".to_owned()]),
            disk("sdg"),
            changed("mmcblk1", |d| d.bytes = 0),
        ];
        let choice = choose(disks, |device| device.name == "sdg", |_| Content::Nothing);
        let names: Vec<_> = choice.candidates.iter().map(|c| c.device.name.as_str()).collect();
        assert_eq!(names, ["nvme0n1"]);
        let wanted = [
            "USB",
            "removable",
            "the image needs",
            "in use as /mnt",
            "read-only",
            "part of dm-0",
            "medium of this installer",
            "no medium",
        ];
        assert_eq!(choice.refused.len(), wanted.len());
        for (line, words) in choice.refused.iter().zip(wanted) {
            assert!(line.contains(words), "{words}: {line}");
        }
    }

    #[test]
    fn a_disk_is_described_in_one_line_without_control_characters() {
        let candidate = Candidate {
            device: disk("sda"),
            content: Content::Appliance,
        };
        assert_eq!(
            candidate.words(),
            "sda  128 GB  Quick?[2J Disk, serial S1: an appliance is on it, perhaps with reports that were not sent yet"
        );
        assert_eq!(size(878_706_688), "0.88 GB");
        assert_eq!(size(9_999_999_999), "10.00 GB");
    }

    #[test]
    fn what_is_on_a_disk_is_told_apart() {
        let bytes = Table::fresh_disk_bytes();
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        let content = || Content::of(&file, bytes);
        assert_eq!(content(), Content::Nothing);
        Disk::write_at(&file, b"ntfs", 4096).unwrap();
        assert_eq!(content(), Content::Foreign);
        Disk::write_at(&file, &mark::encode("5f"), 512).unwrap();
        assert_eq!(content(), Content::Interrupted);
        Table::fresh().write(&file, bytes).unwrap();
        assert_eq!(content(), Content::Appliance);
        let short = tempfile::tempfile().unwrap();
        assert_eq!(Content::of(&short, bytes), Content::Unreadable);
    }

    #[test]
    fn the_medium_is_known_by_the_name_of_its_partition() {
        let place = tempfile::tempdir().unwrap();
        let part = place.path().join("sda/sda1");
        std::fs::create_dir_all(&part).unwrap();
        std::fs::write(part.join("uevent"), "DEVNAME=sda1\nPARTNAME=rap-installer-2\n").unwrap();
        assert!(!own_medium(place.path(), "sda"));
        std::fs::write(part.join("uevent"), "DEVNAME=sda1\nPARTNAME=rap-installer\n").unwrap();
        assert!(own_medium(place.path(), "sda"));
        assert!(!own_medium(place.path(), "sdb"));
    }
}
