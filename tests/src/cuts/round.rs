//! One round: a new disk, agents that post without a pause, a power cut at a random moment, again and again.
//!
//! The centre answers, is busy, or takes a batch and does not say so, by the seed; the agents never know.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;

use super::agent::Crew;
use super::verdict::{Verdict, missing};
use super::world::{Setup, World};
use crate::centre::Fault;
use crate::random::Random;
use crate::volatile::Survivors;

/// How long a life waits for its first acknowledgement; a full log gives none.
const FIRST: Duration = Duration::from_millis(700);
/// How long everything that was promised may take to arrive in the end.
const DRAIN: Duration = Duration::from_secs(90);
/// A life is at most this long after its first acknowledgement, if not a flush ends it.
const BUSY_MS: u64 = 150;
/// At most so many flushes of the disk come before the one that does not.
const FLUSHES: u64 = 60;

/// What a round did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Its seed.
    pub seed: u64,
    /// Power cuts.
    pub cuts: u64,
    /// What became of the reports.
    pub verdict: Verdict,
    /// Bytes the disk had not flushed when the power went, in all.
    pub unflushed: u64,
    /// How often the file system was mended after a cut.
    pub mended: u64,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        write!(
            f,
            "seed {}: {} cuts, {} acknowledged, {} lost, {} wrong, {} arrived, {} again, {} KiB unflushed, {} mended",
            self.seed,
            self.cuts,
            verdict.acknowledged,
            verdict.lost.len(),
            verdict.wrong.len(),
            verdict.arrived,
            verdict.again,
            self.unflushed / 1024,
            self.mended
        )?;
        for what in verdict.lost.iter().take(5) {
            write!(f, "\n  lost: {what}")?;
        }
        for what in verdict.wrong.iter().take(5) {
            write!(f, "\n  wrong: {what}")?;
        }
        Ok(())
    }
}

/// Cuts the power `cuts` times, then lets everything arrive.
///
/// # Errors
/// When the forwarder ends by itself or refuses a report that is right, with what it said; when a right or a program is
/// missing. A broken promise is no error but the round's verdict.
pub fn round(setup: Setup, seed: u64, cuts: u64) -> anyhow::Result<Round> {
    let mut world = World::new(setup)?;
    let mut random = Random::new(seed);
    let crew = Crew::start(&world, seed)?;
    let (mut unflushed, mut mended) = (0, 0);
    for _ in 0..cuts {
        world.centre().fault(match random.below(8) {
            0..=5 => None,
            6 => Some(Fault::Busy),
            _ => Some(Fault::DropReply),
        });
        world.start()?;
        live(&mut world, &crew, &mut random)?;
        unflushed += world.disk().unflushed();
        world.restore()?;
        mended += u64::from(world.disk().mended());
    }
    world.centre().fault(None);
    world.start()?;
    let told = crew.finish()?;
    let ended = SystemTime::now();
    let begun = Instant::now();
    loop {
        let missing = missing(&told, &world.arrivals());
        // Said since the last post: nothing waits. Then what is missing will never come.
        if missing.is_empty() || world.waiting(ended) == Some(0) {
            break;
        }
        ensure!(
            world.runs(),
            "the forwarder ended by itself; it said:\n{}",
            tail(&world)
        );
        ensure!(
            begun.elapsed() < DRAIN,
            "{} acknowledged reports still wait after {} s, such as {}; the forwarder said:\n{}",
            missing.len(),
            DRAIN.as_secs(),
            missing[0],
            tail(&world)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut verdict = Verdict::new(&told, &world.arrivals());
    // This disk damages nothing, so nothing may be called lost.
    let output = world.output();
    let told_losses = output
        .lines()
        .filter(|line| line.contains("lost"))
        .map(str::to_owned);
    verdict.wrong.extend(told_losses);
    Ok(Round {
        seed,
        cuts,
        verdict,
        unflushed,
        mended,
    })
}

/// From the start of the forwarder to the cut.
fn live(world: &mut World, crew: &Crew, random: &mut Random) -> anyhow::Result<()> {
    let survivors = match random.below(3) {
        0 => Survivors::None,
        _ => Survivors::Half {
            seed: random.below(u64::MAX),
        },
    };
    // Some are cut while they start.
    if random.below(4) > 0 {
        let (before, begun) = (crew.acknowledged(), Instant::now());
        while crew.acknowledged() == before && begun.elapsed() < FIRST {
            std::thread::sleep(Duration::from_millis(1));
        }
        ensure!(
            world.runs(),
            "the forwarder ended by itself; it said:\n{}",
            tail(world)
        );
    }
    if random.below(2) == 0 {
        std::thread::sleep(random.millis(0, BUSY_MS));
    } else {
        // What was written last is written and not flushed.
        let flushes = u32::try_from(random.below(FLUSHES)).unwrap_or(0);
        world.disk().cut_at_flush(flushes, survivors);
        let _ = world.disk().wait_cut(FIRST);
    }
    world.power_cut(survivors)
}

fn tail(world: &World) -> String {
    let output = world.output();
    let lines: Vec<_> = output.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
