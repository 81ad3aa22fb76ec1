//! Agents that never stop posting, each report until it is acknowledged, and remember what they were promised.
//!
//! An agent posts its reports one after the other, some alone, some as a batch; so what it was promised are the reports
//! up to a number, and the next ones were perhaps taken and perhaps not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::world::{PORTS, World};
use crate::instrument::{Agent, Plan, report};
use crate::random::Random;

/// Each port's agents: every so many reports one is an alert.
const KINDS: [Option<u64>; 3] = [None, Some(1), Some(3)];
/// Before another try when nobody listens.
const PAUSE: Duration = Duration::from_millis(3);
/// Before another try when the box has no room.
const LONGER_PAUSE: Duration = Duration::from_millis(20);

/// What an agent is, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name; its reports' ids are `NAME-K` with K from 1.
    pub name: String,
    /// The `source` its reports get.
    pub source: String,
    /// Every so many reports one is an alert.
    pub alert_every: Option<u64>,
    /// Reports up to this one were acknowledged.
    pub acknowledged: u64,
    /// No report after this one was ever posted.
    pub posted: u64,
}

impl Told {
    /// The `k`th report.
    #[must_use]
    pub fn report(&self, k: u64) -> Value {
        let plan = Plan {
            source: self.name.clone(),
            count: 1,
            start: k,
            interval: Duration::ZERO,
            alert_every: self.alert_every,
            // Most fit into a sector or two, some take many.
            noise: match Random::new(k).below(16) {
                0 => 12_000,
                1..=3 => 3000,
                _ => 200,
            },
            deadline: Duration::ZERO,
        };
        report(&plan, &format!("{}-{k}", self.name), k)
    }

    /// The lane the `k`th report belongs to.
    #[must_use]
    pub fn lane(&self, k: u64) -> &'static str {
        match self.alert_every {
            Some(every) if k.is_multiple_of(every) => "alert",
            _ => "routine",
        }
    }
}

/// All agents.
#[derive(Debug)]
pub struct Crew {
    stop: Arc<AtomicBool>,
    agents: Vec<(Arc<Notes>, JoinHandle<anyhow::Result<()>>)>,
}

/// What an agent writes down while it works.
#[derive(Debug)]
struct Notes {
    who: Told,
    acknowledged: AtomicU64,
    posted: AtomicU64,
}

impl Crew {
    /// Three agents at each port begin to post: routine reports, alerts, both.
    ///
    /// # Errors
    /// When an agent cannot be made.
    pub fn start(world: &World, seed: u64) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = Vec::new();
        for (port, name) in PORTS.iter().enumerate() {
            for (number, alert_every) in (0_u64..).zip(KINDS) {
                let who = Told {
                    name: format!("{name}-{number}"),
                    source: World::source(port),
                    alert_every,
                    acknowledged: 0,
                    posted: 0,
                };
                let notes = Arc::new(Notes {
                    who,
                    acknowledged: AtomicU64::new(0),
                    posted: AtomicU64::new(0),
                });
                let (agent, host) = (world.agent(port)?, world.host().clone());
                let (stop, written) = (Arc::clone(&stop), Arc::clone(&notes));
                let random = Random::new(seed ^ (port as u64) << 8 ^ number);
                let thread = std::thread::spawn(move || host.run(|| written.work(&agent, random, &stop))?);
                agents.push((notes, thread));
            }
        }
        Ok(Self { stop, agents })
    }

    /// How many reports were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let of_one = |(notes, _): &(Arc<Notes>, _)| notes.acknowledged.load(Ordering::SeqCst);
        self.agents.iter().map(of_one).sum()
    }

    /// Ends the posting.
    ///
    /// # Errors
    /// When an agent ended before, because the box refused a report that is right.
    pub fn finish(self) -> anyhow::Result<Vec<Told>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut told = Vec::new();
        for (notes, thread) in self.agents {
            let ended = thread.join();
            ended
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .with_context(|| format!("agent {}", notes.who.name))?;
            told.push(Told {
                acknowledged: notes.acknowledged.load(Ordering::SeqCst),
                posted: notes.posted.load(Ordering::SeqCst),
                ..notes.who.clone()
            });
        }
        Ok(told)
    }
}

impl Notes {
    fn work(&self, agent: &Agent, mut random: Random, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut next = 1;
        while !stop.load(Ordering::SeqCst) {
            // Mostly one report, sometimes a batch.
            let count = random.below(8).saturating_sub(3).max(1);
            let mut events: Vec<_> = (next..next + count).map(|k| self.who.report(k)).collect();
            let body = match events.len() {
                1 => events.remove(0),
                _ => Value::Array(events),
            };
            self.posted.store(next + count - 1, Ordering::SeqCst);
            if !post_until_acknowledged(agent, &body, stop)? {
                break;
            }
            self.acknowledged.store(next + count - 1, Ordering::SeqCst);
            next += count;
        }
        Ok(())
    }
}

/// False when it was told to stop before.
fn post_until_acknowledged(agent: &Agent, body: &Value, stop: &AtomicBool) -> anyhow::Result<bool> {
    while !stop.load(Ordering::SeqCst) {
        match agent.post(body) {
            Ok(answer) if answer.status == 202 => return Ok(true),
            Ok(answer) if answer.status >= 500 || [408, 429].contains(&answer.status) => {
                std::thread::sleep(LONGER_PAUSE);
            }
            Ok(answer) => bail!("a report was refused with {}: {}", answer.status, answer.body),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    Ok(false)
}
