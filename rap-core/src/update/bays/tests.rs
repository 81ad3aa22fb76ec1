//! A slot's life on a file, with the bytes held against the builder's own.

use super::*;
use crate::boot::disk::SLOT_BYTES;
use crate::digest::Sha256;

/// A program of one section `.osrel`, and `rest` after it.
fn uki(build_id: &str, rest: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x40;
    bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
    bytes[0x46] = 2;
    bytes[0x54] = 0xf0;
    let osrel = format!("VERSION_ID=1.0\nBUILD_ID={build_id}\n");
    for (number, (name, at, length)) in [(".osrel", 4096, osrel.len()), (".initrd", 8192, rest)]
        .into_iter()
        .enumerate()
    {
        let header = 0x40 + 24 + 0xf0 + number * 40;
        bytes[header..header + name.len()].copy_from_slice(name.as_bytes());
        for (field, value) in [(8, length), (16, length.next_multiple_of(4096)), (20, at)] {
            bytes[header + field..header + field + 4]
                .copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        }
    }
    bytes.extend(osrel.as_bytes());
    bytes.resize(8192 + rest.next_multiple_of(4096), 7);
    bytes
}

fn file_of(bytes: &[u8]) -> release::File {
    release::File {
        bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

fn slot(label: Label, uki: &[u8], environment: &Environment) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(SLOT_BYTES).unwrap();
    for extent in slot_image(uki, label, environment).unwrap().extents {
        file.write_all_at(&extent.bytes, extent.offset).unwrap();
    }
    file
}

/// As it was flashed: A confirmed with build `aa`, B vacant.
fn fresh() -> Disk {
    let a = slot(Label::A, &uki("aa", 9000), &Label::A.confirmed(2, 60));
    Disk::new(a, slot(Label::B, &[], &Label::B.vacant()))
}

fn states(disk: &mut Disk, build_id: &str) -> (Option<Label>, [Option<State>; 2]) {
    let view = disk.look(build_id).unwrap();
    (view.running, [view.slots[0].state, view.slots[1].state])
}

#[test]
fn what_is_written_armed_and_confirmed_is_what_the_builder_would_flash() {
    let mut disk = fresh();
    assert_eq!(
        states(&mut disk, "aa"),
        (Some(Label::A), [Some(State::Ok), Some(State::Failed)])
    );
    let new = uki("bb", 3_000_000);
    disk.write(Label::B, &mut &new[..], &file_of(&new)).unwrap();
    // Not there before it is armed.
    assert_eq!(states(&mut disk, "bb"), (None, [Some(State::Ok), None]));
    disk.arm(Label::B).unwrap();
    assert_eq!(
        states(&mut disk, "bb"),
        (Some(Label::B), [Some(State::Ok), Some(State::Installed)])
    );
    disk.confirm(Label::B).unwrap();
    let expected = slot(Label::B, &new, &Label::B.confirmed(3, WATCHDOG_SECONDS));
    let mut bytes = [vec![0; 8 << 20], vec![0; 8 << 20]];
    expected.read_exact_at(&mut bytes[0], 0).unwrap();
    disk.slot(Label::B).read_exact_at(&mut bytes[1], 0).unwrap();
    assert!(bytes[0] == bytes[1]);
    assert_eq!(disk.digest(Label::B).unwrap(), file_of(&new));
    let mut read = Vec::new();
    disk.image(Label::B).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == new);
}

#[test]
fn another_image_or_a_short_or_a_long_one_is_an_error_and_never_armed() {
    let mut disk = fresh();
    let new = uki("bb", 100_000);
    let mut changed = new.clone();
    changed[9000] ^= 1;
    for (image, words) in [
        (&changed[..], "is not the release"),
        (&new[..50_000], "ends after"),
        (&[&new[..], b"x"].concat()[..], "longer"),
    ] {
        let error = disk.write(Label::B, &mut &image[..], &file_of(&new)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(disk.arm(Label::B).is_err());
    }
}

#[test]
fn a_rejected_slot_loses_and_may_be_tried_again_and_the_last_one_is_never_rejected() {
    let mut disk = fresh();
    let nothing = disk.reject(Label::A).unwrap_err();
    assert!(nothing.to_string().contains("nothing to go back to"), "{nothing}");
    let new = uki("bb", 10_000);
    disk.write(Label::B, &mut &new[..], &file_of(&new)).unwrap();
    disk.arm(Label::B).unwrap();
    disk.reject(Label::B).unwrap();
    let rejected = disk.environment(Label::B).unwrap().unwrap();
    assert_eq!((rejected.state, rejected.revision), (State::Failed, 0));
    disk.arm_again(Label::B).unwrap();
    let again = disk.environment(Label::B).unwrap().unwrap();
    assert_eq!((again.state, again.revision), (State::Installed, 3));
}

#[test]
fn what_is_no_program_is_not_read_on() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(SLOT_BYTES).unwrap();
    for start in [&b""[..], b"MZ", b"\xff\xff"] {
        file.write_all_at(start, 0).unwrap();
        assert!(program::read(&file, 0).is_err());
    }
    let mut huge = uki("aa", 10);
    let at = 0x40 + 24 + 0xf0 + 16;
    huge[at..at + 4].copy_from_slice(&[0xff; 4]);
    file.write_all_at(&huge, 0).unwrap();
    assert!(program::read(&file, 0).is_err());
}
