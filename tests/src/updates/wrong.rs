//! Releases that go wrong, each in a way of its own: the box goes back by itself, and says why.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_core::boot::slot::Label;

use super::slot::Slot;
use super::{START, Story};
use crate::releases::Change;
use crate::system::READY;

/// How long it may take until the box gives a release up: four trials, each ended by a watchdog, or ten minutes of patience.
const GIVE_UP: Duration = Duration::from_secs(3600);
/// Reading it never ends.
const ENDLESS: &str = "/proc/kmsg";

/// A release that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Wrong {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// Words of the reason that the box gives.
    why: &'static str,
    how: How,
    /// Whether firmware asks for signatures.
    pub secure_boot: bool,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// The release is made so.
    Made(fn() -> Change),
    /// It is changed on the disk between being armed and its trial.
    Changed(fn(&Slot) -> anyhow::Result<()>),
    /// Its manifest asks for so many MiB of memory.
    Asks(u64),
}

/// A file that nothing reads.
const NOTHING: &[u8] = b"Nothing depends upon these words.";
/// What the box says of a trial that ended before anything was written down.
const EARLY: &str = "it did not come as far as its data partition";

/// All of them.
pub const WRONG: [Wrong; 10] = [
    Wrong::made(
        "no-nft",
        "netd ends again and again",
        "netd ended again and again",
        || Change::Without("usr/sbin/nft"),
    ),
    Wrong::made("init-dies", "process 1 ends: the kernel panics", EARLY, || {
        Change::Link("init", "usr/sbin/nft")
    }),
    Wrong::made(
        "hangs-early",
        "init hangs before it has the watchdog",
        EARLY,
        || Change::Link("etc/rap/modules", ENDLESS),
    ),
    Wrong::made(
        "hangs-late",
        "init hangs when it has the watchdog",
        "it came to: its data partition",
        || Change::Link("etc/passwd", ENDLESS),
    ),
    Wrong::made(
        "no-lease",
        "the uplink gets no DHCP lease",
        "the uplink has no address any more",
        || Change::Without("usr/sbin/dhcpcd"),
    ),
    Wrong::changed("truncated", "its image is cut off on the disk", Slot::truncate),
    Wrong::changed(
        "flipped",
        "a bit of its kernel is flipped, with Secure Boot",
        |slot| slot.flip_section(".linux"),
    ),
    Wrong {
        secure_boot: false,
        ..Wrong::changed(
            "flipped-kernel",
            "a bit of its kernel is flipped, without Secure Boot",
            |slot| slot.flip_section(".linux"),
        )
    },
    Wrong {
        secure_boot: false,
        why: "is not the one that was armed",
        ..Wrong::changed(
            "flipped-root",
            "a bit of its files is flipped, without Secure Boot",
            |slot| slot.flip_text(NOTHING),
        )
    },
    Wrong {
        name: "too-big",
        what: "it needs more memory than the box has",
        why: "needs 2048 MiB of memory, this box has",
        how: How::Asks(2048),
        secure_boot: true,
    },
];

impl Wrong {
    const fn made(name: &'static str, what: &'static str, why: &'static str, change: fn() -> Change) -> Self {
        Self {
            name,
            what,
            why,
            how: How::Made(change),
            secure_boot: true,
        }
    }

    const fn changed(
        name: &'static str,
        what: &'static str,
        change: fn(&Slot) -> anyhow::Result<()>,
    ) -> Self {
        Self {
            name,
            what,
            why: "it cannot be tried again",
            how: How::Changed(change),
            secure_boot: true,
        }
    }

    /// The one that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        WRONG.iter().find(|wrong| wrong.name == name)
    }
}

impl Story {
    /// A release goes wrong, and the box ends up where it was; says why, as the box does.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    pub fn goes_wrong(&mut self, wrong: &Wrong) -> anyhow::Result<String> {
        let running = self.running()?;
        let version = format!("1.2.0-{}", wrong.name);
        let changes = match wrong.how {
            How::Made(change) => vec![change()],
            How::Changed(_) | How::Asks(_) => vec![Change::File("etc/rap/novelty", NOTHING.to_vec())],
        };
        let folder = self.workshop.make(&version, &changes)?;
        let asks = match wrong.how {
            How::Asks(mib) => Some(mib),
            How::Made(_) | How::Changed(_) => None,
        };
        self.workshop.publish(&folder, None, |order| {
            order.memory_mib = asks.or(order.memory_mib)
        })?;
        if asks.is_some() {
            return self.is_refused(wrong);
        }
        let mark = self.arm()?;
        if let How::Changed(change) = wrong.how {
            self.system.machine.power_cut()?;
            change(&Slot::open(&self.system.disk(), running.other())?)?;
            self.system.machine.power_on()?;
        }
        self.wait(mark, "is given up: ", GIVE_UP)?;
        self.is_ready_after("is given up: ")?;
        let why = self.is_back(running, &version)?;
        ensure!(why.contains(wrong.why), "{}: {why}", wrong.name);
        self.delivers()?;
        Ok(why)
    }

    /// The box runs `running`, and has given `version` up; says why, and that its history says so.
    fn is_back(&self, running: Label, version: &str) -> anyhow::Result<String> {
        let status = self.status()?;
        ensure!(self.running()? == running, "{status:#}");
        ensure!(status["given-up"]["release"]["version"] == version, "{status:#}");
        let why = status["given-up"]["why"].as_str().unwrap_or_default().to_owned();
        let history = self.system.shell("rapctl update history --json")?;
        let json = history.lines().find(|line| line.starts_with('{'));
        let history: serde_json::Value = serde_json::from_str(json.context("no history")?)?;
        let last = history["history"].as_array().and_then(|history| history.last());
        let last = last.context("the history is empty")?;
        ensure!(
            last["what"] == "given up"
                && last["why"] == why.as_str()
                && last["release"]["version"] == version,
            "{history:#}"
        );
        Ok(why)
    }

    /// What is on offer is not even brought.
    fn is_refused(&self, wrong: &Wrong) -> anyhow::Result<String> {
        let before = self.repository.served();
        let said = self.system.shell("rapctl update install")?;
        let status = self.status()?;
        let decision = &status["decision"];
        let why = decision["why"].as_str().unwrap_or_default();
        ensure!(
            decision["decision"] == "refuse" && why.contains(wrong.why),
            "{status:#}\n{said}"
        );
        let bytes = self.repository.served().bytes - before.bytes;
        ensure!(bytes < 100_000, "{bytes} bytes were brought of what is refused");
        Ok(why.to_owned())
    }

    /// Waits until the box is ready after it last said `words`.
    fn is_ready_after(&self, words: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let lines = self.system.machine.console().lines();
            let said = lines.iter().rposition(|line| line.text.contains(words));
            let after = lines.get(said.unwrap_or(lines.len())..).unwrap_or_default();
            if after.iter().any(|line| line.text.contains(READY)) {
                return Ok(());
            }
            if begun.elapsed() > START {
                return Err(self.system.machine.console().in_vain(READY, START).into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
