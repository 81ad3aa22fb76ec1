//! The updater's one thread of work: looks, decides ([`policy`](super::policy)), and does, one thing after another.
//!
//! ```text
//! start ─► aftermath ─► check ─► decide ─► bring ─► (window, consent) ─► write ─► read back ─► arm ─► restart
//!                         ▲                                                                             │
//!                         └── confirm ◄── all is well for a minute ◄── trial ◄──────────────────────────┘
//!                               old image ◄── reject, and restart ◄───┘ ten minutes were not enough
//! ```
//!
//! Invariants: what is decided is written down before it is done, so that a power cut at any moment is found by the next
//! start's aftermath; while an image is on trial nothing else is done; the floor rises only when an image is confirmed.

mod install;
mod scrub;
mod trial;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::{Event, Kind};
use crate::digest::Sha256;
use crate::moment::since_boot;
use crate::notify::Notifier;
use crate::release::Manifest;
use crate::session;
use crate::site::Updates;
use crate::site::updates::Install;

use super::aftermath::{self, Aftermath, Slot};
use super::control::Answer;
use super::health::Steady;
use super::knowledge::Knowledge;
use super::needs::{Bays, Found, Offer, Repository, View};
use super::policy::{self, Decision, Facts};
use super::state::{Consent, GivenUp, Named, State, Store};
use super::status::{IDLE, OfferStatus, Progress, Status, slots};
use crate::folder::Folder;

/// How often a trial is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is looked whether something is due.
const TURN: Duration = Duration::from_secs(5);
/// How long after its start a box asks for the first time, and how long it waits after a failure at first.
const FIRST: Duration = Duration::from_secs(60);
/// How often both slots are held against what they should be.
const SCRUB_EVERY: u64 = 7 * 86_400;

/// What is asked of the worker.
#[derive(Debug)]
pub(super) enum Order {
    Check,
    Install { by: String, bundle: Option<OwnedFd> },
    Confirm { by: String, reply: SyncSender<Answer> },
    Rollback { by: String, reply: SyncSender<Answer> },
    Scrub,
}

/// What does not change while the service runs.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The build that runs.
    pub(super) build_id: String,
    /// What it is called.
    pub(super) version: String,
    /// The site's word; `None`: only a file updates the box.
    pub(super) updates: Option<Updates>,
    /// Directory of the status files.
    pub(super) status: PathBuf,
    /// How far a trial came, in init's words.
    pub(super) stage: PathBuf,
    /// Seconds since 1970 that have certainly passed: the image's own time.
    pub(super) built: u64,
    /// How long all has to be well.
    pub(super) steady: Duration,
    /// How long a trial may be unwell, since boot.
    pub(super) patience: Duration,
}

/// How a bundle becomes a repository.
pub(super) type OpenBundle = Box<dyn Fn(OwnedFd) -> anyhow::Result<Box<dyn Repository>> + Send>;

/// What the worker works with.
pub(super) struct Parts {
    pub(super) setup: Setup,
    pub(super) store: Store<Box<dyn Folder + Send>>,
    pub(super) bays: Box<dyn Bays>,
    pub(super) repository: Option<Box<dyn Repository>>,
    pub(super) bundle: OpenBundle,
    pub(super) notifier: Arc<Notifier>,
    pub(super) told: Arc<Mutex<Status>>,
    /// Where what happens to releases is told: the audit trail.
    pub(super) trail: Box<dyn FnMut(Event) + Send>,
}

/// The worker.
pub(super) struct Worker {
    parts: Parts,
    state: State,
    /// What the trail is told once the state is on the disk.
    untold: Vec<Event>,
    /// What was wrong with the files when they were read, and with the slots.
    problems: Vec<String>,
    view: View,
    knowledge: Knowledge,
    offer: Option<Manifest>,
    /// The bundle that the offer is from.
    from_file: Option<Box<dyn Repository>>,
    /// The SHA-256 of the image that runs, once it was read.
    uki: Option<Sha256>,
    /// The build to which a patch did not lead.
    patch_failed: Option<String>,
    /// Whether an armed slot waits for a restart.
    armed: bool,
    on_trial: bool,
    steady: Steady,
    /// When the repository is asked next, since boot.
    check_at: Duration,
    failures: u32,
    /// What keeps the updater from its work.
    trouble: Option<String>,
    restarting: bool,
}

impl Worker {
    /// Reads what is remembered and what is in the slots, and does what the last boot left to be done.
    ///
    /// # Errors
    /// When the slots cannot be read, or the state cannot be written.
    pub(super) fn start(mut parts: Parts) -> anyhow::Result<Self> {
        let (state, problems) = parts.store.load(uuid::Uuid::new_v4().as_fields().0);
        let view = parts.bays.look()?;
        let knowledge = Knowledge::new(parts.setup.built.max(state.floor.time));
        let mut worker = Self {
            parts,
            state,
            untold: Vec::new(),
            problems,
            view,
            knowledge,
            offer: None,
            from_file: None,
            uki: None,
            patch_failed: None,
            armed: false,
            on_trial: false,
            steady: Steady::default(),
            check_at: since_boot() + FIRST,
            failures: 0,
            trouble: None,
            restarting: false,
        };
        for problem in &worker.problems {
            log::error!("{problem}");
        }
        if let Some(file) = worker.state.known[worker.view.running as usize] {
            worker.parts.bays.know(file);
        }
        if worker.state.scrubbed == 0 {
            worker.state.scrubbed = worker.knowledge.certain();
        }
        worker.settle()?;
        worker.see_which_slot_runs();
        worker.save()?;
        worker.tell(IDLE);
        Ok(worker)
    }

    /// Works until nobody is left to ask for anything.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let pause = if self.on_trial { LOOK } else { TURN };
            let done = match orders.recv_timeout(pause) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => self.turn(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(error) = done {
                self.fail(&error);
            }
            self.tell(IDLE);
        }
    }

    fn fail(&mut self, error: &anyhow::Error) {
        let words = format!("{error:#}");
        if self.trouble.as_ref() != Some(&words) {
            log::error!("{words}");
        }
        self.trouble = Some(words);
    }

    /// What is due.
    pub(super) fn turn(&mut self) -> anyhow::Result<()> {
        if self.restarting {
            return Ok(());
        }
        if self.on_trial {
            return self.watch_trial();
        }
        if self.armed {
            return self.restart_when_allowed();
        }
        let asks = self
            .parts
            .setup
            .updates
            .as_ref()
            .is_some_and(|updates| updates.install != Install::Manual);
        if asks && since_boot() >= self.check_at {
            self.check()?;
        }
        if self.offer.is_some() {
            self.act()?;
        }
        let due = self.state.scrubbed.saturating_add(SCRUB_EVERY);
        if self.knowledge.certain() < due || self.restarting {
            return Ok(());
        }
        self.scrub()
    }

    fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Confirm { by, reply } => {
                let answer = self.confirm_by(&by);
                let _ = reply.try_send(answer);
                Ok(())
            }
            Order::Rollback { by, reply } => {
                let answer = self.roll_back(&by);
                let _ = reply.try_send(answer);
                Ok(())
            }
            _ if self.on_trial || self.restarting => Ok(()),
            Order::Check => self.check_for_a_person(),
            Order::Install { by, bundle } => self.install(&by, bundle),
            Order::Scrub => self.scrub(),
        }
    }

    /// What the last boot left to be done.
    fn settle(&mut self) -> anyhow::Result<()> {
        let running = self.view.running;
        let slot = |found: &Found| Slot {
            build_id: found.build_id.clone(),
            state: found.state,
        };
        let (this, that) = (slot(self.view.of(running)), slot(self.view.of(running.other())));
        let stage = self.stage();
        match aftermath::of(&self.state, &this, &that, stage.as_deref()) {
            Aftermath::Settled => Ok(()),
            Aftermath::OnTrial { known } => self.begin_trial(known),
            Aftermath::Confirmed => {
                self.confirmed("its trial had ended well before a power cut");
                Ok(())
            }
            Aftermath::Armed => {
                log::info!("an update is armed: the next start is its trial");
                self.armed = true;
                Ok(())
            }
            Aftermath::Again => self.begin_again(running.other(), stage.as_deref()),
            Aftermath::GiveUp(why) => {
                self.give_up(&why);
                Ok(())
            }
            Aftermath::Forget => {
                log::warn!("the update that was begun is not in the slot any more: it is forgotten");
                self.state.trial = None;
                Ok(())
            }
        }
    }

    /// How far the trial that is remembered came, in init's words.
    fn stage(&self) -> Option<String> {
        let trial = self.state.trial.as_ref()?;
        let text = std::fs::read_to_string(&self.parts.setup.stage).ok()?;
        let mut words = text.trim().splitn(3, ' ');
        let is_it = words.next() == Some(&trial.release.build_id)
            && words.next().and_then(|attempt| attempt.parse().ok()) == Some(trial.attempt);
        words.next().filter(|_| is_it).map(str::to_owned)
    }

    fn give_up(&mut self, why: &str) {
        let Some(trial) = self.state.trial.take() else {
            return;
        };
        log::error!("{} is given up: {why}", trial.release.words());
        self.remember(&trial.release, "given up", why);
        self.state.given_up = Some(GivenUp {
            release: trial.release,
            why: why.to_owned(),
            at: now_text(),
        });
        self.state.consent = None;
    }

    fn save(&mut self) -> anyhow::Result<()> {
        use anyhow::Context as _;
        self.parts
            .store
            .save(&self.state)
            .context("cannot write the updater's state")?;
        self.untold.drain(..).for_each(&mut self.parts.trail);
        Ok(())
    }

    /// Writes down what happened to a release, for the history and, once it is saved, the audit trail.
    fn remember(&mut self, release: &Named, what: &str, why: &str) {
        self.state.remember(&now_text(), release, what, why);
        let event = Event::new(Kind::UpdateChanged, why)
            .with("what", what)
            .with("version", &release.version)
            .with("build", &release.build_id);
        self.untold.push(event);
    }

    /// Looks at the slots anew.
    fn look(&mut self) -> anyhow::Result<()> {
        self.view = self.parts.bays.look()?;
        Ok(())
    }

    fn decide(&self) -> Option<Decision> {
        let manifest = self.offer.as_ref()?;
        let (all, free) = memory();
        let updates = self.parts.setup.updates.as_ref();
        Some(policy::decide(&Facts {
            manifest,
            build_id: &self.parts.setup.build_id,
            uki: self.uki,
            running: self.state.running.as_ref(),
            floor: &self.state.floor,
            percent: self.state.percent(),
            now: self.knowledge.best(),
            memory_mib: all,
            free_mib: free,
            session: self.session(),
            windows: updates.map_or(&[], |updates| &updates.windows),
            install: updates.map_or(Install::Ask, |updates| updates.install),
            consent: self.state.consent.as_ref(),
            given_up: self.state.given_up.as_ref(),
            patch_failed: self.patch_failed.as_ref() == Some(&manifest.build_id),
            rate: self.state.rate,
        }))
    }

    /// Whether a remote session goes on, as the session service says.
    fn session(&self) -> bool {
        let status: Option<session::Status> = crate::status::read_one(&self.parts.setup.status, "session");
        status.is_some_and(|status| status.goes_on())
    }

    /// Says what is known, and what is being done.
    fn tell(&mut self, doing: &str) {
        let decision = self.decide();
        let mut told = lock(&self.parts.told);
        let updates = self.parts.setup.updates.as_ref();
        *told = Status {
            running: self.state.running.clone(),
            slots: slots(&self.view),
            repository: updates.map(|updates| updates.repository.to_string()),
            checked_at: told.checked_at.take(),
            offer: self.offer.as_ref().map(|manifest| OfferStatus {
                release: Named::of(manifest),
                published: manifest.published,
                changes: manifest.changes.clone(),
            }),
            decision,
            doing: if self.restarting {
                "the box restarts".to_owned()
            } else {
                doing.to_owned()
            },
            progress: None,
            trial: told.trial.take().filter(|_| self.on_trial),
            floor: self.state.floor.number,
            given_up: self.state.given_up.clone(),
            history: self.state.history.clone(),
            problems: self.problems.iter().chain(&self.trouble).cloned().collect(),
        };
    }

    fn progress(&self, done: u64, total: u64, per_second: Option<f64>) {
        lock(&self.parts.told).progress = Some(Progress {
            done,
            total,
            per_second,
        });
    }

    /// Takes in what a repository said.
    fn learn(&mut self, offer: Offer) -> anyhow::Result<()> {
        let Offer { manifest, date } = offer;
        if let Some(date) = date {
            self.knowledge.hear(date);
        }
        self.knowledge.raise(manifest.published);
        let time = manifest.published.max(self.state.floor.time);
        let runs = manifest.build_id == self.parts.setup.build_id;
        let mut changed = time != self.state.floor.time;
        self.state.floor.time = time;
        if runs && self.state.running.as_ref() != Some(&Named::of(&manifest)) && !self.on_trial {
            self.state.running = Some(Named::of(&manifest));
            if manifest.number > self.state.floor.number {
                self.state.floor.number = manifest.number;
                self.state.floor.build_id.clone_from(&manifest.build_id);
            }
            changed = true;
        }
        if runs && !self.on_trial {
            changed |= self.know(&manifest);
        }
        if self
            .offer
            .as_ref()
            .is_none_or(|known| known.build_id != manifest.build_id)
            && !runs
        {
            log::info!("on offer: {}", Named::of(&manifest).words());
        }
        self.offer = Some(manifest);
        if changed { self.save() } else { Ok(()) }
    }

    /// What runs is of this release: then its slot can be mended. Said once, and only if it is so.
    fn know(&mut self, manifest: &Manifest) -> bool {
        let running = self.view.running;
        if self.state.known[running as usize].is_some() {
            return false;
        }
        let found = self.parts.bays.digest(running);
        let same = found.is_ok_and(|found| found == manifest.uki);
        if same {
            self.state.known[running as usize] = Some(manifest.uki);
            self.state.scrubbed = scrub::OVERDUE;
            self.parts.bays.know(manifest.uki);
        }
        same
    }

    fn consent(&mut self, build_id: &str, by: &str) -> anyhow::Result<()> {
        self.state.consent = Some(Consent {
            build_id: build_id.to_owned(),
            by: by.to_owned(),
        });
        self.save()
    }
}

/// The wall clock for people.
fn now_text() -> String {
    jiff::Timestamp::now().strftime("%FT%TZ").to_string()
}

/// All memory and what is free of it, in MiB (proc_meminfo(5)).
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let mib = |name| field(name).unwrap_or(0) / 1024;
    (mib("MemTotal"), mib("MemAvailable"))
}

fn lock(told: &Mutex<Status>) -> MutexGuard<'_, Status> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
