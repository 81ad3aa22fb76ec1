//! Stories of updates on the booted box, told to the end: a test tells the short ones, `rap-soak update` and its siblings all
//! of them.

mod cuts;
mod right;
mod rot;
mod slot;
mod wrong;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::console::Mark;
use serde_json::Value;

use crate::releases::{Change, Workshop};
use crate::system::{READY, REPOSITORY_PORT, Repository, Setup, System};

pub use cuts::{Cuts, cut};
pub use right::{Moved, RIGHT, Right, Way, all as all_right};
pub use wrong::{WRONG, Wrong};

/// How long a box may take to be ready, though others run beside it.
const START: Duration = Duration::from_secs(900);
/// How long bringing, writing and reading back may take under software emulation; a kernel that is packed again takes longest.
const INSTALL: Duration = Duration::from_secs(3600);
/// How long until a trial that is well is confirmed: it has to be well for a minute.
const CONFIRM: Duration = Duration::from_secs(600);
/// How long until init gives up a service that ends again and again.
const GIVE_UP: Duration = Duration::from_secs(900);

/// How many lines of the console a story that went otherwise shows: about two boots.
const LAST_WORDS: usize = 200;
/// How long the status may stay behind the log.
const SETTLE: Duration = Duration::from_secs(300);

/// A box, its repository, and the workshop for more releases. Release 1 runs.
#[derive(Debug)]
pub struct Story {
    system: System,
    workshop: Workshop,
    repository: Repository,
}

impl Story {
    /// Begins with the image of `setup`, which has a debug shell.
    ///
    /// # Errors
    /// When the system cannot be built, or does not come up.
    pub fn begin(setup: &Setup) -> anyhow::Result<Self> {
        let workshop = Workshop::new(&setup.image, &setup.keys)?;
        let uki = workshop.uki()?;
        Self::begin_with(setup, workshop, &uki)
    }

    /// As [`Self::begin`], with release 1 made of the image `uki`.
    fn begin_with(setup: &Setup, workshop: Workshop, uki: &[u8]) -> anyhow::Result<Self> {
        let first = workshop.make_of(uki, "1.0.0", &[])?;
        workshop.flash(&first)?;
        workshop.publish(&first, None, |_| ())?;
        let mut system = System::new(&Setup {
            image: first,
            site: site(&setup.site),
            ..setup.clone()
        })?;
        let repository = Repository::serve(&system.lab, &setup.keys, &workshop.repository())?;
        system.machine.power_on()?;
        system.machine.wait_for(READY, START)?;
        let mut story = Self {
            system,
            workshop,
            repository,
        };
        // Ready it is before it has its lease.
        story.delivers()?;
        Ok(story)
    }

    /// A release whose netd cannot work, because `nft` is missing, goes by itself; says why, as the box does.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    pub fn loses_a_bad_one(&mut self) -> anyhow::Result<String> {
        self.release("1.2.0", &[Change::Without("usr/sbin/nft")])?;
        self.install("is given up: ", GIVE_UP)?;
        let mark = self.system.machine.mark();
        // The shell answers once the services run.
        if self.status().is_err() {
            self.wait(mark, READY, START)?;
        }
        let status = self.status()?;
        ensure!(status["slots"][1]["running"] == true, "{status:#}");
        ensure!(status["given-up"]["release"]["version"] == "1.2.0", "{status:#}");
        let history = self.system.shell("rapctl update history")?;
        ensure!(
            history.contains("given up") && history.contains("confirmed"),
            "{history}"
        );
        self.delivers()?;
        Ok(status["given-up"]["why"].as_str().unwrap_or_default().to_owned())
    }

    fn release(&self, version: &str, changes: &[Change]) -> anyhow::Result<PathBuf> {
        let folder = self.workshop.make(version, changes)?;
        self.workshop.publish(&folder, None, |_| ())?;
        Ok(folder)
    }

    /// A person installs what is published; returns once a box has said `words` after its restart.
    fn install(&self, words: &str, deadline: Duration) -> anyhow::Result<()> {
        let mark = self.arm()?;
        self.wait(mark, words, START + deadline)
    }

    /// A person installs what is published; returns when it is armed and the box is about to restart, with a mark before that.
    fn arm(&self) -> anyhow::Result<Mark> {
        self.arm_by("rapctl update install")
    }

    /// As [`Self::arm`], by `command`.
    fn arm_by(&self, command: &str) -> anyhow::Result<Mark> {
        let machine = &self.system.machine;
        let mark = machine.mark();
        self.system.shell(&format!("({command} >/run/said 2>&1 &)"))?;
        let begun = machine
            .console()
            .wait_for_since(mark, "wants the box restarted: the trial", INSTALL);
        if let Err(error) = begun {
            let said = self.system.shell("cat /run/said; rapctl update status");
            anyhow::bail!("{error}\n{said:?}\n{}", self.repository.log());
        }
        Ok(mark)
    }

    fn wait(&self, mark: Mark, words: &str, deadline: Duration) -> anyhow::Result<()> {
        let said = self
            .system
            .machine
            .console()
            .wait_for_since(mark, words, deadline);
        said.map(drop)
            .with_context(|| format!("the repository's log:\n{}", self.repository.log()))
    }

    /// What the updater says of itself, once it does nothing any more; what it logs it has not said yet.
    fn status(&self) -> anyhow::Result<Value> {
        let begun = Instant::now();
        loop {
            let status = self.system.status("update")?;
            let trial = status["slots"]
                .as_array()
                .is_some_and(|slots| slots.iter().any(|slot| slot["state"] == "on trial"));
            if status["doing"] == "idle" && status["trial"].is_null() && !trial || begun.elapsed() > SETTLE {
                return Ok(status);
            }
        }
    }

    /// The end of the box's console, for a story that went otherwise.
    #[must_use]
    pub fn last_words(&self) -> String {
        format!(
            "the console's end:\n{}",
            self.system.machine.console().tail(LAST_WORDS)
        )
    }

    /// The box does its work.
    fn delivers(&mut self) -> anyhow::Result<()> {
        self.system.agents.post(&self.system.lab, 1, 1)?;
        self.system.expect_delivered().map(drop)
    }
}

/// `site` with a repository beside the centre, where a person decides.
fn site(site: &str) -> String {
    format!("{site}\n[update]\nurl = \"https://10.9.0.10:{REPOSITORY_PORT}\"\ninstall = \"manual\"\n")
}
