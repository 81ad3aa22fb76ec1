//! A disk that does what disks may do: what was not synced is lost, torn by sectors or kept, as chance has it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Storage;

const SECTOR: usize = 512;

#[derive(Debug, Default, Clone)]
struct File {
    /// What programs see.
    cache: Vec<u8>,
    /// What a power cut leaves for certain.
    platter: Vec<u8>,
    /// Sectors that differ and may yet be written.
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    Create(String, usize),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct World {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    steps: Vec<Step>,
    chance: u64,
    /// Operations until the power is cut.
    fuse: Option<u64>,
    off: bool,
    fail_syncs: u32,
    free: u64,
}

/// The disk; clones are the same disk, as a machine finds it again after a power cut.
#[derive(Debug, Clone)]
pub(super) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub(super) fn new(seed: u64, free: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            chance: seed | 1,
            free,
            ..World::default()
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Cuts the power at the `operations`th change from now.
    pub(super) fn cut_power_after(&self, operations: u64) {
        self.world().fuse = Some(operations);
    }

    pub(super) fn is_off(&self) -> bool {
        self.world().off
    }

    pub(super) fn fail_next_syncs(&self, count: u32) {
        self.world().fail_syncs = count;
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.world().free = bytes;
    }

    /// Power comes back: what was in flight is decided.
    pub(super) fn reboot(&self) {
        let world = &mut *self.world();
        world.off = false;
        world.fuse = None;
        world.fail_syncs = 0;
        let kept = world.random(world.steps.len() as u64 + 1);
        for step in std::mem::take(&mut world.steps)
            .into_iter()
            .take(usize::try_from(kept).unwrap())
        {
            apply(&mut world.durable_names, step);
        }
        world.names = world.durable_names.clone();
        for i in 0..world.files.len() {
            for sector in std::mem::take(&mut world.files[i].dirty) {
                if world.random(2) == 0 {
                    world.files[i].settle(sector);
                }
            }
            world.files[i].cache = world.files[i].platter.clone();
        }
    }

    /// Flips one bit of a file, on the platter too.
    pub(super) fn flip(&self, name: &str, at: usize) {
        let world = &mut *self.world();
        let file = world.names[name];
        world.files[file].cache[at] ^= 1;
        world.files[file].platter[at] ^= 1;
    }

    fn change<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let world = &mut *self.world();
        if world.off {
            return Err(io::Error::other("no power"));
        }
        if let Some(fuse) = &mut world.fuse {
            *fuse = fuse.saturating_sub(1);
            world.off = *fuse == 0;
        }
        let cut = world.off;
        // The operation during which the power fails may have done all, some or nothing: reboot decides.
        let result = act(world);
        if cut {
            Err(io::Error::other("power cut"))
        } else {
            result
        }
    }
}

impl World {
    fn random(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl File {
    fn settle(&mut self, sector: usize) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len());
        if self.platter.len() < range.end {
            self.platter.resize(range.end, 0);
        }
        self.platter[range.clone()].copy_from_slice(&self.cache[range]);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, step: Step) {
    match step {
        Step::Create(name, file) => {
            names.insert(name, file);
        }
        Step::Rename(from, to) => {
            if let Some(file) = names.remove(&from) {
                names.insert(to, file);
            }
        }
    }
}

impl Storage for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.world().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.change(|world| {
            world.files.push(File::default());
            let step = Step::Create(name.to_owned(), world.files.len() - 1);
            apply(&mut world.names, step.clone());
            world.steps.push(step);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|world| {
            world.file(from)?;
            let step = Step::Rename(from.to_owned(), to.to_owned());
            apply(&mut world.names, step.clone());
            world.steps.push(step);
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.change(|world| {
            if !world.off {
                world.steps.clear();
                world.durable_names = world.names.clone();
            }
            Ok(())
        })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let world = self.world();
        Ok(world.files[world.file(name)?].cache.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let world = self.world();
        if world.off {
            return Err(io::Error::other("no power"));
        }
        let cache = &world.files[world.file(name)?].cache;
        let from = usize::try_from(offset).unwrap().min(cache.len());
        let length = buffer.len().min(cache.len() - from);
        buffer[..length].copy_from_slice(&cache[from..from + length]);
        Ok(length)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|world| {
            let index = world.file(name)?;
            let from = usize::try_from(offset).unwrap();
            let to = from + bytes.len();
            let grows = to.saturating_sub(world.files[index].cache.len()) as u64;
            if grows > world.free {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            world.free -= grows;
            let file = &mut world.files[index];
            file.cache.resize(file.cache.len().max(to), 0);
            file.cache[from..to].copy_from_slice(bytes);
            file.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.change(|world| {
            let index = world.file(name)?;
            if world.off {
                return Ok(());
            }
            let fails = world.fail_syncs > 0;
            world.fail_syncs = world.fail_syncs.saturating_sub(1);
            for sector in std::mem::take(&mut world.files[index].dirty) {
                // After a failed sync the kernel holds the pages for clean: what is not on the platter never will be.
                if !fails || world.random(2) == 0 {
                    world.files[index].settle(sector);
                }
            }
            if fails {
                Err(io::Error::other("input/output error"))
            } else {
                Ok(())
            }
        })
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(self.world().free)
    }
}
