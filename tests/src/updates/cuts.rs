//! Power cuts of the whole box while it updates itself: whenever the power goes, a whole image starts that firmware finds
//! signed, and in the end the newest release is kept.

use std::fmt;

use anyhow::{Context as _, ensure};
use rap_qemu::disk::Survivors;

use super::{CONFIRM, INSTALL, START, Story};
use crate::random::Random;
use crate::releases::Change;
use crate::system::{READY, Setup};

/// What must not be said: something that is remembered was lost.
const LOST: [&str; 4] = [
    "set aside",
    "no copy of the floor",
    "second copy of the floor",
    "is forgotten",
];
/// How many times the end may be begun anew: what was cut short four times is given up.
const TRIES: usize = 3;

/// Where in an update a power cut falls: after these words, and so many milliseconds more at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    name: &'static str,
    words: &'static str,
    spread: u64,
}

const ASKED: usize = 0;
const ARMED: usize = 2;
const TRIAL: usize = 3;
const PHASES: [Phase; 5] = [
    Phase::new("bringing", READY, 20_000),
    Phase::new("writing", ": writing ", 12_000),
    Phase::new("armed", "wants the box restarted: the trial", 5000),
    Phase::new("on trial", "this image is on trial", 40_000),
    Phase::new("confirming", "is confirmed: ", 400),
];

impl Phase {
    const fn new(name: &'static str, words: &'static str, spread: u64) -> Self {
        Self { name, words, spread }
    }
}

/// What a campaign did; that the box came up each time with a whole image goes without saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cuts {
    /// Its seed.
    pub seed: u64,
    /// Power cuts in each phase.
    pub cuts: [u64; PHASES.len()],
    /// Releases that were kept.
    pub kept: u64,
    /// How often a trial was given up because it was cut short four times.
    pub given_up: u64,
    /// Reports that were acknowledged, and arrived.
    pub delivered: usize,
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} cuts (", self.seed, self.cuts.iter().sum::<u64>())?;
        for (number, (phase, cuts)) in PHASES.iter().zip(self.cuts).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{} {cuts}", phase.name)?;
        }
        write!(
            f,
            "), a whole image each time, {} releases kept, {} trials given up, {} reports acknowledged, 0 lost",
            self.kept, self.given_up, self.delivered
        )
    }
}

/// Cuts the power of a box `cuts` times while it updates itself, then lets it come to an end.
///
/// # Errors
/// When a part is missing, the box does not come up with one of its two images, or the newest release is not kept in the end.
pub fn cut(setup: &Setup, seed: u64, cuts: u64) -> anyhow::Result<Cuts> {
    let mut campaign = Campaign {
        story: Story::begin(setup)?,
        random: Random::new(seed),
        newest: 0,
        done: Cuts {
            seed,
            cuts: [0; PHASES.len()],
            kept: 0,
            given_up: 0,
            delivered: 0,
        },
    };
    for _ in 0..cuts {
        campaign.cut()?;
    }
    campaign.end()
}

struct Campaign {
    story: Story,
    random: Random,
    /// Releases 1.0.0 to this one were published.
    newest: u64,
    done: Cuts,
}

/// What a box that is ready is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    Armed,
    Trial,
}

impl Campaign {
    /// One life of the box, from being ready to a power cut.
    fn cut(&mut self) -> anyhow::Result<()> {
        let begun = self.is_up()?;
        let first = match begun {
            Begun::Nothing => ASKED,
            Begun::Armed => ARMED,
            Begun::Trial => TRIAL,
        };
        if begun == Begun::Nothing {
            self.ask()?;
        }
        let number = first + usize::try_from(self.random.below((PHASES.len() - first) as u64))?;
        let phase = PHASES[number];
        let machine = &mut self.story.system.machine;
        machine.wait_for(phase.words, INSTALL + START + CONFIRM)?;
        std::thread::sleep(self.random.millis(0, phase.spread));
        let survivors = match self.random.below(3) {
            0 => Survivors::None,
            _ => Survivors::Half {
                seed: self.random.below(u64::MAX),
            },
        };
        machine.power_cut_sparing(survivors)?;
        self.done.cuts[number] += 1;
        let all: u64 = self.done.cuts.iter().sum();
        log::info!("power cut {all}: {}", phase.name);
        machine.power_on()?;
        Ok(())
    }

    /// Waits until the box is ready with one of its two images, and says what it is about.
    fn is_up(&mut self) -> anyhow::Result<Begun> {
        let console = self.story.system.machine.console();
        console.wait_for(READY, START)?;
        for words in LOST {
            ensure!(console.first(words).is_none(), "`{words}`:\n{}", console.tail(80));
        }
        let said = console.first("rap init: version ").context("no version")?;
        let is = |number: u64| said.text.contains(&format!("version 1.{number}.0,"));
        let (old, new) = (self.newest.saturating_sub(1), self.newest);
        ensure!(is(old) || is(new), "neither image runs: {}", said.text);
        if console.first("is given up: ").is_some() {
            self.done.given_up += 1;
        }
        if console.first("was cut short").is_some() && console.first("is given up: ").is_none()
            || console.first("an update is armed").is_some()
        {
            return Ok(Begun::Armed);
        }
        if is(new) && console.first("this image is on trial").is_some() {
            return Ok(Begun::Trial);
        }
        if is(new) {
            // What runs was kept: there has to be a newer one.
            self.done.kept += u64::from(self.newest > 0);
            self.newest += 1;
            let version = format!("1.{}.0", self.newest);
            let novelty = Change::File("etc/rap/novelty", version.clone().into_bytes());
            self.story.release(&version, &[novelty])?;
        }
        Ok(Begun::Nothing)
    }

    fn ask(&self) -> anyhow::Result<()> {
        let command = "(rapctl update install >/run/said 2>&1 &)";
        self.story.system.shell(command).map(drop)
    }

    /// No cuts any more: the newest release is kept.
    fn end(mut self) -> anyhow::Result<Cuts> {
        for _ in 0..TRIES {
            if self.is_up()? == Begun::Nothing {
                self.ask()?;
            }
            let machine = &self.story.system.machine;
            let kept = machine.wait_for("is confirmed: ", INSTALL + 2 * START + CONFIRM);
            if kept.is_ok() {
                break;
            }
        }
        let status = self.story.status()?;
        let version = format!("1.{}.0", self.newest);
        ensure!(
            status["running"]["version"] == version.as_str() && status["floor"] == self.newest + 1,
            "{status:#}"
        );
        ensure!(status["problems"].is_null(), "{status:#}");
        self.story.delivers()?;
        self.done.kept += 1;
        self.done.delivered = self.story.system.expect_delivered()?;
        Ok(self.done)
    }
}
