//! What was confirmed rots: it is mended while the box runs, or the box comes up from the other slot and mends it then.

use std::time::Duration;

use anyhow::ensure;
use rap_core::boot::slot::Label;
use rap_core::release::FRAME;

use super::slot::Slot;
use super::{START, Story};
use crate::system::READY;

/// How long holding both slots against what they should be may take, copies and all.
const SCRUB: Duration = Duration::from_secs(600);

impl Story {
    /// A release is kept, unless one was: of what is kept there is a copy.
    ///
    /// # Errors
    /// With the console when it is not.
    pub fn keeps_one(&mut self) -> anyhow::Result<()> {
        if self.status()?["floor"].as_u64().unwrap_or_default() < 2 {
            self.keeps_a_good_one()?;
        }
        Ok(())
    }

    /// Bytes of the image that runs rot on the disk; when it is asked to, the box finds and mends them while it runs.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    pub fn mends_what_rots(&mut self) -> anyhow::Result<()> {
        self.status()?;
        let running = self.running()?;
        let disk = self.system.disk();
        let slot = Slot::open(&disk, running)?;
        let (place, whole) = (slot.uki()?, slot.content()?);
        // In three MiB: a byte, two sectors, and the very end.
        for rotten in [
            place.start + 5000..place.start + 5001,
            place.start + 20 * FRAME + 512..place.start + 20 * FRAME + 1536,
            place.end - 1..place.end,
        ] {
            self.system.machine.disk().rot(rotten)?;
        }
        ensure!(slot.content()? != whole, "nothing rotted");
        let mark = self.system.machine.mark();
        self.scrub()?;
        let words = format!("slot {running} had rotted and is mended: 3 MiB of its image");
        self.wait(mark, &words, SCRUB)?;
        let status = self.status()?;
        ensure!(status["problems"].is_null(), "{status:#}");
        ensure!(slot.content()? == whole, "not all is as it was");
        self.delivers()
    }

    /// The image that is started is cut off in the middle while the box is off. Firmware's boot entries bring the box up from
    /// the other slot, it mends the first one, and after one more start all is as it was.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    pub fn comes_up_from_the_other_slot(&mut self) -> anyhow::Result<()> {
        self.status()?;
        let running = self.running()?;
        self.system.machine.power_cut()?;
        let disk = self.system.disk();
        let whole = Slot::open(&disk, running)?.content()?;
        Slot::open(&disk, running)?.truncate()?;
        self.system.machine.power_on()?;
        self.system.machine.wait_for(READY, START)?;
        let status = self.status()?;
        ensure!(self.running()? == running.other(), "{status:#}");
        self.delivers()?;
        let words = format!("slot {running} had rotted and is mended");
        self.system.machine.wait_for(&words, SCRUB)?;
        ensure!(
            Slot::open(&disk, running)?.content()? == whole,
            "slot {running} is not as it was"
        );
        self.status()?;
        self.system.machine.power_cut()?;
        self.system.machine.power_on()?;
        self.system.machine.wait_for(READY, START)?;
        let status = self.status()?;
        ensure!(self.running()? == running, "{status:#}");
        self.delivers()
    }

    /// The slot that runs.
    pub(super) fn running(&self) -> anyhow::Result<Label> {
        let status = self.system.status("update")?;
        let runs = |slot: usize| status["slots"][slot]["running"] == true;
        ensure!(runs(0) != runs(1), "{status:#}");
        Ok(if runs(0) { Label::A } else { Label::B })
    }

    fn scrub(&self) -> anyhow::Result<()> {
        let said = self.system.shell("(rapctl update scrub >/run/said 2>&1 &)")?;
        ensure!(!said.contains("refused"), "{said}");
        Ok(())
    }
}
