//! What the simulated disk holds: files in the page cache and on the platter, names in the kernel and on the platter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::super::super::storage::Barrier;
use super::{End, Mutant, Overwritten, SECTOR};

#[derive(Debug, Default, Clone)]
pub(super) struct File {
    /// What programs see.
    pub(super) cache: Vec<u8>,
    /// What a power cut leaves for certain.
    pub(super) platter: Vec<u8>,
    /// Sectors that differ and may yet be written.
    pub(super) dirty: BTreeSet<usize>,
    pub(super) bad: BTreeSet<usize>,
    pub(super) flipped: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) files: Vec<File>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) steps: Vec<Step>,
    pub(super) chance: u64,
    /// Operations until the end.
    pub(super) fuse: Option<(u64, End)>,
    pub(super) end: Option<End>,
    pub(super) fail_syncs: u32,
    pub(super) fail_writes: u32,
    pub(super) faults: u64,
    pub(super) capacity: u64,
    pub(super) others: u64,
    pub(super) mutant: Option<Mutant>,
    /// After how many writes what is to be synced late; the directory is no file.
    pub(super) late: Vec<(u32, Option<usize>)>,
    pub(super) barriers: Vec<Barrier>,
    pub(super) read: u64,
    pub(super) overwritten: Vec<Overwritten>,
}

impl World {
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) % below
    }

    pub(super) fn used(&self) -> u64 {
        self.names
            .values()
            .map(|i| self.files[*i].cache.len() as u64)
            .sum()
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity
            .saturating_sub(self.others)
            .saturating_sub(self.used())
    }

    pub(super) fn file(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    pub(super) fn step(&mut self, step: Step) {
        apply(&mut self.names, step.clone());
        self.steps.push(step);
    }

    /// Of the directory when there is no file. When the power goes meanwhile, the restart decides.
    pub(super) fn sync(&mut self, file: Option<usize>) -> io::Result<()> {
        if self.end.is_some() {
            return Ok(());
        }
        let fails = self.fail_syncs > 0;
        self.fail_syncs = self.fail_syncs.saturating_sub(1);
        self.faults += u64::from(fails);
        match file {
            None if fails => {}
            None => {
                self.steps.clear();
                self.durable_names = self.names.clone();
            }
            Some(index) => {
                for sector in std::mem::take(&mut self.files[index].dirty) {
                    // After a failed sync the kernel holds the pages for clean.
                    if !fails || self.random(2) == 0 {
                        self.files[index].settle(sector);
                    }
                }
                let file = &mut self.files[index];
                if !fails {
                    file.platter.resize(file.cache.len(), 0);
                }
            }
        }
        if fails {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, index: usize, from: usize, bytes: &[u8]) {
        for sector in from / SECTOR..(from + bytes.len()).div_ceil(SECTOR) {
            // The kernel writes back whenever it likes: perhaps just what was there before.
            if self.files[index].dirty.contains(&sector) && self.random(4) == 0 {
                self.files[index].settle(sector);
            }
            let file = &mut self.files[index];
            file.dirty.insert(sector);
            file.bad.remove(&sector);
        }
        let file = &mut self.files[index];
        let to = from + bytes.len();
        file.flipped.retain(|at| !(from..to).contains(at));
        file.cache.resize(file.cache.len().max(to), 0);
        file.cache[from..to].copy_from_slice(bytes);
    }

    pub(super) fn note_overwritten(&mut self, name: &str, index: usize, bytes: &[u8]) {
        let before = self.files[index].cache.clone();
        if name.starts_with("segment-") && before.first().is_some_and(|b| *b != 0) {
            let cursors = self
                .durable_names
                .iter()
                .filter(|(n, _)| n.starts_with("cursor-"));
            self.overwritten.push(Overwritten {
                before,
                after: bytes.to_vec(),
                cursors: cursors
                    .map(|(n, i)| (n.clone(), self.files[*i].platter.clone()))
                    .collect(),
            });
        }
    }
}

impl File {
    /// Brings one sector to the platter.
    pub(super) fn settle(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.cache.len());
        if from < to {
            self.platter.resize(self.platter.len().max(to), 0);
            self.platter[from..to].copy_from_slice(&self.cache[from..to]);
        }
    }
}

pub(super) fn apply(names: &mut BTreeMap<String, usize>, step: Step) {
    match step {
        Step::Create(name, file) => {
            names.insert(name, file);
        }
        Step::Rename(from, to) => {
            if let Some(file) = names.remove(&from) {
                names.insert(to, file);
            }
        }
        Step::Remove(name) => {
            names.remove(&name);
        }
    }
}
