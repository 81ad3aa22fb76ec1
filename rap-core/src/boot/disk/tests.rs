use std::cell::RefCell;

use super::*;

/// A disk in memory that stops writing after a number of sectors: the power is cut.
struct Fading {
    bytes: RefCell<Vec<u8>>,
    sectors_left: RefCell<usize>,
}

impl Fading {
    fn new(bytes: Vec<u8>, sectors: usize) -> Self {
        Self {
            bytes: RefCell::new(bytes),
            sectors_left: RefCell::new(sectors),
        }
    }
}

impl Disk for Fading {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let at = usize::try_from(offset).unwrap();
        bytes.copy_from_slice(&self.bytes.borrow()[at..at + bytes.len()]);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut at = usize::try_from(offset).unwrap();
        for sector in bytes.chunks(512) {
            if *self.sectors_left.borrow() == 0 {
                return Err(DiskError::NoTable);
            }
            *self.sectors_left.borrow_mut() -= 1;
            self.bytes.borrow_mut()[at..at + sector.len()].copy_from_slice(sector);
            at += sector.len();
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A small disk of our shape: the fresh table moved together, so that a test can hold it in memory.
fn small_table() -> Table {
    let mut table = Table::fresh();
    for (number, partition) in table.partitions.iter_mut().enumerate() {
        partition.first = 2048 + number as u64 * 16;
        partition.last = partition.first + 15;
    }
    table
}

const SMALL: u64 = 2 * MIB;
const LARGE: u64 = 5 * MIB;

fn small_disk() -> Vec<u8> {
    let disk = Fading::new(vec![0; usize::try_from(LARGE).unwrap()], usize::MAX);
    small_table().write(&disk, SMALL).unwrap();
    disk.bytes.into_inner()
}

#[test]
fn growing_survives_a_power_cut_after_every_sector() {
    let before = small_disk();
    let full = Fading::new(before.clone(), usize::MAX);
    let wanted = grow(&full, LARGE).unwrap();
    assert_eq!(wanted.partition(Place::Data).last, (LARGE - MIB) / SECTOR - 1);
    let after = full.bytes.into_inner();
    let mut cuts = 0;
    for sectors in 0.. {
        let cut = Fading::new(before.clone(), sectors);
        let finished = grow(&cut, LARGE).is_ok();
        let left = cut.bytes.into_inner();
        let table = Table::read(&Fading::new(left.clone(), 0), LARGE).expect("a table after the cut");
        assert!(
            table == small_table() || table == wanted,
            "half a change after {sectors} sectors"
        );
        let again = Fading::new(left, usize::MAX);
        assert_eq!(grow(&again, LARGE).unwrap(), wanted);
        assert!(
            again.bytes.into_inner() == after,
            "not repaired after {sectors} sectors"
        );
        if finished {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 60, "the cut must fall into every phase, there were {cuts}");
}

#[test]
fn growing_twice_writes_nothing_more() {
    let disk = Fading::new(small_disk(), usize::MAX);
    let table = grow(&disk, LARGE).unwrap();
    let frozen = Fading::new(disk.bytes.into_inner(), 0);
    assert_eq!(grow(&frozen, LARGE).unwrap(), table);
}

#[test]
fn the_mark_stays_when_the_disk_grows() {
    let disk = Fading::new(small_disk(), usize::MAX);
    assert!(!Table::read(&disk, LARGE).unwrap().file_system_made());
    mark_file_system_made(&disk, LARGE).unwrap();
    assert!(grow(&disk, LARGE).unwrap().file_system_made());
}

#[test]
fn foreign_and_damaged_disks_are_refused() {
    let nothing = Fading::new(vec![0; usize::try_from(SMALL).unwrap()], 0);
    assert!(matches!(Table::read(&nothing, SMALL), Err(DiskError::NoTable)));
    assert!(matches!(Table::read(&nothing, 512), Err(DiskError::NoTable)));
    let mut foreign = small_table();
    foreign.partitions[2].guid = uuid!("00000000-0000-0000-0000-000000000001");
    let disk = Fading::new(vec![0; usize::try_from(SMALL).unwrap()], usize::MAX);
    foreign.write(&disk, SMALL).unwrap();
    assert!(matches!(
        Table::read(&disk, SMALL),
        Err(DiskError::NotOurs {
            number: 3,
            name: "rap-b"
        })
    ));
    assert!(matches!(
        Table::fresh().write(&disk, SMALL),
        Err(DiskError::TooSmall { .. })
    ));
}

#[test]
fn another_program_reads_the_fresh_image() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(Table::fresh_disk_bytes()).unwrap();
    write_fresh(&file, &[(Place::Esp, &esp(&[1; 5000]).unwrap())]).unwrap();
    let disk = ::gpt::GptConfig::new()
        .writable(false)
        .open_from_device(file)
        .unwrap();
    assert_eq!(disk.guid(), &DISK);
    assert!(disk.backup_header().is_ok());
    let found: Vec<_> = disk
        .partitions()
        .values()
        .map(|entry| (entry.name.clone(), entry.last_lba - entry.first_lba + 1))
        .collect();
    let wanted: Vec<_> = Place::ALL
        .iter()
        .map(|place| (place.name().to_owned(), place.fresh_bytes() / SECTOR))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(disk.partitions()[&2].part_type_guid.guid, KIND_BASIC_DATA);
}

#[test]
fn a_fresh_image_is_sparse_and_reads_back() {
    use std::os::unix::fs::MetadataExt;
    let file = tempfile::tempfile().unwrap();
    file.set_len(Table::fresh_disk_bytes()).unwrap();
    write_fresh(&file, &[(Place::Esp, &esp(&[1; 5000]).unwrap())]).unwrap();
    assert_eq!(
        Table::read(&file, Table::fresh_disk_bytes()).unwrap(),
        Table::fresh()
    );
    assert!(file.metadata().unwrap().blocks() * 512 < 4 * MIB);
}
