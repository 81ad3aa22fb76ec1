//! Random histories: made from a seed, run against the model, made shorter when they fail.

use super::super::Config;
use super::model::Model;
use super::sim::{End, Mutant};
use crate::forward::lane::Lane;

/// One thing that happens to the log.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A request of an agent; `again` is the failed one before with the same ids.
    Append {
        lane: Lane,
        sources: Vec<u8>,
        size: usize,
        again: bool,
        received: u64,
    },
    Deliver {
        lane: Lane,
        count: usize,
        bytes: usize,
        keep: usize,
        receipt: bool,
    },
    /// Whatever waits in both lanes.
    DeliverAll,
    Bury {
        lane: Lane,
        keep: usize,
    },
    /// Alerts until they are refused.
    Alarms {
        size: usize,
    },
    EndAfter(u64, End),
    End {
        end: End,
        /// Whether somebody fills the disk before the log is opened again.
        filled: bool,
    },
    FailSyncs(u32),
    FailWrites(u32),
    Fill {
        left: u64,
    },
    Drain,
    Prepare,
    /// As [`Act::Prepare`], and the end comes meanwhile.
    PrepareUntil(u64, End),
    Damage {
        file: u64,
        at: u64,
        sector: bool,
    },
}

/// What happens, all of it decided by the seed.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) config: Config,
    pub(super) acts: Vec<Act>,
}

impl History {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_add(1));
        let segment = 4096 * (1 + dice.below(2));
        // At the least one segment for each owner, and one more of each lane while the last is held. Small ones are
        // used up soonest.
        let spare = [4, 24][dice.index(2)];
        let config = Config {
            segment,
            total: segment * (6 + dice.below(spare)) + 4 * 8192,
        };
        let damage = dice.below(4) == 0;
        let length = 1 + dice.below(60);
        let acts = (0..length).map(|_| dice.act(damage)).collect();
        Self { seed, config, acts }
    }

    /// Runs it; `Err` says which promise was broken.
    pub(super) fn run(&self, mutant: Option<Mutant>) -> Result<(), String> {
        let run = || {
            let mut model = Model::new(self.seed, self.config, mutant);
            for act in &self.acts {
                model.act(act)?;
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

    /// A shorter history that fails too, found by leaving out acts.
    pub(super) fn shrunk(mut self, mutant: Option<Mutant>) -> Self {
        let mut chunk = self.acts.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.acts.len() {
                let mut shorter = self.clone();
                shorter.acts.drain(at..(at + chunk).min(self.acts.len()));
                if shorter.run(mutant).is_err() {
                    self = shorter;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        self
    }
}

/// Runs the histories of so many seeds, and stops at the first that fails with all one needs to look into it.
pub(super) fn run_all(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let history = History::new(seed);
        if let Err(broken) = history.run(None) {
            let history = history.shrunk(None);
            let after = history.run(None).expect_err("it failed before");
            let acts: Vec<String> = history.acts.iter().map(|act| format!("    {act:?}")).collect();
            panic!(
                "history {seed}: {broken}\nshorter, with {:?}: {after}\n{}\n\
                 again: LOG_SEED={seed} cargo test -p rap-core --lib forward::log::tests::histories",
                history.config,
                acts.join("\n"),
            );
        }
    }
}

/// SplitMix64: each seed another sequence, the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    fn index(&mut self, below: u64) -> usize {
        usize::try_from(self.below(below)).unwrap()
    }

    fn lane(&mut self) -> Lane {
        Lane::ALL[usize::from(self.below(3) > 0)]
    }

    fn end(&mut self) -> End {
        if self.below(3) == 0 {
            End::Kill
        } else {
            End::PowerCut
        }
    }

    fn act(&mut self, damage: bool) -> Act {
        match self.below(if damage { 46 } else { 43 }) {
            0..=14 => self.append(),
            15..=21 => self.deliver(),
            22 => Act::DeliverAll,
            23..=24 => Act::Bury {
                lane: self.lane(),
                keep: 1 + self.index(3),
            },
            25 => Act::Alarms {
                size: 1 + self.index(1500),
            },
            26..=31 => Act::EndAfter(1 + self.below(30), self.end()),
            32..=33 => Act::End {
                end: self.end(),
                filled: self.below(3) == 0,
            },
            34 => Act::FailSyncs(1 + u32::try_from(self.below(2)).unwrap()),
            35 => Act::FailWrites(1 + u32::try_from(self.below(2)).unwrap()),
            36 => Act::Fill {
                left: self.below(3) * 3000,
            },
            37 => Act::Drain,
            38..=40 => Act::Prepare,
            41..=42 => Act::PrepareUntil(3 + self.below(4), self.end()),
            _ => Act::Damage {
                file: self.next(),
                at: self.next(),
                sector: self.below(4) == 0,
            },
        }
    }

    fn append(&mut self) -> Act {
        const NOW: u64 = 1_795_000_000_000;
        const YEAR: u64 = 365 * 86_400_000;
        let sources = (0..1 + self.below(5))
            .map(|_| u8::try_from(self.below(3)).unwrap())
            .collect();
        Act::Append {
            lane: self.lane(),
            sources,
            size: self.index(1100),
            again: self.below(2) == 0,
            // The box's clock is not to be trusted: in 1970, ten years ahead, backwards, or nowhere.
            received: [0, NOW, NOW + 10 * YEAR, NOW - self.below(YEAR), u64::MAX][self.index(5)],
        }
    }

    fn deliver(&mut self) -> Act {
        Act::Deliver {
            lane: self.lane(),
            count: 1 + self.index(12),
            bytes: self.index(5000),
            keep: 1 + self.index(12),
            receipt: self.below(5) > 0,
        }
    }
}
