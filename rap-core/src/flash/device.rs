//! What a block device is and who uses it, from sysfs and /proc, and why it must not be written to.
//!
//! Pure but for [`Device::look`], which reads. Sources of the rules: `Documentation/ABI/stable/sysfs-block`
//! (`size` is in sectors of 512 bytes whatever the device's own are), proc_pid_mountinfo(5), proc_swaps(5).

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::boot::disk::Table;
use serde::Serialize;

/// Where the computer itself lives: a disk with one of these on it is never written to.
const SYSTEM: [&str; 6] = ["/", "/boot", "/boot/efi", "/efi", "/usr", "/nix"];

/// A block device, and who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// Its path, as given, with links followed.
    pub path: PathBuf,
    /// The kernel's name for it, such as `sdb`.
    pub name: String,
    /// Manufacturer and model; empty when the device does not say.
    pub model: String,
    /// Serial number; empty when the device does not say.
    pub serial: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether the kernel takes it for removable, as USB sticks and cards are.
    pub removable: bool,
    /// Whether it is attached by USB, as a stick is and as many that the kernel does not take for removable.
    pub usb: bool,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// The disk it is a partition of.
    pub partition_of: Option<String>,
    /// Where it, or something on it, is mounted, and the swap areas on it.
    pub used_as: Vec<String>,
    /// Whatever else is built on it: volumes, arrays, encrypted disks.
    pub held_by: Vec<String>,
}

/// Why a device cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is no such file.
    #[error("{0} cannot be looked at; lsblk names this computer's disks")]
    Path(PathBuf, #[source] io::Error),
    /// Something else than a disk.
    #[error("{0} is not a block device; lsblk names this computer's disks")]
    NotBlock(PathBuf),
    /// The kernel's description is not there.
    #[error("the kernel's description of {name} cannot be read")]
    Description {
        /// The kernel's name for the device.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where the kernel says what there is; tests have their own.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `/sys/class/block`.
    pub block: PathBuf,
    /// The text of `/proc/self/mountinfo`.
    pub mounts: String,
    /// The text of `/proc/swaps`.
    pub swaps: String,
}

impl Kernel {
    /// As it is now.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn now() -> io::Result<Self> {
        Ok(Self {
            block: "/sys/class/block".into(),
            mounts: std::fs::read_to_string("/proc/self/mountinfo")?,
            // A kernel without swap has no such file.
            swaps: std::fs::read_to_string("/proc/swaps").unwrap_or_default(),
        })
    }

    /// One line of a device's description, without white space around it; empty when it is not there.
    fn says(&self, name: &str, what: &str) -> String {
        let text = std::fs::read_to_string(self.block.join(name).join(what)).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The serial number of a disk: NVMe and cards say it of the device, virtio of the disk, and one with SCSI commands
    /// in its page 0x80 (SPC-5 §7.7.16): four bytes of header, then text.
    fn serial(&self, name: &str) -> String {
        let said = [self.says(name, "device/serial"), self.says(name, "serial")];
        if let Some(serial) = said.into_iter().find(|serial| !serial.is_empty()) {
            return serial;
        }
        let page = std::fs::read(self.block.join(name).join("device/vpd_pg80")).unwrap_or_default();
        let text = String::from_utf8_lossy(page.get(4..).unwrap_or_default());
        text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .to_owned()
    }

    /// The place of a device in the machine, as the kernel's path for it.
    fn place(&self, name: &str) -> PathBuf {
        self.block.join(name).canonicalize().unwrap_or_default()
    }

    /// Names of the entries of a device's directory, or of one in it.
    fn entries(&self, name: &str, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.block.join(name).join(directory));
        let names = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = names.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// A device, its partitions, and what is built on any of them.
    fn with_all_on_it(&self, name: &str) -> Vec<String> {
        let mut all = vec![name.to_owned()];
        let mut index = 0;
        while let Some(name) = all.get(index).cloned() {
            let is_partition = |entry: &String| self.block.join(&name).join(entry).join("partition").exists();
            let partitions = self.entries(&name, "").into_iter().filter(is_partition);
            let above: Vec<String> = partitions.chain(self.entries(&name, "holders")).collect();
            for next in above {
                if !all.contains(&next) {
                    all.push(next);
                }
            }
            index += 1;
        }
        all
    }

    fn used_as(&self, name: &str) -> Vec<String> {
        let number = self.says(name, "dev");
        let mounts = self.mounts.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields.get(2) == Some(&number.as_str()))
                .then(|| unescaped(fields.get(4).copied().unwrap_or_default()))
        });
        let path = format!("/dev/{name}");
        let swaps = self.swaps.lines().skip(1);
        let swaps = swaps.filter(|line| line.split_whitespace().next() == Some(&path));
        mounts.chain(swaps.map(|_| "swap".to_owned())).collect()
    }

    fn holders(&self, all: &[String]) -> Vec<String> {
        let mut holders: Vec<String> = all
            .iter()
            .flat_map(|name| self.entries(name, "holders"))
            .collect();
        holders.sort();
        holders.dedup();
        holders
    }
}

impl Device {
    /// Looks at the device at `path`.
    ///
    /// # Errors
    /// When there is no block device.
    pub fn look(path: &Path, kernel: &Kernel) -> Result<Self, LookError> {
        let failed = |source| LookError::Path(path.to_owned(), source);
        let path = path.canonicalize().map_err(failed)?;
        if !path.metadata().map_err(failed)?.file_type().is_block_device() {
            return Err(LookError::NotBlock(path));
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::describe(path, name, kernel)
    }

    /// Every whole disk of this machine, in the order of their places in it. What the kernel makes up (loop devices, memory,
    /// volumes) is none.
    #[must_use]
    pub fn disks(kernel: &Kernel) -> Vec<Self> {
        let is_disk = |name: &String| {
            let place = kernel.block.join(name);
            place.join("device").exists() && !place.join("partition").exists()
        };
        let mut names: Vec<String> = kernel.entries("", "").into_iter().filter(is_disk).collect();
        names.sort_by_key(|name| kernel.place(name));
        let describe = |name: String| Self::describe(Path::new("/dev").join(&name), name, kernel).ok();
        names.into_iter().filter_map(describe).collect()
    }

    fn describe(path: PathBuf, name: String, kernel: &Kernel) -> Result<Self, LookError> {
        let size = std::fs::read_to_string(kernel.block.join(&name).join("size"));
        let size = size.map_err(|source| LookError::Description {
            name: name.clone(),
            source,
        })?;
        let all = kernel.with_all_on_it(&name);
        // A virtual disk's vendor is a number, which is no manufacturer's name.
        let vendor = Some(kernel.says(&name, "device/vendor")).filter(|vendor| !vendor.starts_with("0x"));
        let model = [vendor.unwrap_or_default(), kernel.says(&name, "device/model")];
        // A card calls its model `name` (Documentation/driver-api/mmc/mmc-dev-attrs.rst).
        let model = match model.join(" ").trim() {
            "" => kernel.says(&name, "device/name"),
            model => model.to_owned(),
        };
        Ok(Self {
            model,
            serial: kernel.serial(&name),
            bytes: size.trim().parse::<u64>().unwrap_or(0).saturating_mul(512),
            // The kernel takes a card's slot for what stays, and the card is what is pulled out.
            removable: kernel.says(&name, "removable") == "1" || kernel.says(&name, "device/type") == "SD",
            usb: is_on_usb(&kernel.place(&name)),
            read_only: kernel.says(&name, "ro") == "1",
            partition_of: kernel
                .block
                .join(&name)
                .join("partition")
                .exists()
                .then(|| disk_of(kernel, &name)),
            used_as: all.iter().flat_map(|name| kernel.used_as(name)).collect(),
            held_by: kernel.holders(&all),
            path,
            name,
        })
    }

    /// Every reason not to write to it, in words, each with what to do; empty when there is none. `internal` is
    /// whether disks that are not removable were asked for.
    #[must_use]
    pub fn refusals(&self, internal: bool) -> Vec<String> {
        let mut why = Vec::new();
        let path = self.path.display();
        if let Some(disk) = &self.partition_of {
            why.push(format!("{path} is a partition; give the whole disk, /dev/{disk}"));
        }
        if self.read_only {
            why.push(format!("{path} is read-only; is there a switch on the card?"));
        }
        if self.bytes == 0 {
            why.push(format!("{path} has no medium in it"));
        } else if self.bytes < Table::fresh_disk_bytes() {
            let (found, needed) = (self.bytes, Table::fresh_disk_bytes());
            why.push(format!("{path} has {found} bytes; the image needs {needed}"));
        }
        let system: Vec<_> = self
            .used_as
            .iter()
            .filter(|place| SYSTEM.contains(&place.as_str()))
            .collect();
        if system.is_empty() {
            for place in &self.used_as {
                let fix = if place == "swap" { "swapoff" } else { "umount" };
                why.push(format!("{path} is in use as {place}; {fix} it first"));
            }
        } else {
            why.push(format!("{path} is the disk this computer runs from"));
        }
        for holder in &self.held_by {
            why.push(format!("{path} is part of {holder}; take that apart first"));
        }
        if !self.removable && !internal && self.partition_of.is_none() {
            why.push(format!(
                "{path} is not removable; give --internal if it is really the one"
            ));
        }
        why
    }
}

/// Whether a device's place is below a USB bus: `…/usb2/2-1/2-1:1.0/host6/…`.
fn is_on_usb(place: &Path) -> bool {
    let bus = |part: &std::ffi::OsStr| {
        let number = part.to_str().and_then(|part| part.strip_prefix("usb"));
        number.is_some_and(|number| number.parse::<u16>().is_ok())
    };
    place.iter().any(bus)
}

/// The disk a partition is on: in sysfs it is the directory above.
fn disk_of(kernel: &Kernel, name: &str) -> String {
    let real = kernel.place(name);
    let above = real.parent().and_then(Path::file_name);
    above.unwrap_or_default().to_string_lossy().into_owned()
}

/// Mount points have space, tab, line feed and backslash as octal escapes.
fn unescaped(field: &str) -> String {
    [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .iter()
        .fold(field.to_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stick `sdb` with one partition, and this computer's `sda`, whose second one is encrypted and holds `/`.
    fn kernel(place: &Path) -> Kernel {
        let write = |path: &str, text: &str| {
            let path = place.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (name, dev, sectors, removable) in [("sda", "8:0", 1 << 24, 0), ("sdb", "8:16", 1 << 22, 1)] {
            write(&format!("{name}/dev"), &format!("{dev}\n"));
            write(&format!("{name}/size"), &format!("{sectors}\n"));
            write(&format!("{name}/removable"), &format!("{removable}\n"));
            write(&format!("{name}/ro"), "0\n");
        }
        write("sdb/device/vendor", "Quick   \n");
        write("sdb/device/model", "Stick 3.0  \n");
        for (name, dev) in [("sda/sda2", "8:2"), ("sdb/sdb1", "8:17")] {
            write(&format!("{name}/partition"), "1\n");
            write(&format!("{name}/dev"), dev);
            write(&format!("{name}/size"), "2048\n");
            let link = place.join(name.rsplit('/').next().unwrap());
            std::os::unix::fs::symlink(place.join(name), link).unwrap();
        }
        write("sda/sda2/holders/dm-0/x", "");
        write("dm-0/dev", "254:0\n");
        write("dm-0/size", "2048\n");
        Kernel {
            block: place.to_owned(),
            mounts: "25 1 254:0 / / rw - ext4 /dev/dm-0 rw\n26 25 8:17 / /media/my\\040stick rw - vfat /dev/sdb1 rw\n".to_owned(),
            swaps: "Filename Type Size Used Priority\n/dev/sdc partition 1 0 -2\n".to_owned(),
        }
    }

    fn device(kernel: &Kernel, name: &str) -> Device {
        Device::describe(format!("/dev/{name}").into(), name.to_owned(), kernel).unwrap()
    }

    #[test]
    fn a_stick_is_described_and_what_is_mounted_from_it_is_found() {
        let place = tempfile::tempdir().unwrap();
        let mut kernel = kernel(place.path());
        let stick = device(&kernel, "sdb");
        assert_eq!(
            (stick.model.as_str(), stick.bytes, stick.removable),
            ("Quick Stick 3.0", 2 << 30, true)
        );
        assert_eq!(
            stick.refusals(false),
            ["/dev/sdb is in use as /media/my stick; umount it first"]
        );
        kernel.mounts.clear();
        assert_eq!(device(&kernel, "sdb").refusals(false), Vec::<String>::new());
        kernel.swaps = kernel.swaps.replace("sdc", "sdb1");
        assert_eq!(
            device(&kernel, "sdb").refusals(false),
            ["/dev/sdb is in use as swap; swapoff it first"]
        );
    }

    #[test]
    fn the_disk_under_an_encrypted_root_is_the_computers_own() {
        let place = tempfile::tempdir().unwrap();
        let kernel = kernel(place.path());
        let why = device(&kernel, "sda").refusals(true);
        assert_eq!(
            why,
            [
                "/dev/sda is the disk this computer runs from",
                "/dev/sda is part of dm-0; take that apart first"
            ]
        );
    }

    #[test]
    fn every_reason_is_given_at_once() {
        let place = tempfile::tempdir().unwrap();
        let kernel = kernel(place.path());
        std::fs::write(place.path().join("sdb/ro"), "1\n").unwrap();
        std::fs::write(place.path().join("sdb/size"), "2048\n").unwrap();
        std::fs::write(place.path().join("sdb/removable"), "0\n").unwrap();
        let why = device(&kernel, "sdb").refusals(false).join("\n");
        for reason in [
            "read-only",
            "has 1048576 bytes; the image needs",
            "in use as",
            "not removable; give --internal",
        ] {
            assert!(why.contains(reason), "{reason}: {why}");
        }
        let partition = device(&kernel, "sdb1").refusals(false);
        assert!(
            partition[0].contains("give the whole disk, /dev/sdb"),
            "{partition:?}"
        );
    }

    #[test]
    fn what_is_no_block_device_is_refused() {
        let kernel = Kernel::now().unwrap();
        let error = Device::look(Path::new("/dev/null"), &kernel)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "/dev/null is not a block device; lsblk names this computer's disks"
        );
        assert!(Device::look(Path::new("/dev/nonexistent"), &kernel).is_err());
    }
}
