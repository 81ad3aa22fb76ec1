//! Flashing a file full of what somebody else left.

use std::os::fd::AsFd;

use rap_core::boot::disk::{Disk, PROVISION_BYTES, SLOT_BYTES};
use rap_core::flash::{CLEARED_BYTES, FlashError, Plan, TAIL_BYTES};

use super::*;
use crate::parcel::tests::identity;

const DEVICE: u64 = 1 << 30;
const BUILD: &str = "5f56b8440fde";

fn plan(image: &Path, parcel: Option<&Parcel>) -> Plan<DiskImage> {
    Plan::new(DiskImage::open(image, parcel).unwrap(), DEVICE)
}

/// What a partition of the image begins with: its number.
fn mark(place: Place) -> u8 {
    u8::try_from(place.number()).unwrap()
}

/// An image whose partitions begin with their numbers, and whose slot A has something in its middle.
fn image(place: &Path) -> PathBuf {
    let path = place.join("disk.img");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    file.set_len(Table::fresh_disk_bytes()).unwrap();
    rap_core::boot::disk::write_fresh(&file, &[]).unwrap();
    let table = Table::fresh();
    for place in Place::ALL {
        file.write_all_at(&[mark(place); 600], table.partition(place).offset())
            .unwrap();
    }
    file.write_all_at(b"middle", table.partition(Place::SlotA).offset() + (20 << 20))
        .unwrap();
    path
}

/// A device on which somebody else left something in every place that matters.
fn device(place: &Path) -> File {
    let path = place.join("device");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(DEVICE).unwrap();
    let slot = Table::fresh().partition(Place::SlotA).offset();
    let beginnings = Place::ALL.map(|place| Table::fresh().partition(place).offset());
    for at in beginnings.into_iter().chain([
        slot + (100 << 20),
        slot + SLOT_BYTES - (16 << 20),
        DEVICE - (16 << 20),
    ]) {
        file.write_all_at(&vec![0xA5; 16 << 20], at).unwrap();
    }
    file
}

fn byte(device: &File, at: u64) -> u8 {
    let mut byte = [0];
    device.read_exact_at(&mut byte, at).unwrap();
    byte[0]
}

#[test]
fn what_is_used_is_written_and_nothing_old_looks_like_ours() {
    let place = tempfile::tempdir().unwrap();
    let device = device(place.path());
    let plan = plan(&image(place.path()), None);
    let told = std::cell::Cell::new(0);
    plan.write(&device, BUILD, &|_, done| told.set(done)).unwrap();
    assert_eq!(told.get(), plan.bytes());
    assert!(
        plan.bytes() < 64 << 20,
        "{} bytes: the image has less in it",
        plan.bytes()
    );
    plan.verify(&device, &|_, _| {}).unwrap();
    assert_eq!(
        rap_core::flash::mark::find(&device).unwrap().as_deref(),
        Some(BUILD)
    );
    assert!(matches!(Table::read(&device, DEVICE), Err(DiskError::NoTable)));
    plan.finish(&device).unwrap();
    assert_eq!(rap_core::flash::mark::find(&device).unwrap(), None);
    let table = Table::read(&device, DEVICE).unwrap();
    assert_eq!(table, Table::fresh().grown(DEVICE));
    for place in Place::ALL {
        let start = table.partition(place).offset();
        assert_eq!(byte(&device, start), mark(place));
        let behind = start + CLEARED_BYTES.min(table.partition(place).length()) - 1;
        assert_eq!(byte(&device, behind), 0, "{place:?}");
        let end = start + table.partition(place).length();
        assert_eq!(byte(&device, end - 1), 0, "{place:?}");
        assert_eq!(byte(&device, end.max(TAIL_BYTES) - TAIL_BYTES), 0, "{place:?}");
    }
    let slot = table.partition(Place::SlotA).offset();
    assert_eq!(byte(&device, slot + (20 << 20)), b'm');
    assert_eq!(
        byte(&device, slot + (10 << 20)),
        0,
        "a hole in what is used is zeros"
    );
    assert_eq!(
        byte(&device, slot + (100 << 20)),
        0xA5,
        "what is not used is not written"
    );
}

#[test]
fn a_byte_that_turned_is_found() {
    let place = tempfile::tempdir().unwrap();
    let device = device(place.path());
    let plan = plan(&image(place.path()), None);
    plan.write(&device, BUILD, &|_, _| {}).unwrap();
    let at = Table::fresh().partition(Place::SlotA).offset() + (20 << 20) + 3;
    device.write_all_at(b"X", at).unwrap();
    let error = plan.verify(&device, &|_, _| {}).unwrap_err();
    assert!(
        matches!(error, FlashError::Differs { offset } if offset == at),
        "{error}"
    );
}

#[test]
fn a_device_pulled_out_halfway_has_no_table() {
    let place = tempfile::tempdir().unwrap();
    let device = device(place.path());
    let image = image(place.path());
    let before = plan(&image, None);
    before.write(&device, BUILD, &|_, _| {}).unwrap();
    before.finish(&device).unwrap();
    // The image breaks off in the middle of slot A: so does the writing.
    let plan = plan(&image, None);
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(80 << 20)
        .unwrap();
    assert!(matches!(
        plan.write(&device, BUILD, &|_, _| {}),
        Err(FlashError::Image { .. })
    ));
    assert!(matches!(Table::read(&device, DEVICE), Err(DiskError::NoTable)));
    assert_eq!(
        rap_core::flash::mark::find(&device).unwrap().as_deref(),
        Some(BUILD)
    );
}

/// A device whose power goes after some writes and flushes; what was written before is kept.
struct Cut<'a> {
    device: &'a File,
    left: std::cell::Cell<u32>,
}

impl Cut<'_> {
    fn step(&self) -> Result<(), DiskError> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left > 0 {
            return Ok(());
        }
        Err(DiskError::Io {
            action: "write",
            offset: 0,
            bytes: 0,
            source: io::Error::other("no power"),
        })
    }
}

impl Disk for Cut<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        Disk::read_at(self.device, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.step()?;
        Disk::write_at(self.device, bytes, offset)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.step()
    }
}

impl AsFd for Cut<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Wherever it ends: either there is no table, or everything is on the device; and it is marked until all is done.
#[test]
fn no_cut_leaves_a_device_that_boots_by_half() {
    let place = tempfile::tempdir().unwrap();
    let image = image(place.path());
    let plan = plan(&image, None);
    let cut_after = |steps: u32| {
        let mut options = File::options();
        let path = place.path().join("cut");
        let device = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap();
        device.set_len(DEVICE).unwrap();
        let left = std::cell::Cell::new(steps);
        let cut = Cut {
            device: &device,
            left,
        };
        let ended = plan
            .write(&cut, BUILD, &|_, _| {})
            .and_then(|()| plan.finish(&cut));
        let marked = rap_core::flash::mark::find(&device).unwrap().is_some();
        let table = Table::read(&device, DEVICE);
        if let Ok(table) = &table {
            assert_eq!(*table, Table::fresh().grown(DEVICE), "after {steps} steps");
            plan.verify(&device, &|_, _| {}).unwrap();
        }
        assert!(marked || steps == 0 || table.is_ok(), "after {steps} steps");
        assert!(ended.is_err() || !marked);
        (steps - cut.left.get(), table.is_ok())
    };
    let (all, _) = cut_after(u32::MAX);
    assert!(all > 40, "{all} steps");
    // Every step of the table's, and some of the content's, which are all alike.
    let steps = (0..3).chain((3..all - 8).step_by(12)).chain(all - 8..all);
    let bootable = steps.filter(|steps| cut_after(*steps).1).count();
    assert!(
        (2..8).contains(&bootable),
        "{bootable} cuts left something that boots"
    );
}

#[test]
fn the_parcel_fills_the_provision_partition() {
    let place = tempfile::tempdir().unwrap();
    let device = device(place.path());
    let parcel = Parcel::new(rap_core::site::EXAMPLE, &identity(place.path())).unwrap();
    let plan = plan(&image(place.path()), Some(&parcel));
    plan.write(&device, BUILD, &|_, _| {}).unwrap();
    plan.verify(&device, &|_, _| {}).unwrap();
    let mut found = vec![0; usize::try_from(PROVISION_BYTES).unwrap()];
    let at = Table::fresh().partition(Place::Provision).offset();
    device.read_exact_at(&mut found, at).unwrap();
    let found = rap_core::provision::unpack(&found).unwrap().expect("a parcel");
    assert_eq!(found.site.as_deref(), Some(rap_core::site::EXAMPLE));
}

/// A machine with an NVMe disk, a SATA disk, a USB disk that the kernel takes for one that stays, a card, a partition, and a
/// loop device.
#[test]
fn the_disks_of_a_machine_are_told_with_serial_number_and_bus() {
    use rap_core::flash::device::{Device, Kernel};

    let place = tempfile::tempdir().unwrap();
    let (class, machine) = (place.path().join("class"), place.path().join("devices"));
    std::fs::create_dir(&class).unwrap();
    let disk = |name: &str, at: &str, files: &[(&str, &[u8])]| {
        let folder = machine.join(at).join(name);
        std::fs::create_dir_all(folder.join("holders")).unwrap();
        for (file, content) in [("size", &b"4194304\n"[..]), ("dev", b"8:0\n")]
            .iter()
            .chain(files)
        {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::os::unix::fs::symlink(&folder, class.join(name)).unwrap();
    };
    let usb = "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block";
    disk(
        "sdb",
        usb,
        &[("device/model", b"Portable\n"), ("removable", b"0\n")],
    );
    let page = b"\x00\x80\x00\x08 WD-1234\x00";
    disk(
        "sda",
        "pci0000:00/0000:00:17.0/ata1/block",
        &[("device/vpd_pg80", page)],
    );
    disk(
        "nvme0n1",
        "pci0000:00/0000:00:1d.0/nvme/nvme0",
        &[("device/serial", b"N-1 \n")],
    );
    disk(
        "vda",
        "pci0000:00/0000:00:04.0/virtio0/block",
        &[("serial", b"V1"), ("device/vendor", b"0x1af4")],
    );
    disk(
        "mmcblk1",
        "pci0000:00/0000:00:1a.0/mmc_host/mmc1/mmc1:1/block",
        &[("device/type", b"SD\n")],
    );
    disk(
        "sda1",
        "pci0000:00/0000:00:17.0/ata1/block/sda",
        &[("partition", b"1\n"), ("device/x", b"")],
    );
    disk("loop0", "virtual/block", &[]);
    let kernel = Kernel {
        block: class,
        mounts: String::new(),
        swaps: String::new(),
    };
    let disks = Device::disks(&kernel);
    let found: Vec<_> = disks
        .iter()
        .map(|disk| (disk.name.as_str(), disk.serial.as_str(), disk.usb, disk.removable))
        .collect();
    assert_eq!(
        found,
        [
            ("vda", "V1", false, false),
            ("sdb", "", true, false),
            ("sda", "WD-1234", false, false),
            ("mmcblk1", "", false, true),
            ("nvme0n1", "N-1", false, false),
        ]
    );
    assert_eq!(disks[0].bytes, 2 << 30);
}
