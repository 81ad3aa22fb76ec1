//! Releases that go well: by patch and whole, over a slow line, without a service centre, through power cuts, from a stick.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_image::{patch, publish};

use super::{CONFIRM, START, Story};
use crate::bench::update::{What, before, with_core_of};
use crate::releases::{Change, Workshop};
use crate::system::{READY, Served, Setup};

/// What is said of an image that stays.
const KEPT: &str = "is confirmed: all was well for a while";
/// The narrow line of issue 5, in bits a second.
const NARROW: u64 = 128_000;
/// Where the machine's stick is on the box.
const STICK: &str = "/dev/vdb";
/// How often a trial is cut short.
const CUTS: u64 = 3;
/// Memory for a kernel that is packed again, in MiB.
const MEMORY: u32 = 2048;

/// How a release is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With a patch from the one before.
    Patch,
    /// Whole only.
    Whole,
}

/// What an update moved.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// From the first question to the confirmation, metadata and all.
    pub served: Served,
    /// From the order until all was brought, written, read back and armed.
    pub armed_after: Duration,
}

/// A release that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is to go well.
    pub what: &'static str,
    tell: fn(&mut Row) -> anyhow::Result<String>,
}

/// All of them, in the order in which they are told.
pub const RIGHT: [Right; 6] = [
    Right {
        name: OPENSSL,
        what: "a point release of OpenSSL comes by patch",
        tell: Row::openssl,
    },
    Right {
        name: "whole",
        what: "a release comes whole, and the service centre is down from before its order until after its trial",
        tell: Row::whole,
    },
    Right {
        name: "cuts",
        what: "the trial of a release is cut short three times",
        tell: Row::cuts,
    },
    Right {
        name: "stick",
        what: "a release comes from a stick",
        tell: Row::stick,
    },
    Right {
        name: "slow",
        what: "a change of the core comes over 128 kbit/s",
        tell: Row::slow,
    },
    Right {
        name: KERNEL,
        what: "a point release of the kernel comes by patch, and is packed again on the box",
        tell: Row::kernel,
    },
];
const OPENSSL: &str = "openssl";
const KERNEL: &str = "kernel";

impl Right {
    /// The one that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        RIGHT.iter().find(|right| right.name == name)
    }
}

/// Tells the stories `asked` one after another on one box, and on a new one after a story that went otherwise; `changed` is an
/// image whose core was changed. What came of each goes to `say`.
///
/// # Errors
/// When the system cannot be built, or does not come up.
pub fn all(
    setup: &Setup,
    changed: Option<&Path>,
    asked: &[&Right],
    say: &mut dyn FnMut(&Right, anyhow::Result<String>),
) -> anyhow::Result<()> {
    let mut row = None;
    for (told, right) in asked.iter().enumerate() {
        let mut here = match row.take() {
            Some(row) => row,
            None => Row::begin(setup, changed, &asked[told..])?,
        };
        let done = (right.tell)(&mut here);
        let done = done.with_context(|| here.story.last_words());
        if done.is_ok() {
            row = Some(here);
        }
        say(right, done);
    }
    Ok(())
}

/// A box in a row of releases: it begins with yesterday's OpenSSL and kernel where those are asked for.
struct Row {
    story: Story,
    today: Vec<u8>,
    /// What runs, but for its version.
    runs: Vec<u8>,
    /// What runs once OpenSSL is today's.
    earlier: Vec<u8>,
    changed: Option<Vec<u8>>,
    /// The newest release's.
    number: u64,
}

impl Row {
    fn begin(setup: &Setup, changed: Option<&Path>, asked: &[&Right]) -> anyhow::Result<Self> {
        let asked = |name| asked.iter().any(|right| right.name == name);
        let setup = Setup {
            memory_mib: MEMORY,
            ..setup.clone()
        };
        let workshop = Workshop::new(&setup.image, &setup.keys)?;
        let today = workshop.uki()?;
        let as_before = |uki: Vec<u8>, what: What, name| {
            if asked(name) {
                before(&uki, &[what])
            } else {
                Ok(uki)
            }
        };
        let earlier = as_before(today.clone(), What::Kernel, KERNEL)?;
        let runs = as_before(earlier.clone(), What::Openssl, OPENSSL)?;
        let changed = changed.map(std::fs::read).transpose()?;
        Ok(Self {
            story: Story::begin_with(&setup, workshop, &runs)?,
            today,
            runs,
            earlier,
            changed,
            number: 0,
        })
    }

    /// Offers what runs as the next release.
    fn offer(&mut self, way: Way) -> anyhow::Result<String> {
        self.number += 1;
        let version = format!("1.{}.0", self.number);
        self.story.offer(&version, &self.runs, way)?;
        Ok(version)
    }

    fn openssl(&mut self) -> anyhow::Result<String> {
        self.runs.clone_from(&self.earlier);
        let version = self.offer(Way::Patch)?;
        self.story.keeps(&version)?.within(350_000)
    }

    fn whole(&mut self) -> anyhow::Result<String> {
        let version = self.offer(Way::Whole)?;
        self.story.keeps_without_a_centre(&version)?.within(u64::MAX)
    }

    fn cuts(&mut self) -> anyhow::Result<String> {
        let version = self.offer(Way::Patch)?;
        let moved = self.story.keeps_through_power_cuts(&version)?;
        Ok(format!("{CUTS} power cuts, {}", moved.within(120_000)?))
    }

    fn stick(&mut self) -> anyhow::Result<String> {
        let version = self.offer(Way::Patch)?;
        self.story.keeps_from_a_stick(&version)?;
        Ok("no piece from the repository".to_owned())
    }

    fn slow(&mut self) -> anyhow::Result<String> {
        let what = match &self.changed {
            Some(changed) => {
                self.runs = with_core_of(&self.runs, changed)?;
                "the core"
            }
            None => "a file",
        };
        // Until the box restarts.
        self.story.system.slow_uplink(NARROW, Duration::ZERO)?;
        let version = self.offer(Way::Patch)?;
        let moved = self.story.keeps(&version)?;
        Ok(format!("{what}, {}", moved.within(120_000)?))
    }

    fn kernel(&mut self) -> anyhow::Result<String> {
        self.runs = with_core_of(&self.today, &self.runs)?;
        let version = self.offer(Way::Patch)?;
        self.story.keeps(&version)?.within(3_000_000)
    }
}

impl Story {
    /// A release that works is brought by patch, tried and kept.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    pub fn keeps_a_good_one(&mut self) -> anyhow::Result<Moved> {
        let uki = self.workshop.uki()?;
        self.offer("1.1.0", &uki, Way::Patch)?;
        self.keeps("1.1.0")
    }

    /// Publishes release `version` made of `uki`.
    fn offer(&self, version: &str, uki: &[u8], way: Way) -> anyhow::Result<()> {
        let novelty = Change::File("etc/rap/novelty", version.as_bytes().to_vec());
        let folder = self.workshop.make_of(uki, version, &[novelty])?;
        let patcher = |old: &[u8], new: &[u8]| Ok(patch::between(old, new)?.made);
        let patcher: publish::Patcher<'_> = &patcher;
        let outcome = self
            .workshop
            .publish(&folder, (way == Way::Patch).then_some(patcher), |order| {
                order.patches = 1;
            })?;
        let patches = &outcome.releases.first().context("nothing was published")?.patches;
        ensure!(patches.is_empty() == (way == Way::Whole), "{outcome:?}");
        Ok(())
    }

    /// A person installs the release `version`, and it stays.
    fn keeps(&mut self, version: &str) -> anyhow::Result<Moved> {
        self.status()?;
        let (before, begun) = (self.repository.served(), Instant::now());
        let mark = self.arm()?;
        let armed_after = begun.elapsed();
        self.wait(mark, KEPT, START + CONFIRM)?;
        self.runs(version)?;
        self.delivers()?;
        Ok(Moved {
            served: self.repository.served().since(before),
            armed_after,
        })
    }

    /// The release stays although the service centre is down from before its order until after its trial.
    fn keeps_without_a_centre(&mut self, version: &str) -> anyhow::Result<Moved> {
        self.system.centre.stop();
        let (before, begun) = (self.repository.served(), Instant::now());
        let mark = self.arm()?;
        let armed_after = begun.elapsed();
        self.wait(mark, KEPT, START + CONFIRM)?;
        self.runs(version)?;
        let served = self.repository.served().since(before);
        self.system.centre.resume(&self.system.lab)?;
        self.delivers()?;
        Ok(Moved { served, armed_after })
    }

    /// The trial of the release is cut short again and again, each time later; each time the box comes up with the old image,
    /// tries it once more, and in the end keeps it.
    fn keeps_through_power_cuts(&mut self, version: &str) -> anyhow::Result<Moved> {
        let (before, begun) = (self.repository.served(), Instant::now());
        let mut mark = self.arm()?;
        let armed_after = begun.elapsed();
        for cut in 0..CUTS {
            self.wait(mark, "on trial: ", 2 * START)?;
            if cut > 0 {
                self.system.machine.wait_for(READY, START)?;
            }
            std::thread::sleep(Duration::from_secs(5 * cut));
            self.system.machine.power_cut()?;
            self.system.machine.power_on()?;
            mark = self.system.machine.mark();
            self.wait(mark, "was cut short: ", START)?;
        }
        self.wait(mark, KEPT, 2 * START + CONFIRM)?;
        self.runs(version)?;
        let history = self.system.shell("rapctl update history")?;
        let cuts = history.matches("interrupted").count() as u64;
        ensure!(cuts == CUTS, "{history}");
        self.delivers()?;
        Ok(Moved {
            served: self.repository.served().since(before),
            armed_after,
        })
    }

    /// The release comes from a stick, and the box is asked as soon as it is ready; nothing is asked of the repository for it.
    fn keeps_from_a_stick(&mut self, version: &str) -> anyhow::Result<()> {
        self.status()?;
        let place = tempfile::Builder::new().prefix("rap-stick-").tempdir()?;
        let bundle = place.path().join("bundle.tar");
        publish::bundle(&self.workshop.repository(), &[], &bundle)?;
        self.system.machine.power_cut()?;
        self.system.machine.plug_file(&bundle);
        self.system.machine.power_on()?;
        self.system.machine.wait_for(READY, START)?;
        // Ready it is before it has its lease.
        let checked = self.system.shell("rapctl update check")?;
        ensure!(
            checked.contains(version) && !checked.contains("no route"),
            "{checked}"
        );
        let pieces = |log: String| log.matches("/pieces/").count();
        let before = pieces(self.repository.log());
        let mark = self.arm_by(&format!("rapctl update install {STICK}"))?;
        self.wait(mark, KEPT, START + CONFIRM)?;
        ensure!(
            pieces(self.repository.log()) == before,
            "{}",
            self.repository.log()
        );
        self.runs(version)?;
        self.delivers()
    }

    /// The box runs `version`, confirmed, by its floor too.
    fn runs(&self, version: &str) -> anyhow::Result<()> {
        let status = self.status()?;
        let slots = status["slots"].as_array().context("no slots")?;
        let running = slots.iter().find(|slot| slot["running"] == true);
        ensure!(
            running.is_some_and(|slot| slot["state"] == "confirmed"),
            "{status:#}"
        );
        ensure!(
            status["running"]["version"] == version && status["running"]["number"] == status["floor"],
            "{status:#}"
        );
        Ok(())
    }
}

impl Moved {
    /// In words, unless it was more than `bytes`.
    ///
    /// # Errors
    /// When it was more.
    pub fn within(&self, bytes: u64) -> anyhow::Result<String> {
        let Served { bytes: all, requests } = self.served;
        ensure!(all <= bytes, "{all} bytes were moved, at most {bytes} were to be");
        Ok(format!(
            "{all} bytes in {requests} answers, armed after {:.0} s",
            self.armed_after.as_secs_f64()
        ))
    }
}
