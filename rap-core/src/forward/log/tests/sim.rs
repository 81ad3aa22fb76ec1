//! A disk that does what disks may do.
//!
//! - What was not synced is lost, kept or torn by sectors when the power goes, each sector for itself and in any order;
//!   of a sector written twice any version may be there. A file's size is not durable before its sync either.
//! - Creating, renaming and removing is durable only with the directory's sync; before it some first part of it is.
//! - A sync that fails leaves the pages clean: half of them never get to the platter, and the next sync succeeds.
//! - A write that fails has written some of it. A full disk lets a file grow by what is left.
//! - Bits flip and sectors become unreadable, until they are written again.
//!
//! A process that is killed loses nothing that it wrote: the page cache is the kernel's. For the test of mutants single
//! syncs can be left out or done late.

mod world;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use self::world::{File, Step, World, apply};
use super::super::storage::{Barrier, Storage};

pub(in crate::forward) const SECTOR: usize = 512;
/// Writes before a late sync is done.
const LATE: u32 = 48;

/// What is wrong with the log on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forward) enum Mutant {
    /// The sync is not done.
    Without(Barrier),
    /// The sync is done only after some more writes.
    Late(Barrier),
}

/// How the program ends that runs on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forward) enum End {
    PowerCut,
    Kill,
}

/// A segment was written at its beginning: what was in it, and what the cursors on the platter were.
#[derive(Debug, Clone)]
pub(in crate::forward) struct Overwritten {
    pub(in crate::forward) before: Vec<u8>,
    pub(in crate::forward) after: Vec<u8>,
    pub(in crate::forward) cursors: BTreeMap<String, Vec<u8>>,
}

/// The disk; clones are the same disk, as a machine finds it again after a power cut.
#[derive(Debug, Clone)]
pub(in crate::forward) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub(in crate::forward) fn new(seed: u64, capacity: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            capacity,
            ..World::default()
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(in crate::forward) fn mutate(&self, mutant: Mutant) {
        self.world().mutant = Some(mutant);
    }

    /// Ends the program at the `operations`th change from now.
    pub(in crate::forward) fn end_after(&self, operations: u64, end: End) {
        self.world().fuse = Some((operations, end));
    }

    /// How the program ended, if it did.
    pub(in crate::forward) fn ended(&self) -> Option<End> {
        self.world().end
    }

    pub(in crate::forward) fn fail_next_syncs(&self, count: u32) {
        self.world().fail_syncs = count;
    }

    pub(in crate::forward) fn fail_next_writes(&self, count: u32) {
        self.world().fail_writes = count;
    }

    /// Syncs and writes that failed on purpose so far.
    pub(in crate::forward) fn faults(&self) -> u64 {
        self.world().faults
    }

    /// Somebody else takes all room but `left` bytes.
    pub(in crate::forward) fn fill(&self, left: u64) {
        let world = &mut *self.world();
        world.others = (world.capacity - world.used()).saturating_sub(left);
    }

    /// Somebody else gives all room back.
    pub(in crate::forward) fn drain(&self) {
        self.world().others = 0;
    }

    /// Bytes of all files.
    pub(in crate::forward) fn used(&self) -> u64 {
        self.world().used()
    }

    /// Bytes read so far.
    pub(in crate::forward) fn bytes_read(&self) -> u64 {
        self.world().read
    }

    /// Each reason for which the log waited for the disk, as often as it did.
    pub(in crate::forward) fn barriers(&self) -> Vec<Barrier> {
        self.world().barriers.clone()
    }

    pub(in crate::forward) fn take_overwritten(&self) -> Vec<Overwritten> {
        std::mem::take(&mut self.world().overwritten)
    }

    /// The kernel has written back everything.
    pub(in crate::forward) fn settle_all(&self) {
        let world = &mut *self.world();
        for file in 0..world.files.len() {
            world.sync(Some(file)).expect("no fault is set");
        }
    }

    /// What programs and what power cuts leave of a file.
    pub(in crate::forward) fn content(&self, name: &str) -> [Vec<u8>; 2] {
        let world = self.world();
        let file = &world.files[world.names[name]];
        [file.cache.clone(), file.platter.clone()]
    }

    /// The machine, or only the program, starts again: after a power cut what was in flight is decided.
    pub(in crate::forward) fn restart(&self, end: End) {
        let world = &mut *self.world();
        world.end = None;
        world.fuse = None;
        world.fail_syncs = 0;
        world.fail_writes = 0;
        world.late.clear();
        if end == End::Kill {
            return;
        }
        let kept = world.random(world.steps.len() as u64 + 1);
        for step in std::mem::take(&mut world.steps)
            .into_iter()
            .take(usize::try_from(kept).unwrap())
        {
            apply(&mut world.durable_names, step);
        }
        world.names = world.durable_names.clone();
        for i in 0..world.files.len() {
            let dirty = std::mem::take(&mut world.files[i].dirty);
            let (size, grown) = (world.files[i].platter.len(), world.files[i].cache.len());
            for sector in dirty {
                // Kept and lost are as likely as not; a size that was not synced is lost with its last sectors.
                if world.random(2) == 0 {
                    world.files[i].settle(sector);
                }
            }
            if grown > size {
                let sectors = (grown - size).div_ceil(SECTOR) as u64 + 1;
                let kept = size + SECTOR * usize::try_from(world.random(sectors)).unwrap();
                world.files[i].platter.resize(kept.min(grown), 0);
            }
            world.files[i].cache = world.files[i].platter.clone();
        }
    }

    /// Flips one bit of a file, on the platter too; once flipped it stays so.
    pub(in crate::forward) fn flip(&self, name: &str, at: usize) {
        let world = &mut *self.world();
        let file = world.names[name];
        let file = &mut world.files[file];
        if file.flipped.insert(at) {
            for side in [&mut file.cache, &mut file.platter] {
                if let Some(byte) = side.get_mut(at) {
                    *byte ^= 1;
                }
            }
        }
    }

    /// Makes a sector of a file unreadable until it is written; what was in it is gone.
    pub(in crate::forward) fn spoil(&self, name: &str, at: usize) {
        let world = &mut *self.world();
        let file = world.names[name];
        let file = &mut world.files[file];
        file.bad.insert(at / SECTOR);
        let begin = at / SECTOR * SECTOR;
        for side in [&mut file.cache, &mut file.platter] {
            let end = (begin + SECTOR).min(side.len());
            side[begin.min(end)..end].fill(0);
        }
    }

    fn change<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let world = &mut *self.world();
        if world.end.is_some() {
            return Err(io::Error::other("no power"));
        }
        if let Some((left, end)) = &mut world.fuse {
            *left = left.saturating_sub(1);
            world.end = (*left == 0).then_some(*end);
        }
        let ended = world.end.is_some();
        // The operation during which the power fails may have done all, some or nothing: the restart decides.
        let result = act(world);
        if ended {
            Err(io::Error::other("power cut"))
        } else {
            result
        }
    }

    fn barrier(&self, name: Option<&str>, why: Barrier) -> io::Result<()> {
        self.change(|world| {
            world.barriers.push(why);
            let file = name.map(|name| world.file(name)).transpose()?;
            match world.mutant {
                Some(Mutant::Without(w)) if w == why => Ok(()),
                Some(Mutant::Late(w)) if w == why => {
                    world.late.push((LATE, file));
                    Ok(())
                }
                _ => world.sync(file),
            }
        })
    }
}

impl Storage for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.world().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.change(|world| {
            world.files.push(File::default());
            let file = world.files.len() - 1;
            world.step(Step::Create(name.to_owned(), file));
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|world| {
            world.file(from)?;
            world.step(Step::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|world| {
            world.file(name)?;
            world.step(Step::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn sync_directory(&self, why: Barrier) -> io::Result<()> {
        self.barrier(None, why)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let world = self.world();
        Ok(world.files[world.file(name)?].cache.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.world();
        if world.end.is_some() {
            return Err(io::Error::other("no power"));
        }
        let file = &world.files[world.file(name)?];
        let from = usize::try_from(offset).unwrap().min(file.cache.len());
        let length = buffer.len().min(file.cache.len() - from);
        let sectors = from / SECTOR..(from + length).div_ceil(SECTOR);
        if file.bad.range(sectors).next().is_some() {
            return Err(io::Error::other("unreadable sector"));
        }
        buffer[..length].copy_from_slice(&file.cache[from..from + length]);
        world.read += length as u64;
        Ok(length)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|world| {
            let index = world.file(name)?;
            let from = usize::try_from(offset).unwrap();
            if from == 0 {
                world.note_overwritten(name, index, bytes);
            }
            let size = world.files[index].cache.len();
            let most = usize::try_from(world.free()).unwrap() + size;
            let full = from + bytes.len() > size.max(most);
            let fails = world.fail_writes > 0;
            world.fail_writes = world.fail_writes.saturating_sub(1);
            world.faults += u64::from(fails);
            let mut length = bytes.len();
            if full {
                length = most.saturating_sub(from).min(length);
            }
            if fails {
                length = usize::try_from(world.random(length as u64 + 1)).unwrap();
            }
            world.write(index, from, &bytes[..length]);
            for (left, file) in std::mem::take(&mut world.late) {
                if left > 1 {
                    world.late.push((left - 1, file));
                } else {
                    // Too late to tell anybody that it failed.
                    let _ = world.sync(file);
                }
            }
            match (fails, full) {
                (true, _) => Err(io::Error::other("input/output error")),
                (_, true) => Err(io::Error::from(io::ErrorKind::StorageFull)),
                _ => Ok(()),
            }
        })
    }

    fn sync(&self, name: &str, why: Barrier) -> io::Result<()> {
        self.barrier(Some(name), why)
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.world().free())
    }
}
