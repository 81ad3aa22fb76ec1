//! The boot disk: found, its data partition grown, made on the first boot, checked and mounted ever after.
//!
//! Invariant: a data partition whose file system was made once is never made again, whatever is wrong with it; the
//! partition table says so ([`crate::boot::disk::FILE_SYSTEM_MADE`]), not the file system.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};

use crate::boot::disk::{Place, Table, grow, mark_file_system_made};
use crate::sys;

use super::InitError;

/// How long the disk and its partitions may take to appear; shorter than the watchdog's timeout, which is not fed
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a program may work on the disk while the watchdog is fed for it.
const WORK: Duration = Duration::from_secs(3600);

/// The disk this box boots from.
#[derive(Debug)]
pub(super) struct BootDisk {
    /// The whole disk.
    pub(super) device: PathBuf,
    partitions: [PathBuf; 5],
    table: Table,
    bytes: u64,
}

impl BootDisk {
    /// Waits for a disk with our five partitions and grows the last one to the disk's end.
    ///
    /// Disks are told by their partitions' names and not by `sda` or `vda`; of several, the first by its place in the
    /// machine is taken and the others are named in the log.
    ///
    /// # Errors
    /// When none appears, or its table cannot be read or written.
    pub(super) fn find() -> Result<Self, InitError> {
        let began = Instant::now();
        let disk = loop {
            if let Some(disk) = ours(Path::new("/sys/class/block")) {
                break disk;
            }
            if began.elapsed() >= PATIENCE {
                return Err(InitError::NoDisk);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let device = Path::new("/dev").join(&disk.name);
        let file = OpenOptions::new().read(true).write(true).open(&device);
        let mut file = file.map_err(|source| InitError::Read {
            path: device.clone(),
            source,
        })?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(|source| InitError::Read {
            path: device.clone(),
            source,
        })?;
        let wrap = |source| InitError::Table {
            device: device.clone(),
            source,
        };
        let before = Table::read(&file, bytes).map_err(wrap)?;
        let table = grow(&file, bytes).map_err(wrap)?;
        if table != before {
            let grown = table.partition(Place::Data).length() >> 20;
            log::info!("data partition grown to {grown} MiB");
            sys::reread_partitions(&file).map_err(|source| InitError::Write {
                path: device.clone(),
                source,
            })?;
        }
        let partitions = disk.partitions.map(|name| Path::new("/dev").join(name));
        wait_for(&partitions, began)?;
        Ok(Self {
            device,
            partitions,
            table,
            bytes,
        })
    }

    /// The device of a partition.
    pub(super) fn partition(&self, place: Place) -> &Path {
        &self.partitions[place.number() - 1]
    }

    /// The provision partition, opened, and its length in bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn provision(&self) -> Result<(File, u64), InitError> {
        let path = self.partition(Place::Provision);
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|source| InitError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok((file, self.table.partition(Place::Provision).length()))
    }

    /// Both slots, opened, under the names by which the updater gets them.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub(super) fn slots(&self) -> Result<[(&'static str, OwnedFd); 2], InitError> {
        let open = |place| {
            let path = self.partition(place);
            let file = OpenOptions::new().read(true).write(true).open(path);
            file.map(OwnedFd::from).map_err(|source| InitError::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok([("slot@a", open(Place::SlotA)?), ("slot@b", open(Place::SlotB)?)])
    }

    /// Mounts the data partition at `at`; makes its file system first if that was never done.
    ///
    /// # Errors
    /// When it can be neither made nor mended nor mounted.
    pub(super) fn mount_data(&mut self, at: &Path, feed: &dyn Fn()) -> Result<(), InitError> {
        let device = self.partition(Place::Data).to_owned();
        if self.table.file_system_made() {
            check(&device, feed);
        } else {
            self.make(&device, feed)?;
        }
        let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(&device, at, "ext4", flags, c"data=ordered").map_err(|error| InitError::Mount {
            what: device.display().to_string(),
            at: at.to_owned(),
            source: error.into(),
        })?;
        // Grown while mounted: that needs no full check before.
        if is_smaller_than_partition(&device, self.table.partition(Place::Data).length())
            && let Err(error) = run("resize2fs", &[], &device, feed)
        {
            log::warn!("the data file system keeps its size: {error}");
        }
        Ok(())
    }

    fn make(&mut self, device: &Path, feed: &dyn Fn()) -> Result<(), InitError> {
        log::info!("making the data file system");
        let options = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-L",
            "rap-data",
            "-m",
            "1",
            "-E",
            "nodiscard",
        ];
        run("mke2fs", &options, device, feed)?;
        let write = |source| InitError::Write {
            path: device.to_owned(),
            source,
        };
        File::open(device)
            .and_then(|file| file.sync_all())
            .map_err(write)?;
        let disk = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.device)
            .map_err(write)?;
        self.table = mark_file_system_made(&disk, self.bytes).map_err(|source| InitError::Table {
            device: self.device.clone(),
            source,
        })?;
        Ok(())
    }
}

/// A disk by its kernel name, and its partitions' in order.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    name: String,
    partitions: [String; 5],
}

/// The first disk below `class` (`/sys/class/block`) whose partitions have our names.
fn ours(class: &Path) -> Option<Found> {
    let mut disks: Vec<(PathBuf, Found)> = Vec::new();
    for entry in std::fs::read_dir(class).ok()?.flatten() {
        let Ok(place) = entry.path().canonicalize() else {
            continue;
        };
        let parts = Place::ALL.map(|wanted| partition(&place, wanted));
        if let [Some(a), Some(b), Some(c), Some(d), Some(e)] = parts {
            let name = entry.file_name().to_string_lossy().into_owned();
            let partitions = [a, b, c, d, e];
            disks.push((place, Found { name, partitions }));
        }
    }
    disks.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, other) in disks.iter().skip(1) {
        log::warn!(
            "{} looks like another boot disk; {} is used",
            other.name,
            disks[0].1.name
        );
    }
    disks.into_iter().next().map(|(_, disk)| disk)
}

/// The kernel name of the partition `wanted` of the disk at `disk` below `/sys/devices`, by `PARTNAME` of its uevent.
fn partition(disk: &Path, wanted: Place) -> Option<String> {
    for entry in std::fs::read_dir(disk).ok()?.flatten() {
        let uevent = std::fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
        let field = |key: &str| {
            uevent
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let number = wanted.number().to_string();
        if field("PARTNAME") == Some(wanted.name()) && field("PARTN") == Some(number.as_str()) {
            return field("DEVNAME").map(str::to_owned);
        }
    }
    None
}

/// Waits until devtmpfs has every one of `devices`; the patience counts from `began`.
fn wait_for(devices: &[PathBuf], began: Instant) -> Result<(), InitError> {
    while let Some(missing) = devices.iter().find(|device| !device.exists()) {
        if began.elapsed() >= PATIENCE {
            return Err(InitError::NoDevice {
                path: missing.clone(),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Lets e2fsck mend what it can: first only what is safe, then everything.
///
/// Its exit codes are bits: 1 and 2 mean mended, 4 and more that faults are left (e2fsck(8)).
fn check(device: &Path, feed: &dyn Fn()) {
    let Err(InitError::Program { code, .. }) = run("e2fsck", &["-p"], device, feed) else {
        return;
    };
    if code.is_some_and(|code| code & !3 == 0) {
        return log::warn!("the data file system was mended");
    }
    log::error!("the data file system is damaged; mending it by force");
    if let Err(error) = run("e2fsck", &["-f", "-y"], device, feed) {
        log::warn!("{error}");
    }
}

/// Runs one of e2fsprogs on a device; its output goes to the console. `feed` is called about once a second.
fn run(program: &'static str, options: &[&str], device: &Path, feed: &dyn Fn()) -> Result<(), InitError> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin"];
    let found = places
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|path| path.exists());
    let Some(path) = found else {
        return Err(InitError::NoProgram { program });
    };
    let failed = |source| InitError::Start { program, source };
    let mut child = Command::new(path)
        .args(options)
        .arg(device)
        .stdin(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let began = Instant::now();
    let mut fed = began;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        // A large disk takes its time; one that takes for ever is the watchdog's.
        if fed.elapsed() >= Duration::from_secs(1) && began.elapsed() < WORK {
            feed();
            fed = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let code = status.code();
    if code == Some(0) {
        return Ok(());
    }
    let device = device.to_owned();
    Err(InitError::Program {
        program,
        device,
        code,
    })
}

fn is_smaller_than_partition(device: &Path, partition: u64) -> bool {
    let mut superblock = [0; 1024];
    let read = File::open(device).and_then(|mut file| {
        file.seek(SeekFrom::Start(1024))?;
        file.read_exact(&mut superblock)
    });
    // A file system ends at a whole block, of at most 64 KiB.
    read.is_ok() && ext4_bytes(&superblock).is_some_and(|bytes| bytes + (64 << 10) < partition)
}

/// The size of an ext4 file system by its superblock (Linux, Documentation/filesystems/ext4/super.rst).
fn ext4_bytes(superblock: &[u8; 1024]) -> Option<u64> {
    let word = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&superblock[at..at + 4]);
        u32::from_le_bytes(bytes)
    };
    let is_64bit = word(0x60) & 0x80 != 0;
    let high = if is_64bit { u64::from(word(0x150)) } else { 0 };
    let blocks = u64::from(word(4)) | high << 32;
    let shift = word(0x18).checked_add(10).filter(|shift| *shift <= 16)?;
    (superblock[0x38..0x3a] == [0x53, 0xef]).then(|| blocks.checked_shl(shift))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(program: &str) -> bool {
        let found = ["/usr/sbin", "/sbin", "/usr/bin"]
            .iter()
            .any(|at| Path::new(at).join(program).exists());
        assert!(
            found || std::env::var_os("CI").is_none(),
            "this test needs {program} (package e2fsprogs)"
        );
        if !found {
            println!("skipped: needs {program} (package e2fsprogs)");
        }
        found
    }

    fn image(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_system_is_made_measured_damaged_and_mended() {
        if !needs("mke2fs") || !needs("e2fsck") {
            return;
        }
        let file = image(16 << 20);
        run("mke2fs", &["-q", "-F", "-t", "ext4"], file.path(), &|| ()).unwrap();
        assert!(!is_smaller_than_partition(file.path(), 16 << 20));
        assert!(is_smaller_than_partition(file.path(), 32 << 20));
        check(file.path(), &|| ());
        // The superblock: that needs more than the safe mending.
        use std::os::unix::fs::FileExt as _;
        file.as_file().write_all_at(&[0; 2048], 1024).unwrap();
        assert!(run("e2fsck", &["-n", "-f"], file.path(), &|| ()).is_err());
        check(file.path(), &|| ());
        run("e2fsck", &["-n", "-f"], file.path(), &|| ()).unwrap();
    }

    #[test]
    fn a_failing_program_is_named_with_its_device() {
        if !needs("e2fsck") {
            return;
        }
        let error = run("e2fsck", &["-n"], Path::new("/nonexistent"), &|| ()).unwrap_err();
        assert!(
            error.to_string().contains("e2fsck") && error.to_string().contains("/nonexistent"),
            "{error}"
        );
    }

    #[test]
    fn the_disk_with_our_partitions_is_found() {
        let sys = tempfile::tempdir().unwrap();
        let class = sys.path().join("class");
        std::fs::create_dir(&class).unwrap();
        for disk in ["vda", "vdb", "vdc"] {
            let place = sys.path().join("devices").join(disk);
            std::fs::create_dir_all(&place).unwrap();
            std::os::unix::fs::symlink(&place, class.join(disk)).unwrap();
        }
        for (disk, count) in [("vda", 4), ("vdb", 5), ("vdc", 5)] {
            for place in &Place::ALL[..count] {
                let name = format!("{disk}{}", place.number());
                let at = sys.path().join("devices").join(disk).join(&name);
                std::fs::create_dir(&at).unwrap();
                let uevent = format!(
                    "DEVNAME={name}\nPARTN={}\nPARTNAME={}\n",
                    place.number(),
                    place.name()
                );
                std::fs::write(at.join("uevent"), uevent).unwrap();
            }
        }
        let found = ours(&class).unwrap();
        assert_eq!(found.name, "vdb");
        assert_eq!(found.partitions, ["vdb1", "vdb2", "vdb3", "vdb4", "vdb5"]);
    }
}
