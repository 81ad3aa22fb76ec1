//! A disk that does what disks may do when the power goes: of what was not flushed each sector is kept, lost, or there in
//! an older version, each for itself and in any order. A flush that is cut has done some of that.
//!
//! Sectors can be made to flip, to be unreadable until they are written, and not to keep what is written to them. Single
//! flushes can be left out, for the test of mutants.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use super::super::device::{Barrier, Device};
use crate::boot::disk::{Disk, DiskError};

const SECTOR: usize = 512;
const PAGE: usize = 4096;

type Sector = [u8; SECTOR];

/// What is on a medium; pages that were never written are zeros.
#[derive(Debug, Clone, Default)]
struct Medium(HashMap<u64, Rc<[u8; PAGE]>>);

impl Medium {
    fn sector(&self, number: u64) -> Sector {
        let mut sector = [0; SECTOR];
        if let Some(page) = self.0.get(&(number / 8)) {
            let at = usize::try_from(number % 8).unwrap() * SECTOR;
            sector.copy_from_slice(&page[at..at + SECTOR]);
        }
        sector
    }

    fn put(&mut self, number: u64, sector: &Sector) {
        let page = self.0.entry(number / 8).or_insert_with(|| Rc::new([0; PAGE]));
        let at = usize::try_from(number % 8).unwrap() * SECTOR;
        Rc::make_mut(page)[at..at + SECTOR].copy_from_slice(sector);
    }
}

/// A flush that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// One of the slots'.
    Without(Barrier),
    /// The one of this number, from 0, of a partition table's.
    Table(u64),
}

#[derive(Debug, Clone, Default)]
struct World {
    platter: Medium,
    cache: Medium,
    /// Every version since the last flush, oldest first.
    dirty: BTreeMap<u64, Vec<Sector>>,
    unreadable: BTreeSet<u64>,
    forgetful: BTreeSet<u64>,
    fuse: Option<u64>,
    off: bool,
    operations: u64,
    table_flushes: u64,
    mutant: Option<Mutant>,
    chance: u64,
}

/// The disk; clones are the same disk. Or a part of it.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk {
    world: Rc<RefCell<World>>,
    start: u64,
    bytes: u64,
}

fn error(action: &'static str, offset: u64, bytes: usize, why: &str) -> DiskError {
    DiskError::Io {
        action,
        offset,
        bytes,
        source: io::Error::other(why.to_owned()),
    }
}

impl SimDisk {
    pub(crate) fn new(bytes: u64, seed: u64) -> Self {
        let world = World {
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            ..World::default()
        };
        Self {
            world: Rc::new(RefCell::new(world)),
            start: 0,
            bytes,
        }
    }

    /// Another disk with the same content, that goes its own way.
    pub(crate) fn copied(&self, seed: u64) -> Self {
        let mut world = self.world.borrow().clone();
        world.chance ^= seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        world.chance |= 1;
        Self {
            world: Rc::new(RefCell::new(world)),
            ..*self
        }
    }

    pub(crate) fn part(&self, start: u64, bytes: u64) -> Self {
        Self {
            world: self.world.clone(),
            start: self.start + start,
            bytes,
        }
    }

    pub(crate) fn mutate(&self, mutant: Mutant) {
        self.world.borrow_mut().mutant = Some(mutant);
    }

    /// Cuts the power in the `operations`th write or flush from now, from 1, over starts.
    pub(crate) fn cut_in(&self, operations: u64) {
        self.world.borrow_mut().fuse = Some(operations);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.world.borrow().off
    }

    /// Writes and flushes so far.
    pub(crate) fn operations(&self) -> u64 {
        self.world.borrow().operations
    }

    pub(crate) fn random(&self, below: u64) -> u64 {
        self.world.borrow_mut().random(below)
    }

    /// The power is back, or the machine restarts. Without a cut everything written arrives.
    pub(crate) fn power_on(&self) {
        let world = &mut *self.world.borrow_mut();
        let mode = if std::mem::take(&mut world.off) {
            world.random(6)
        } else {
            0
        };
        let dirty = std::mem::take(&mut world.dirty);
        let border = world.random(dirty.len() as u64 + 1);
        for (n, (number, versions)) in (0..).zip(dirty) {
            let kept = match mode {
                0 => versions.len(),
                1 => 0,
                // Those at the front, or those at the back, were written first.
                2 => {
                    if n < border {
                        versions.len()
                    } else {
                        0
                    }
                }
                3 => {
                    if n >= border {
                        versions.len()
                    } else {
                        0
                    }
                }
                _ => usize::try_from(world.random(versions.len() as u64 + 1)).unwrap(),
            };
            if let Some(kept) = kept.checked_sub(1) {
                world.platter.put(number, &versions[kept]);
            }
        }
        world.cache = world.platter.clone();
    }

    /// Flips a bit on the medium.
    pub(crate) fn flip(&self, offset: u64) {
        let world = &mut *self.world.borrow_mut();
        let at = self.start + offset;
        for medium in [&mut world.platter, &mut world.cache] {
            let mut sector = medium.sector(at / 512);
            sector[usize::try_from(at % 512).unwrap()] ^= 4;
            medium.put(at / 512, &sector);
        }
    }

    /// A sector cannot be read until it is written.
    pub(crate) fn spoil(&self, offset: u64) {
        let at = self.start + offset;
        self.world.borrow_mut().unreadable.insert(at / 512);
    }

    /// A sector does not keep what is written to it, once.
    pub(crate) fn forget_next_write(&self, offset: u64) {
        let at = self.start + offset;
        self.world.borrow_mut().forgetful.insert(at / 512);
    }

    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let world = self.world.borrow();
        let at = self.start + offset;
        if world.off {
            return Err(error("read", offset, bytes.len(), "no power"));
        }
        if offset + bytes.len() as u64 > self.bytes {
            return Err(error("read", offset, bytes.len(), "behind the end"));
        }
        let sectors = at / 512..(at + bytes.len() as u64).div_ceil(512);
        if world.unreadable.range(sectors).next().is_some() {
            return Err(error("read", offset, bytes.len(), "unreadable sector"));
        }
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let within = usize::try_from(place % 4096).unwrap();
            let length = (PAGE - within).min(bytes.len() - done);
            let target = &mut bytes[done..done + length];
            match world.cache.0.get(&(place / 4096)) {
                Some(page) => target.copy_from_slice(&page[within..within + length]),
                None => target.fill(0),
            }
            done += length;
        }
        Ok(())
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let world = &mut *self.world.borrow_mut();
        let cut = world.operation();
        if world.off && !cut {
            return Err(error("write", offset, bytes.len(), "no power"));
        }
        let at = self.start + offset;
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let within = usize::try_from(place % 512).unwrap();
            let length = (SECTOR - within).min(bytes.len() - done);
            let number = place / 512;
            let mut sector = world.cache.sector(number);
            sector[within..within + length].copy_from_slice(&bytes[done..done + length]);
            world.cache.put(number, &sector);
            world.unreadable.remove(&number);
            world.dirty.entry(number).or_default().push(sector);
            done += length;
        }
        if cut {
            return Err(error("write", offset, bytes.len(), "power cut"));
        }
        Ok(())
    }

    /// A moment in which the power may be cut though nothing is written.
    pub(crate) fn pass(&self) {
        self.world.borrow_mut().operation();
    }

    /// Flushes what was written to this part, as the kernel does for one partition.
    fn sync(&self, left_out: impl Fn(&mut World) -> bool) -> Result<(), DiskError> {
        let world = &mut *self.world.borrow_mut();
        let cut = world.operation();
        if world.off {
            return Err(error("flush", 0, 0, if cut { "power cut" } else { "no power" }));
        }
        if !left_out(world) {
            let part = self.start / 512..(self.start + self.bytes) / 512;
            let mut rest = world.dirty.split_off(&part.start);
            let mut behind = rest.split_off(&part.end);
            world.dirty.append(&mut behind);
            for (number, versions) in rest {
                if !world.forgetful.remove(&number) {
                    world.platter.put(number, versions.last().unwrap());
                }
            }
        }
        Ok(())
    }
}

impl World {
    /// Counts a write or flush; says whether the power is cut in it.
    fn operation(&mut self) -> bool {
        if self.off {
            return false;
        }
        self.operations += 1;
        self.fuse = self.fuse.map(|left| left - 1);
        self.off = self.fuse.take_if(|left| *left == 0).is_some();
        self.off
    }

    fn random(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) % below.max(1)
    }
}

impl Device for SimDisk {
    fn length(&self) -> Result<u64, DiskError> {
        Ok(self.bytes)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        self.read(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write(bytes, offset)
    }

    fn flush(&self, why: Barrier) -> Result<(), DiskError> {
        self.sync(|world| world.mutant == Some(Mutant::Without(why)))
    }

    fn forget(&self) -> Result<(), DiskError> {
        let world = &mut *self.world.borrow_mut();
        world.cache = world.platter.clone();
        for (number, versions) in &world.dirty {
            world.cache.put(*number, versions.last().unwrap());
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        self.read(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.write(bytes, offset)
    }

    /// A partition table's, which come in turn.
    fn flush(&self) -> Result<(), DiskError> {
        self.sync(|world| {
            let number = world.table_flushes % crate::boot::disk::WRITE_FLUSHES;
            world.table_flushes += 1;
            world.mutant == Some(Mutant::Table(number))
        })
    }
}

/// A part of the disk as a file system's driver sees it.
#[derive(Debug)]
pub(crate) struct Stream {
    disk: SimDisk,
    at: u64,
}

impl Stream {
    pub(crate) fn of(disk: &SimDisk) -> Self {
        Self {
            disk: disk.clone(),
            at: 0,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.disk.read(bytes, self.at).map_err(io::Error::other)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write(bytes, self.at).map_err(io::Error::other)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            SeekFrom::End(by) => self.disk.bytes.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}
