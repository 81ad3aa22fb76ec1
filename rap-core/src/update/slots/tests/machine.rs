//! A box that lives: what it finds on its disk at each start, what it does then, and what has been promised so far.
//!
//! What a box notes on its data partition is whole here (the updater's state is a file that is replaced by rename); the
//! power goes in everything that happens on the slots and the partition table.

use std::rc::Rc;

use super::super::keep::{Copy, Keep};
use super::super::mend::Nobody;
use super::super::pace::AtOnce;
use super::super::{Slots, SlotsError};
use super::firmware::{self, Start};
use super::sim::SimDisk;
use crate::boot::disk::{self, Place, Table, write_fresh};
use crate::boot::environment::{Environment, State};
use crate::boot::slot::{Label, Layout, slot_image};
use crate::boot::uki::tests::program;
use crate::digest::Sha256;
use crate::release;

const DISK_BYTES: u64 = 2 << 30;
/// Starts without a cut after which everything has to be done.
const STARTS: u32 = 16;
/// How often a trial that was cut short is tried again.
const ATTEMPTS: u32 = 3;

/// An image that was published.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) file: release::File,
    build_id: String,
}

/// What was published, and the kept copies of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) images: Vec<Image>,
    pub(super) copies: Vec<Copy>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new(sizes: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::new(folder.path());
        let images: Vec<Image> = (0_u8..)
            .zip(sizes)
            .map(|(number, size)| {
                let build_id = format!("{number:02x}").repeat(32);
                let bytes = program(&build_id, *size, u64::from(number) + 1);
                let file = release::File {
                    bytes: bytes.len() as u64,
                    sha256: Sha256::of(&bytes),
                };
                Image {
                    bytes,
                    file,
                    build_id,
                }
            })
            .collect();
        let copies = images
            .iter()
            .map(|image| keep.make(&image.file, &mut &*image.bytes, &mut AtOnce).unwrap())
            .collect();
        Self {
            images,
            copies,
            _folder: folder,
        }
    }
}

/// How an image behaves on its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// It confirms itself.
    Good,
    /// It sees that it is not well, and fails itself.
    Bad,
    /// Nothing of ours ever runs.
    Hangs,
}

/// What somebody wants of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Take the disk into use: grow the last partition, make its file system.
    First,
    Install(usize, Nature),
    /// The image before, whose slot is settled.
    Back,
    /// Take back what is armed, instead of trying it.
    Withdraw(usize),
    /// Both slots are looked at, and rot of so many places mended.
    Mend(u64),
}

/// What the box noted on its data partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Notes {
    /// Which image each slot holds that was confirmed there once.
    settled: [Option<usize>; 2],
    wanted: Option<(usize, Nature)>,
    attempts: u32,
    order: Option<Order>,
}

/// What may be started, by what has been promised: image numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promise {
    may: Vec<usize>,
    /// Whether what is wanted may be there without a trial: it was about to be confirmed.
    confirming: bool,
    file_system: bool,
}

/// A box with its disk.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    world: Rc<World>,
    pub(super) disk: SimDisk,
    notes: Notes,
    promise: Promise,
}

/// How a life went on.
enum Life {
    Cut,
    Restart,
    Idle,
}

impl Machine {
    /// A flashed disk: the first image in slot A, with this revision.
    pub(super) fn flashed(world: Rc<World>, seed: u64, revision: u32) -> Self {
        let disk = SimDisk::new(DISK_BYTES, seed);
        let uki = &world.images[0].bytes;
        let environments = [Label::A.confirmed(revision, 60), Label::B.vacant()];
        let a = slot_image(uki, Label::A, &environments[0]).unwrap();
        let b = slot_image(&[], Label::B, &environments[1]).unwrap();
        write_fresh(&disk, &[(Place::SlotA, &a), (Place::SlotB, &b)]).unwrap();
        disk.power_on();
        Self {
            world,
            disk,
            notes: Notes {
                settled: [Some(0), None],
                ..Notes::default()
            },
            promise: Promise {
                may: vec![0],
                confirming: false,
                file_system: false,
            },
        }
    }

    pub(super) fn copied(&self, seed: u64) -> Self {
        Self {
            disk: self.disk.copied(seed),
            ..self.clone()
        }
    }

    pub(super) fn part(&self, slot: Label) -> SimDisk {
        let table = Table::fresh();
        let partition = table.partition(slot.place());
        self.disk.part(partition.offset(), partition.length())
    }

    /// The image that runs when everything is done.
    pub(super) fn runs(&self) -> usize {
        self.promise.may[0]
    }

    /// Whether the slot that does not run holds an image that was confirmed there.
    pub(super) fn other_is_settled(&self) -> bool {
        let runs = self.runs();
        self.notes.settled.iter().all(|image| image.is_some()) && self.notes.settled.contains(&Some(runs))
    }

    /// Bytes of the image that is settled in a slot.
    pub(super) fn settled_bytes(&self, slot: Label) -> Option<u64> {
        let image = self.notes.settled[slot as usize]?;
        Some(self.world.images[image].file.bytes)
    }

    pub(super) fn runs_from(&self, slot: Label) -> bool {
        self.notes.settled[slot as usize] == Some(self.runs())
    }

    /// Gives an order, and switches on until it is done, with power cuts as the disk has them. `Err` is a broken promise.
    pub(super) fn obey(&mut self, order: Order, cuts: &mut dyn FnMut(&SimDisk)) -> Result<(), String> {
        self.notes.order = Some(order);
        let mut left = STARTS;
        while left > 0 {
            cuts(&self.disk);
            let life = self.start()?;
            self.disk.pass();
            match life {
                _ if self.disk.is_off() => {}
                Life::Cut => {}
                Life::Restart => left -= 1,
                Life::Idle => return self.is_done(),
            }
        }
        Err(format!(
            "{order:?}: not done after {STARTS} starts, notes {:?}",
            self.notes
        ))
    }

    /// One start, from the power button to the end of what the box does then.
    fn start(&mut self) -> Result<Life, String> {
        let (slot, bytes) = match firmware::start(&self.disk, DISK_BYTES) {
            Start::Program(slot, bytes) => (slot, bytes),
            Start::Nothing(why) => return Err(format!("nothing is started: {why}")),
            Start::Cut => {
                // Boot Guard was about to give an armed slot its trial: that may be over now.
                if let [armed] = self.promise.may[..]
                    && self.notes.wanted.is_some_and(|(wanted, _)| wanted == armed)
                {
                    self.promise.may.extend(self.base_image(armed));
                }
                return Ok(Life::Cut);
            }
        };
        let sha256 = Sha256::of(&bytes);
        let images = &self.world.images;
        let Some(image) = images.iter().position(|image| image.file.sha256 == sha256) else {
            return Err(format!("slot {slot} starts what was never published"));
        };
        let Promise { may, .. } = &self.promise;
        if !may.contains(&image) {
            return Err(format!(
                "slot {slot} starts image {image}, promised was one of {may:?}"
            ));
        }
        if let Some((_, Nature::Hangs)) = self.notes.wanted.filter(|(wanted, _)| *wanted == image) {
            // The one that ran before is next.
            self.promise.may.retain(|may| *may != image);
            self.promise.may.extend(self.base_image(image));
            return Ok(Life::Restart);
        }
        match self.live(slot, image) {
            Ok(life) => Ok(life),
            Err(_) if self.disk.is_off() => Ok(Life::Cut),
            Err(error) => {
                let mut words = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(error) = source {
                    words = format!("{words}: {error}");
                    source = error.source();
                }
                Err(format!("slot {slot}, image {image}: {words}"))
            }
        }
    }

    /// The settled image in the slot that `trial` is not in.
    fn base_image(&self, trial: usize) -> Option<usize> {
        self.notes
            .settled
            .into_iter()
            .flatten()
            .find(|image| *image != trial)
    }

    fn live(&mut self, slot: Label, image: usize) -> Result<Life, SlotsError> {
        let devices = [self.part(Label::A), self.part(Label::B)];
        let world = self.world.clone();
        let build_id = &world.images[image].build_id;
        let running = Slots::with_build_id(&devices, build_id)?;
        assert_eq!(running, slot, "which slot runs is known");
        let slots = Slots::new(devices, running, Some(world.images[image].file))?;
        if self.notes.order == Some(Order::First) {
            return self.take_into_use();
        }
        self.follow(&slots, image);
        match self.notes.wanted {
            Some((wanted, nature)) if wanted == image => return self.judge(&slots, image, nature),
            Some((wanted, _)) => return self.install(&slots, image, wanted),
            None => {}
        }
        if let Some(Order::Mend(_)) = self.notes.order {
            for label in Label::ALL {
                if let Some(settled) = self.notes.settled[label as usize] {
                    let (file, copy) = (&world.images[settled].file, &world.copies[settled]);
                    slots.mend(label, file, Some(copy), &mut Nobody, &mut AtOnce)?;
                }
            }
        }
        self.promise.may = vec![image];
        self.notes.order = None;
        Ok(Life::Idle)
    }

    /// From an order to what is wanted; noted whole.
    fn follow(&mut self, slots: &Slots<SimDisk>, image: usize) {
        let other = slots.running().other();
        match self.notes.order {
            Some(Order::Install(wanted, nature)) if wanted != image => {
                self.notes.wanted = Some((wanted, nature));
            }
            Some(Order::Back) => {
                let before = self.notes.settled[other as usize];
                self.notes.wanted = before.map(|before| (before, Nature::Good));
            }
            Some(Order::Withdraw(wanted)) => self.notes.wanted = Some((wanted, Nature::Good)),
            _ => return,
        }
        self.notes.attempts = 0;
        if !matches!(self.notes.order, Some(Order::Withdraw(_))) {
            self.notes.order = None;
        }
    }

    /// What the slots promise from now on: first either, then, once it is done, one.
    fn either(&mut self, images: [usize; 2]) {
        self.promise.may = images.to_vec();
    }

    fn install(&mut self, slots: &Slots<SimDisk>, image: usize, wanted: usize) -> Result<Life, SlotsError> {
        let other = slots.running().other();
        let published = &self.world.clone().images[wanted];
        if self.notes.attempts >= ATTEMPTS {
            self.notes.wanted = None;
            self.promise.may = vec![image];
            return Ok(Life::Restart);
        }
        self.promise.may = vec![image];
        self.promise.confirming = false;
        let verified = match slots.verify(other, &published.file, &mut AtOnce) {
            Ok(verified) => verified,
            Err(SlotsError::Device { slot, source }) => return Err(SlotsError::Device { slot, source }),
            Err(_) => {
                self.notes.settled[other as usize] = None;
                slots.write(&published.file, &mut &*published.bytes, &mut AtOnce)?
            }
        };
        self.either([image, wanted]);
        slots.arm(&verified, &mut AtOnce)?;
        self.promise.may = vec![wanted];
        if let Some(Order::Withdraw(_)) = self.notes.order {
            self.either([image, wanted]);
            slots.fail(other)?;
            self.promise.may = vec![image];
            self.notes.wanted = None;
            self.notes.order = None;
        } else {
            self.notes.attempts += 1;
        }
        Ok(Life::Restart)
    }

    /// On trial: what is started next is the one before, until this is confirmed.
    fn judge(&mut self, slots: &Slots<SimDisk>, image: usize, nature: Nature) -> Result<Life, SlotsError> {
        let base = self.base_image(image).unwrap_or(image);
        self.promise.may = vec![base];
        let slot = slots.running();
        if nature == Nature::Good {
            self.either([base, image]);
            let trial = slots
                .look(slot)
                .environment
                .is_ok_and(|found| found.state == State::Testing);
            assert!(
                trial || self.promise.confirming,
                "nothing is started without its trial"
            );
            self.promise.confirming = true;
            slots.confirm()?;
            self.promise.may = vec![image];
            self.notes.settled[slot as usize] = Some(image);
        } else {
            self.notes.wanted = None;
            slots.fail(slot)?;
        }
        self.notes.wanted = None;
        // Too late to take it back.
        if let Some(Order::Withdraw(_)) = self.notes.order {
            self.notes.order = None;
        }
        Ok(Life::Restart)
    }

    /// The first start: as `init::disk` does it.
    fn take_into_use(&mut self) -> Result<Life, SlotsError> {
        let slot = Label::A;
        let wrap = |source| SlotsError::Device { slot, source };
        let table = disk::grow(&self.disk, DISK_BYTES).map_err(wrap)?;
        let data = table.partition(Place::Data);
        let part = self.disk.part(data.offset(), data.length());
        let mut mark = [0; 512];
        if table.file_system_made() {
            part.read(&mut mark, 1024).map_err(wrap)?;
            // Made once, there for ever: and the mark that it was made stays.
            assert_eq!(mark, [0xef; 512], "the file system that was made is there");
        } else {
            assert!(!self.promise.file_system, "a file system is never made twice");
            part.write(&[0xef; 512], 1024).map_err(wrap)?;
            super::super::device::Device::flush(&part, super::super::device::Barrier::Mended)
                .map_err(wrap)?;
            disk::mark_file_system_made(&self.disk, DISK_BYTES).map_err(wrap)?;
            self.promise.file_system = true;
        }
        self.notes.order = None;
        Ok(Life::Idle)
    }

    /// After an order everything is as it should be, down to the bytes.
    fn is_done(&self) -> Result<(), String> {
        for label in Label::ALL {
            let Some(settled) = self.notes.settled[label as usize] else {
                continue;
            };
            let image = &self.world.images[settled];
            let layout = Layout::of(image.file.bytes).unwrap();
            let part = self.part(label);
            let mut uki = vec![0; image.bytes.len()];
            part.read(&mut uki, layout.uki.start)
                .map_err(|error| error.to_string())?;
            if uki != image.bytes {
                return Err(format!("slot {label} does not hold image {settled} any more"));
            }
            // In the other slot a cut may have left one that counts for nothing.
            if settled != self.runs() {
                continue;
            }
            let mut file = vec![0; crate::boot::environment::LENGTH];
            part.read(&mut file, layout.environment.start)
                .map_err(|error| error.to_string())?;
            Environment::decode(&file).map_err(|error| format!("slot {label}: {error}"))?;
        }
        Ok(())
    }
}
