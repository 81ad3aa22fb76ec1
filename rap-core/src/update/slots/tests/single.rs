//! One fault a test, each refused or mended with its own words.

use std::io::Read as _;
use std::rc::Rc;

use super::super::device::Device as _;
use super::super::mend::{Bring, Nobody, Report};
use super::super::pace::{AtOnce, Pace};
use super::super::{Slots, SlotsError, Unfit};
use super::machine::{Machine, World};
use super::sim::SimDisk;
use crate::boot::environment::State;
use crate::boot::slot::{Label, Layout};
use crate::release::FRAME;

const SIZES: [usize; 2] = [2_500_000, 9_000];

struct Bench {
    world: Rc<World>,
    machine: Machine,
    slots: Slots<SimDisk>,
}

/// Slot A runs the first image; slot B is vacant.
fn bench() -> Bench {
    let world = Rc::new(World::new(&SIZES));
    let machine = Machine::flashed(world.clone(), 1, 1);
    let devices = [machine.part(Label::A), machine.part(Label::B)];
    let slots = Slots::new(devices, Label::A, Some(world.images[0].file)).unwrap();
    Bench {
        world,
        machine,
        slots,
    }
}

impl Bench {
    fn write(&self) -> Result<super::super::Verified, SlotsError> {
        let new = &self.world.images[1];
        self.slots.write(&new.file, &mut &*new.bytes, &mut AtOnce)
    }

    fn mend(&self, elsewhere: &mut dyn Bring) -> Report {
        let (file, copy) = (&self.world.images[0].file, &self.world.copies[0]);
        self.slots
            .mend(Label::A, file, Some(copy), elsewhere, &mut AtOnce)
            .unwrap()
    }

    fn uki(&self) -> u64 {
        Layout::of(1).unwrap().uki.start
    }
}

#[test]
fn a_slot_says_what_is_in_it() {
    let bench = bench();
    let a = bench.slots.look(Label::A);
    assert!(a.visible);
    assert_eq!(a.environment.unwrap().state, State::Ok);
    let uki = a.uki.unwrap();
    assert_eq!((uki.bytes, uki.release.build_id), (2_500_000, "00".repeat(32)));
    let b = bench.slots.look(Label::B);
    assert_eq!(b.environment.unwrap().state, State::Failed);
    assert_eq!(b.uki.unwrap_err().to_string(), "its image is none of ours");
    let found = bench.slots.digest(Label::A, &mut AtOnce).unwrap();
    assert_eq!(found, bench.world.images[0].file);
    let mut read = Vec::new();
    let mut reader = bench.slots.reader(Label::A, 2_500_000).unwrap();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == bench.world.images[0].bytes);
}

#[test]
fn an_image_from_elsewhere_is_said_to_be_from_elsewhere() {
    let bench = bench();
    let devices = [Label::A, Label::B].map(|slot| bench.machine.part(slot));
    let error = Slots::with_build_id(&devices, &"ff".repeat(32)).unwrap_err();
    assert!(matches!(error, SlotsError::NotFromHere { .. }));
    assert!(error.to_string().contains("ffffffffffff:"), "{error}");
    assert_eq!(
        Slots::with_build_id(&devices, &"00".repeat(32)).unwrap(),
        Label::A
    );
    let small = [devices[0].part(0, 1 << 20), devices[1].clone()];
    let error = Slots::new(small, Label::A, None).unwrap_err();
    assert!(
        matches!(error, SlotsError::TooSmall { slot: Label::A, found } if found == 1 << 20),
        "{error}"
    );
}

#[test]
fn what_is_too_short_or_too_long_or_another_is_refused_and_the_slot_stays_empty() {
    let bench = bench();
    let new = &bench.world.images[1];
    for wrong in [
        &new.bytes[..8_999],
        &[&new.bytes[..], b"x"].concat(),
        &vec![0; 2 << 20],
    ] {
        let error = bench.slots.write(&new.file, &mut &*wrong, &mut AtOnce);
        assert!(
            matches!(error, Err(SlotsError::Length { expected: 9_000, .. })),
            "{error:?}"
        );
    }
    let mut other = new.bytes.clone();
    other[8_000] ^= 1;
    let error = bench.slots.write(&new.file, &mut &*other, &mut AtOnce);
    assert!(
        matches!(error, Err(SlotsError::Digest { slot: Label::B })),
        "{error:?}"
    );
    assert!(!bench.slots.look(Label::B).visible);
}

#[test]
fn a_sector_that_the_disk_did_not_keep_is_found_by_reading_back() {
    let part = |bench: &Bench| bench.machine.part(Label::B);
    let bench = bench();
    // The root directory, a cluster before the label, where the image's length is.
    part(&bench).forget_next_write(Layout::of(1).unwrap().label - 2048);
    let error = bench.write();
    assert!(
        matches!(error, Err(SlotsError::FileSystem { slot: Label::B, .. })),
        "{error:?}"
    );
    // What is there already needs no keeping, so another box.
    let bench = self::bench();
    part(&bench).forget_next_write(bench.uki() + 5_000);
    let error = bench.write();
    assert!(
        matches!(error, Err(SlotsError::Digest { slot: Label::B })),
        "{error:?}"
    );
    bench.write().unwrap();
}

#[test]
fn the_other_slot_is_not_touched_while_this_one_is_not_sound() {
    let places = Layout::of(2_500_000).unwrap();
    let faults = [
        (places.environment.start + 2000, Unfit::Environment),
        (places.label, Unfit::FileSystem(places.label)),
        (0, Unfit::FileSystem(0)),
        (places.uki.start + 1_234_567, Unfit::Uki),
    ];
    for (at, expected) in faults {
        let bench = bench();
        bench.machine.part(Label::A).flip(at);
        let before = bench.machine.disk.operations();
        match bench.write() {
            Err(SlotsError::Unfit { slot: Label::A, why }) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.machine.disk.operations(), before, "nothing was written");
    }
    let bench = bench();
    let verified = bench.write().unwrap();
    bench.slots.arm(&verified, &mut AtOnce).unwrap();
    let on_trial = Slots::new(
        [Label::A, Label::B].map(|slot| bench.machine.part(slot)),
        Label::B,
        None,
    )
    .unwrap();
    let error = on_trial.write(&bench.world.images[0].file, &mut &[0_u8][..], &mut AtOnce);
    assert!(
        matches!(
            error,
            Err(SlotsError::Unfit {
                why: Unfit::State(State::Installed),
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn what_is_not_on_trial_is_not_confirmed_and_nobody_fails_the_last_slot() {
    let bench = bench();
    bench.slots.confirm().unwrap();
    let error = bench.slots.fail(Label::A).unwrap_err();
    assert!(
        matches!(error, SlotsError::Unfit { slot: Label::B, .. }),
        "{error}"
    );
    let vacant = Slots::new(
        [Label::A, Label::B].map(|slot| bench.machine.part(slot)),
        Label::B,
        None,
    )
    .unwrap();
    let error = vacant.confirm().unwrap_err();
    assert_eq!(error.to_string(), "slot B is not on trial: its state is Failed");
    let a = bench
        .slots
        .verify(Label::A, &bench.world.images[0].file, &mut AtOnce)
        .unwrap();
    let error = bench.slots.arm(&a, &mut AtOnce).unwrap_err();
    assert!(matches!(error, SlotsError::Runs { slot: Label::A }), "{error}");
}

#[test]
fn rot_is_mended_from_the_kept_copy_and_what_is_right_is_not_written() {
    let bench = bench();
    assert_eq!(
        bench.mend(&mut Nobody),
        Report {
            blocks: 3,
            ..Report::default()
        }
    );
    assert_eq!(bench.machine.disk.operations(), bench.machine.disk.operations());
    let part = bench.machine.part(Label::A);
    for at in [bench.uki() + 100, bench.uki() + FRAME + 7, 0, 0x9000, 3 * 512] {
        part.flip(at);
    }
    part.spoil(bench.uki() + 2 * FRAME);
    part.flip(Layout::of(1).unwrap().environment.start + 700);
    let report = bench.mend(&mut Nobody);
    assert_eq!(report.mended, [0, 1, 2]);
    assert!(report.file_system && report.environment && report.is_whole());
    let environment = bench.slots.look(Label::A).environment.unwrap();
    assert_eq!((environment.state, environment.revision), (State::Ok, 1));
    let before = bench.machine.disk.operations();
    assert!(!bench.mend(&mut Nobody).found_rot());
    assert_eq!(
        bench.machine.disk.operations(),
        before,
        "what is right is not written"
    );
    bench.write().unwrap();
}

/// The image itself, as a repository has it; and what it was asked for.
struct Repository<'a>(&'a [u8], Vec<u64>);

impl Bring for Repository<'_> {
    fn bring(&mut self, _: &crate::release::File, block: u64) -> Option<Vec<u8>> {
        self.1.push(block);
        let frame = usize::try_from(FRAME).unwrap();
        self.0
            .chunks(frame)
            .nth(usize::try_from(block).unwrap())
            .map(<[u8]>::to_vec)
    }
}

#[test]
fn without_a_copy_a_block_comes_from_elsewhere_or_is_named() {
    let bench = bench();
    let part = bench.machine.part(Label::A);
    part.flip(bench.uki() + FRAME);
    let (file, bytes) = (&bench.world.images[0].file, &bench.world.images[0].bytes);
    let mend = |elsewhere: &mut dyn Bring| bench.slots.mend(Label::A, file, None, elsewhere, &mut AtOnce);
    let lost = mend(&mut Nobody).unwrap();
    assert_eq!((lost.lost.as_slice(), lost.is_whole()), (&[0, 1, 2][..], false));
    let mut repository = Repository(bytes, Vec::new());
    let report = mend(&mut repository).unwrap();
    assert_eq!(
        (report.mended.as_slice(), repository.1.as_slice()),
        (&[1][..], &[0, 1, 2][..])
    );
    part.flip(bench.uki() + FRAME);
    let lie = vec![7; bytes.len()];
    let error = mend(&mut Repository(&lie, Vec::new())).unwrap_err();
    assert!(matches!(error, SlotsError::Digest { slot: Label::A }), "{error}");
}

struct Once;

impl Pace for Once {
    fn after(&mut self, _bytes: u64) -> bool {
        false
    }
}

#[test]
fn whoever_waits_may_end_the_work() {
    let bench = bench();
    let file = &bench.world.images[0].file;
    assert!(matches!(
        bench.slots.digest(Label::A, &mut Once),
        Err(SlotsError::Interrupted)
    ));
    assert!(matches!(
        bench.slots.mend(Label::A, file, None, &mut Nobody, &mut Once),
        Err(SlotsError::Interrupted)
    ));
    assert!(bench.machine.part(Label::A).length().unwrap() > 0);
}

#[test]
fn a_file_is_a_device() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(crate::boot::disk::SLOT_BYTES).unwrap();
    assert_eq!(file.length().unwrap(), crate::boot::disk::SLOT_BYTES);
    file.write_at(b"abc", 512).unwrap();
    file.flush(super::super::device::Barrier::Armed).unwrap();
    super::super::device::Device::forget(&file).unwrap();
    let mut found = [0; 3];
    super::super::device::Device::read_at(&file, &mut found, 512).unwrap();
    assert_eq!(&found, b"abc");
}
