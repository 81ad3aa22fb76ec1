//! Random histories: agents, a service centre, power cuts and kills, a disk that fails and fills; and what must hold.

use std::collections::HashMap;

use super::*;
use crate::forward::log::tests::sim::Mutant;

/// Rounds after which what must end never would.
const ROUNDS: usize = 500;

type Check = Result<(), String>;

/// What an agent may rely on.
#[derive(Debug, Clone, Copy, Default)]
struct Promise {
    have: u64,
    kept: bool,
}

/// The shelf and everybody around it.
struct Model {
    dice: Dice,
    disk: SimDisk,
    shelf: Option<Shelf>,
    files: Vec<Sample>,
    promises: HashMap<Key, Promise>,
    /// What the service centre has.
    centre: HashMap<Key, Vec<u8>>,
    /// Files it refused: they may be forgotten.
    refused: Vec<Key>,
}

/// Runs the history of a seed; `Err` says which promise was broken.
pub(super) fn run(seed: u64, mutant: Option<Mutant>) -> Check {
    let run = || {
        let mut model = Model::new(seed, mutant);
        for _ in 0..model.dice.below(60) {
            model.act()?;
        }
        model.finish()
    };
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!(
            "panic: {}",
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")
        ))
    })
}

impl Model {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut dice = Dice(seed.wrapping_add(1));
        let disk = SimDisk::new(seed, 1 << 20);
        if let Some(mutant) = mutant {
            disk.mutate(mutant);
        }
        let count = 1 + dice.below(4);
        let files = (0..count)
            .map(|i| {
                Sample::new(
                    1 + u32::try_from(i % 2).unwrap(),
                    &format!("f{i}"),
                    1 + dice.index(5000),
                )
            })
            .collect();
        let mut model = Self {
            dice,
            disk,
            shelf: None,
            files,
            promises: HashMap::new(),
            centre: HashMap::new(),
            refused: Vec::new(),
        };
        model.open();
        model
    }

    fn act(&mut self) -> Check {
        match self.dice.below(32) {
            0..=11 => self.put()?,
            12..=14 => {
                let file = self.dice.index(self.files.len() as u64);
                self.ask(file)?;
            }
            15..=19 => self.deliver()?,
            20..=21 => drop(self.shelf().work()),
            22..=25 => {
                let end = self.end();
                self.disk.end_after(1 + self.dice.below(12), end);
            }
            26..=27 => {
                let end = self.end();
                self.restart(end);
            }
            28 => self
                .disk
                .fail_next_syncs(1 + u32::try_from(self.dice.below(2)).unwrap()),
            29 => self.disk.fail_next_writes(1),
            30 => self.disk.fill(self.dice.below(3) * 3000),
            _ => self.disk.drain(),
        }
        if let Some(end) = self.disk.ended() {
            self.restart(end);
        }
        Ok(())
    }

    /// An agent sends some bytes, from where it believes the box to be, or a little before.
    fn put(&mut self) -> Check {
        let index = self.dice.index(self.files.len() as u64);
        let size = self.files[index].bytes.len();
        let Some(holding) = self.ask(index)? else {
            return Ok(());
        };
        let have = usize::try_from(holding.have).unwrap();
        let first = have.saturating_sub(self.dice.index(3) * self.dice.index(700));
        let last = (first + 1 + self.dice.index(3000)).min(size);
        if first >= last {
            return Ok(());
        }
        let file = &self.files[index];
        let answer = file.put(self.shelf.as_mut().expect("open"), first..last);
        self.heard(index, answer).map(drop)
    }

    fn ask(&mut self, index: usize) -> Result<Option<Holding>, String> {
        let file = &self.files[index];
        let answer = self
            .shelf
            .as_mut()
            .expect("open")
            .ask(&file.key, file.bytes.len() as u64, NOW);
        self.heard(index, answer)
    }

    /// Holds what an agent hears against what it was told before.
    fn heard(&mut self, index: usize, answer: Result<Holding, PutError>) -> Result<Option<Holding>, String> {
        let key = &self.files[index].key;
        let holding = match answer {
            Ok(holding) => holding,
            // The disk fails, is full, or its power is gone.
            Err(PutError::Storage(_) | PutError::Full) => return Ok(None),
            Err(error) => return Err(format!("file {index}: {error}")),
        };
        let promise = self.promises.entry(key.clone()).or_default();
        let kept = !matches!(holding.state, State::Partial | State::Checking);
        if holding.have < promise.have || (promise.kept && !kept) {
            return Err(format!("file {index}: {holding:?} after {promise:?}"));
        }
        *promise = Promise {
            have: holding.have,
            kept,
        };
        match holding.state {
            State::Delivered if self.centre.get(key) != Some(&self.files[index].bytes) => {
                return Err(format!("file {index} was never delivered"));
            }
            // These are forgotten in the end.
            State::Delivered | State::Refused(_) => drop(self.promises.remove(key)),
            _ => {}
        }
        Ok(Some(holding))
    }

    fn deliver(&mut self) -> Check {
        let most = 1 + self.dice.index(3000);
        let Some(errand) = self.shelf().next(most) else {
            return Ok(());
        };
        let index = self
            .files
            .iter()
            .position(|file| file.key.digest == errand.file.digest);
        let index = index.ok_or("a file nobody sent is delivered")?;
        let (key, bytes) = (self.files[index].key.clone(), self.files[index].bytes.clone());
        let there = self.centre.entry(key.clone()).or_default();
        match self.dice.below(10) {
            0 => self.shelf().failed(&errand),
            1 => {
                self.shelf().refuse(&errand, "no");
                self.promises.remove(&key);
                self.refused.push(key);
            }
            // The centre forgets some of it, unless it said that it has it all.
            2 if there.len() < bytes.len() => {
                let left = self.dice.index(there.len() as u64 + 1);
                there.truncate(left);
                let _ = self.shelf().behind(&errand, left as u64);
            }
            _ => {
                if let Range::Part { first, last, .. } = errand.range {
                    let (first, last) = (usize::try_from(first).unwrap(), usize::try_from(last).unwrap());
                    if errand.bytes != bytes[first..=last] {
                        return Err(format!("file {index}: other bytes are sent than came"));
                    }
                    if first > there.len() {
                        let have = there.len() as u64;
                        let _ = self.shelf().behind(&errand, have);
                        return Ok(());
                    }
                    if last >= there.len() {
                        there.truncate(first);
                        there.extend_from_slice(&errand.bytes);
                    }
                }
                let have = there.len() as u64;
                if self.shelf().confirmed(&errand, have) == Ok(true) {
                    self.promises.remove(&key);
                }
            }
        }
        Ok(())
    }

    /// At last nothing fails any more: what was promised is delivered, and every file can be brought to its end.
    fn finish(&mut self) -> Check {
        let end = self.end();
        self.restart(end);
        self.disk.drain();
        let kept: Vec<Key> = self
            .promises
            .iter()
            .filter(|(_, p)| p.kept)
            .map(|(key, _)| key.clone())
            .collect();
        for index in 0..self.files.len() {
            self.ask(index)?;
        }
        for round in 0.. {
            if round > ROUNDS {
                return Err("files are never brought to their end".to_owned());
            }
            while self.shelf().work() {}
            let mut all = true;
            for index in 0..self.files.len() {
                let holding = self
                    .ask(index)?
                    .ok_or("the disk works again, the shelf does not")?;
                if holding.state == State::Partial {
                    let size = self.files[index].bytes.len();
                    let have = usize::try_from(holding.have).unwrap();
                    let to = size.min(have + 2000);
                    let file = &self.files[index];
                    let answer = file.put(self.shelf.as_mut().expect("open"), have..to);
                    self.heard(index, answer)?;
                }
                all &= matches!(holding.state, State::Delivered | State::Refused(_));
            }
            if all {
                break;
            }
            self.deliver()?;
        }
        for (key, file) in kept
            .iter()
            .filter_map(|k| Some((k, self.files.iter().find(|f| f.key == *k)?)))
        {
            let there = self.centre.get(key).is_some_and(|bytes| *bytes == file.bytes);
            if !there && !self.refused.contains(key) {
                return Err("a file that was kept has not arrived".to_owned());
            }
        }
        Ok(())
    }

    fn restart(&mut self, end: End) {
        self.shelf = None;
        self.disk.restart(end);
        self.open();
    }

    fn open(&mut self) {
        self.shelf = Some(open(&self.disk));
        if let Some(end) = self.disk.ended() {
            self.restart(end);
        }
    }

    fn end(&mut self) -> End {
        match self.dice.below(2) {
            0 => End::Kill,
            _ => End::PowerCut,
        }
    }

    fn shelf(&mut self) -> &mut Shelf {
        self.shelf.as_mut().expect("opened before")
    }
}

/// SplitMix64: each seed another sequence, the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn index(&mut self, below: u64) -> usize {
        usize::try_from(self.below(below)).unwrap()
    }
}
