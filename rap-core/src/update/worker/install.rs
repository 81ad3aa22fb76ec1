//! From looking for a release to the restart that begins its trial.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::health::Seen;
use super::super::needs::{Done, Image, Repository};
use super::super::policy::{Decision, Plan, Way, restart_wait, time};
use super::super::state::{Named, Trial};
use super::super::status::words;
use super::{FIRST, Worker, lock, now_text};
use crate::moment::since_boot;
use crate::release::Manifest;
use crate::site::updates::Install;

/// How long a person who asks waits for the uplink's address, which comes a little after the box is ready.
const ADDRESS: Duration = Duration::from_secs(60);
/// How often it is looked whether it is there.
const LOOK: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const LONGEST: Duration = Duration::from_hours(1);

impl Worker {
    /// Asks the repository.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.tell("asking the repository");
        let now = self.knowledge.certain();
        let repository = self.parts.repository.as_mut().context(
            "the site names no repository ([update] in site.toml): give a bundle (rapctl update install FILE)",
        )?;
        let checked = repository.check(now);
        let every = self
            .parts
            .setup
            .updates
            .as_ref()
            .map_or(LONGEST, |updates| updates.check_every);
        match checked {
            Ok(offer) => {
                self.failures = 0;
                self.trouble = None;
                self.check_at = since_boot() + every;
                self.from_file = None;
                lock(&self.parts.told).checked_at = Some(now_text());
                self.learn(offer)
            }
            Err(error) => {
                let pause = FIRST
                    .saturating_mul(1 << self.failures.min(10))
                    .min(LONGEST)
                    .min(every);
                self.failures += 1;
                self.check_at = since_boot() + pause;
                Err(error.context("no release was learnt of"))
            }
        }
    }

    /// Asks the repository for a person, who is not told "no route" only because the box has just started.
    pub(super) fn check_for_a_person(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let has_address = |worker: &Self| Seen::read(&worker.parts.setup.status, false).works().uplink;
        while self.parts.repository.is_some() && !has_address(self) && begun.elapsed() < ADDRESS {
            self.tell("waiting until the uplink has its address");
            std::thread::sleep(LOOK);
        }
        self.check()
    }

    /// A person wants what is on offer, or in a bundle.
    pub(super) fn install(&mut self, by: &str, bundle: Option<OwnedFd>) -> anyhow::Result<()> {
        match bundle {
            Some(file) => {
                self.tell("reading the bundle");
                let mut repository = (self.parts.bundle)(file)?;
                let offer = repository
                    .check(self.knowledge.certain())
                    .context("the bundle is refused")?;
                self.learn(offer)?;
                self.from_file = Some(repository);
            }
            None => self.check_for_a_person()?,
        }
        let Some(manifest) = &self.offer else {
            return Ok(());
        };
        let build_id = manifest.build_id.clone();
        self.consent(&build_id, by)?;
        self.act()
    }

    /// Does about the release on offer what the policy says.
    pub(super) fn act(&mut self) -> anyhow::Result<()> {
        self.know_what_runs();
        let Some(decision) = self.decide() else {
            return Ok(());
        };
        let Decision::Install(plan) = &decision else {
            if lock(&self.parts.told).decision.as_ref() != Some(&decision) {
                log::info!("{}", words(&decision));
            }
            return Ok(());
        };
        let Some(manifest) = self.offer.clone() else {
            return Ok(());
        };
        self.bring(&manifest, plan)?;
        // Bringing may have taken hours: the window may have opened, or closed.
        if !matches!(self.decide(), Some(Decision::Install(Plan { restart: None, .. }))) {
            return Ok(());
        }
        match self.write(&manifest, plan.way) {
            Ok(()) => self.arm(&manifest),
            Err(error) if plan.way != Way::Full => {
                log::warn!("the patch did not give the release, which is now brought whole: {error:#}");
                self.patch_failed = Some(manifest.build_id.clone());
                // The next turn decides anew.
                Ok(())
            }
            Err(error) => {
                // What was brought did not give the release: it is brought anew, after a while.
                self.source()?.sweep();
                Err(error)
            }
        }
    }

    /// Patches are from an image by its hash: it is read once.
    fn know_what_runs(&mut self) {
        let patches = self
            .offer
            .as_ref()
            .is_some_and(|manifest| !manifest.patches.is_empty());
        if self.uki.is_some() || !patches {
            return;
        }
        let running = self.view.running;
        self.tell("reading the image that runs");
        match self.parts.bays.digest(running) {
            Ok(file) => self.uki = Some(file.sha256),
            Err(error) => log::warn!("the image that runs cannot be read, so no patch is used: {error:#}"),
        }
    }

    fn source(&mut self) -> anyhow::Result<&mut Box<dyn Repository>> {
        let repository = self.from_file.as_mut().or(self.parts.repository.as_mut());
        repository.context("there is no repository any more")
    }

    fn bring(&mut self, manifest: &Manifest, plan: &Plan) -> anyhow::Result<()> {
        let told = self.parts.told.clone();
        let total = plan.bytes;
        self.tell("bringing the release");
        let (began, mut came) = (Instant::now(), 0);
        let mut report = |done: Done| {
            came = done.brought;
            lock(&told).progress = Some(super::Progress {
                done: done.bytes,
                total,
                per_second: rate(came, began.elapsed()),
            });
            true
        };
        let brought = self.source()?.bring(manifest, plan.way, &mut report);
        if let Some(rate) = rate(came, began.elapsed()) {
            log::info!(
                "brought {came} bytes in {} for {}",
                time(began.elapsed().as_secs()),
                Named::of(manifest).words()
            );
            self.state.rate = Some(rate);
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(6));
        if brought.is_err() {
            self.failures += 1;
            self.check_at = since_boot() + pause;
            // Until then nothing is on offer: the next check begins anew, and goes on where this one stopped.
            self.offer = None;
        }
        brought.context("the release was not brought whole; what is there is kept")
    }

    /// Writes the release into the slot that does not run, and reads it back.
    fn write(&mut self, manifest: &Manifest, way: Way) -> anyhow::Result<()> {
        let running = self.view.running;
        let slot = running.other();
        log::info!("writing {} into slot {slot}", Named::of(manifest).words());
        self.tell("writing the release");
        self.progress(0, manifest.uki.bytes, None);
        let base: Box<dyn Image> = self.parts.bays.image(running)?;
        let repository = self.from_file.as_mut().or(self.parts.repository.as_mut());
        let repository = repository.context("there is no repository any more")?;
        let mut image = repository.image(manifest, way, base)?;
        let mut counted = Counted {
            inner: &mut image,
            done: 0,
            total: manifest.uki.bytes,
            told: &self.parts.told,
        };
        // What was there is known no longer.
        self.state.known[slot as usize] = None;
        let written = self.parts.bays.write(slot, &mut counted, &manifest.uki);
        drop(image);
        self.look()?;
        written.context("the release was not written; the image that runs is untouched")
    }

    /// Writes down that there is a trial, then makes the next boot one.
    fn arm(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let release = Named::of(manifest);
        let asked = self
            .state
            .consent
            .as_ref()
            .is_some_and(|consent| consent.build_id == manifest.build_id);
        let why = match &self.state.consent {
            Some(consent) if asked => format!("{} asked for it", consent.by),
            _ => "by the site's rules".to_owned(),
        };
        self.remember(&release, "armed", &why);
        self.state.trial = Some(Trial {
            release,
            uki: manifest.uki,
            attempt: 1,
            asked,
            before: Seen::read(&self.parts.setup.status, self.knowledge.heard()).works(),
            verdict: None,
        });
        self.state.given_up = None;
        self.save()?;
        self.parts.bays.arm()?;
        self.look()?;
        self.armed = true;
        self.restart_when_allowed()
    }

    /// Restarts the box for the slot that is armed, in a window.
    pub(super) fn restart_when_allowed(&mut self) -> anyhow::Result<()> {
        let asked = self.state.trial.as_ref().is_some_and(|trial| trial.asked);
        let updates = self.parts.setup.updates.as_ref();
        let windows = updates.map_or(&[][..], |updates| &updates.windows);
        // That it may be installed was said before it was armed.
        let wait = restart_wait(
            self.session(),
            asked,
            Install::Automatic,
            windows,
            self.knowledge.best(),
        );
        if wait.is_none() {
            self.restart("the trial of an update begins");
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, why: &str) {
        self.restarting = true;
        self.tell("");
        self.parts.notifier.restart(why);
    }
}

/// Bytes a second, once it can be told.
#[allow(clippy::cast_precision_loss, reason = "a figure for people and estimates")]
fn rate(bytes: u64, time: Duration) -> Option<f64> {
    let seconds = time.as_secs_f64();
    (bytes > 0 && seconds > 0.01).then(|| bytes as f64 / seconds)
}

/// Tells how much of an image was read.
struct Counted<'a> {
    inner: &'a mut dyn std::io::Read,
    done: u64,
    total: u64,
    told: &'a std::sync::Mutex<super::Status>,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        if let Some(progress) = &mut lock(self.told).progress {
            (progress.done, progress.total) = (self.done, self.total);
        }
        Ok(count)
    }
}
