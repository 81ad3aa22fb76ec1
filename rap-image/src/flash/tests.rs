//! Flashing a file full of what somebody else left.

use rap_core::boot::disk::PROVISION_BYTES;

use super::*;
use crate::parcel::tests::identity;

const DEVICE: u64 = 1 << 30;

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
    for at in beginnings
        .into_iter()
        .chain([slot + (100 << 20), DEVICE - (16 << 20)])
    {
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
    let plan = Plan::new(&image(place.path()), None, DEVICE).unwrap();
    let told = std::cell::Cell::new(0);
    plan.write(&device, &|_, done| told.set(done)).unwrap();
    assert_eq!(told.get(), plan.bytes());
    plan.verify(&device, &|_, _| {}).unwrap();
    let table = Table::read(&device, DEVICE).unwrap();
    assert_eq!(table, Table::fresh().grown(DEVICE));
    for place in Place::ALL {
        let start = table.partition(place).offset();
        assert_eq!(byte(&device, start), mark(place));
        let behind = start + CLEARED_BYTES.min(table.partition(place).length()) - 1;
        assert_eq!(byte(&device, behind), 0, "{place:?}");
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
    let plan = Plan::new(&image(place.path()), None, DEVICE).unwrap();
    plan.write(&device, &|_, _| {}).unwrap();
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
    let before = Plan::new(&image, None, DEVICE).unwrap();
    before.write(&device, &|_, _| {}).unwrap();
    // The image breaks off in the middle of slot A: so does the writing.
    let plan = Plan::new(&image, None, DEVICE).unwrap();
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(80 << 20)
        .unwrap();
    assert!(matches!(
        plan.write(&device, &|_, _| {}),
        Err(FlashError::Image(..))
    ));
    assert!(matches!(Table::read(&device, DEVICE), Err(DiskError::NoTable)));
}

#[test]
fn the_parcel_fills_the_provision_partition() {
    let place = tempfile::tempdir().unwrap();
    let device = device(place.path());
    let parcel = Parcel::new(rap_core::site::EXAMPLE, &identity(place.path())).unwrap();
    let plan = Plan::new(&image(place.path()), Some(&parcel), DEVICE).unwrap();
    plan.write(&device, &|_, _| {}).unwrap();
    plan.verify(&device, &|_, _| {}).unwrap();
    let mut found = vec![0; usize::try_from(PROVISION_BYTES).unwrap()];
    let at = Table::fresh().partition(Place::Provision).offset();
    device.read_exact_at(&mut found, at).unwrap();
    let found = rap_core::provision::unpack(&found).unwrap().expect("a parcel");
    assert_eq!(found.site.as_deref(), Some(rap_core::site::EXAMPLE));
}
