//! The flow on simulated slots, a simulated repository and a loader's model, with the power cut before any operation.

mod asked;
mod rot;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::boot::environment::State as Env;
use crate::boot::slot::Label;
use crate::folder::{Directory, Folder};
use crate::release::{FORMAT, File};
use crate::update::needs::{Done, Image, Rot};
use crate::update::policy::Way;
use crate::update::slots::mend::Bring;
use crate::update::state::{TRIAL, marker_for};

const OLD: &str = "aaaa";
const NEW: &str = "bbbb";
const CONTENT: &[u8] = b"the new image";

#[derive(Debug, Clone, Default)]
struct Bay {
    build: Option<String>,
    content: Vec<u8>,
    armed: bool,
    state: Option<Env>,
    revision: u32,
}

#[derive(Debug, Default)]
struct World {
    slots: [Bay; 2],
    /// Operations until the power fails.
    power: Option<usize>,
    operations: usize,
    /// What the audit trail was told.
    told: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

fn spend(world: &Shared) -> io::Result<()> {
    let mut world = world.lock().unwrap();
    world.operations += 1;
    match &mut world.power {
        Some(0) => Err(io::Error::other("the power is cut")),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

fn at(label: Label) -> usize {
    usize::from(label == Label::B)
}

/// The slots, and the build that runs.
struct Sim(Shared, String);

impl Sim {
    fn running(&mut self) -> Label {
        self.look().unwrap().running
    }

    fn change(&self, label: Label, change: impl FnOnce(&mut Bay, u32)) -> anyhow::Result<()> {
        spend(&self.0)?;
        let mut world = self.0.lock().unwrap();
        let above = world.slots[at(label.other())].revision + 1;
        change(&mut world.slots[at(label)], above);
        Ok(())
    }
}

impl Bays for Sim {
    fn look(&mut self) -> anyhow::Result<View> {
        let world = self.0.lock().unwrap();
        let found = |bay: &Bay| Found {
            build_id: bay.build.clone().filter(|_| bay.armed),
            version: None,
            state: bay.state.filter(|_| bay.armed),
            revision: bay.revision,
        };
        let slots = [found(&world.slots[0]), found(&world.slots[1])];
        let is_it = |label: &Label| slots[at(*label)].build_id.as_ref() == Some(&self.1);
        let running = Label::ALL.into_iter().find(is_it).unwrap();
        Ok(View { running, slots })
    }

    fn image(&mut self, label: Label) -> anyhow::Result<Box<dyn Image>> {
        let content = self.0.lock().unwrap().slots[at(label)].content.clone();
        Ok(Box::new(io::Cursor::new(content)))
    }

    fn digest(&mut self, label: Label) -> anyhow::Result<File> {
        Ok(file(&self.0.lock().unwrap().slots[at(label)].content))
    }

    fn write(&mut self, label: Label, image: &mut dyn io::Read, wanted: &File) -> anyhow::Result<()> {
        self.change(label, |bay, _| *bay = Bay::default())?;
        let mut content = Vec::new();
        image.read_to_end(&mut content)?;
        anyhow::ensure!(file(&content) == *wanted, "another image");
        self.change(label, |bay, above| {
            bay.build = Some(NEW.to_owned());
            bay.content = content;
            (bay.state, bay.revision) = (Some(Env::Installed), above);
        })
    }

    fn arm(&mut self) -> anyhow::Result<()> {
        let label = self.running().other();
        self.change(label, |bay, _| bay.armed = true)
    }

    fn arm_again(&mut self, label: Label, wanted: &File) -> anyhow::Result<()> {
        anyhow::ensure!(self.digest(label)? == *wanted, "another image");
        self.change(label, |bay, above| {
            (bay.state, bay.revision) = (Some(Env::Installed), above)
        })
    }

    fn confirm(&mut self) -> anyhow::Result<()> {
        let label = self.running();
        self.change(label, |bay, _| bay.state = Some(Env::Ok))
    }

    fn reject(&mut self) -> anyhow::Result<()> {
        let label = self.running();
        self.change(label, |bay, _| (bay.state, bay.revision) = (Some(Env::Failed), 0))
    }

    fn know(&mut self, _: File) {}

    /// Content that differs is as lost as if no copy had it.
    fn scrub(&mut self, known: &[Option<File>; 2], elsewhere: &mut dyn Bring) -> anyhow::Result<Vec<Rot>> {
        let mut found = Vec::new();
        for (label, wanted) in Label::ALL.into_iter().zip(known) {
            let content = self.0.lock().unwrap().slots[at(label)].content.clone();
            let rotten = |wanted: &&File| !content.is_empty() && file(&content) != **wanted;
            let Some(wanted) = wanted.as_ref().filter(rotten) else {
                continue;
            };
            let whole = elsewhere.bring(wanted, 0);
            let left = whole.is_none();
            if let Some(whole) = whole {
                self.change(label, |bay, _| bay.content = whole)?;
            }
            let words = format!("slot {label} had rotted");
            found.push(Rot { words, left });
        }
        Ok(found)
    }
}

struct Shop(Shared);

impl Repository for Shop {
    fn check(&mut self, _: u64) -> anyhow::Result<Offer> {
        spend(&self.0)?;
        Ok(Offer {
            manifest: manifest(),
            date: Some(1_800_000_000),
        })
    }

    fn bring(&mut self, _: &Manifest, _: Way, report: &mut dyn FnMut(Done) -> bool) -> anyhow::Result<()> {
        spend(&self.0)?;
        let done = Done { bytes: 5, brought: 5 };
        anyhow::ensure!(report(done), "stopped");
        Ok(())
    }

    fn image<'a>(
        &'a mut self,
        _: &'a Manifest,
        _: Way,
        _: Box<dyn Image>,
    ) -> anyhow::Result<Box<dyn io::Read + 'a>> {
        Ok(Box::new(CONTENT))
    }

    fn block(&mut self, _: &Manifest, block: u64) -> anyhow::Result<Vec<u8>> {
        anyhow::ensure!(block == 0, "no such MiB");
        Ok(CONTENT.to_vec())
    }

    fn sweep(&mut self) {}
}

/// A folder whose changes cost power.
#[derive(Debug)]
struct Powered(Directory, Shared);

impl Folder for Powered {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name)
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        spend(&self.1)?;
        self.0.write(name, content)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.1)?;
        self.0.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        spend(&self.1)?;
        self.0.remove(name)
    }

    fn sync(&mut self) -> io::Result<()> {
        spend(&self.1)?;
        self.0.sync()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }
}

fn file(content: &[u8]) -> File {
    File {
        bytes: content.len() as u64,
        sha256: Sha256::of(content),
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        profile: "qemu".to_owned(),
        number: 2,
        version: "1.2.0".to_owned(),
        build_id: NEW.to_owned(),
        published: 1_700_000_000,
        uki: file(CONTENT),
        memory_mib: 1,
        minimum: 0,
        changes: Vec::new(),
        waves: Vec::new(),
        full: vec![file(b"piece")],
        patches: Vec::new(),
    }
}

/// A box that is started again and again until nothing is left to be done.
struct Story {
    world: Shared,
    place: tempfile::TempDir,
    /// Whether the new image works.
    good: bool,
    boots: usize,
}

impl Story {
    fn new(good: bool) -> Self {
        let place = tempfile::tempdir().unwrap();
        let old = Bay {
            build: Some(OLD.to_owned()),
            content: b"the old image".to_vec(),
            armed: true,
            state: Some(Env::Ok),
            revision: 2,
        };
        let world = World {
            slots: [old, Bay::default()],
            ..World::default()
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            place,
            good,
            boots: 0,
        }
    }

    /// As the loader does: the highest revision; a trial that was begun before has failed.
    fn boot(&mut self) -> String {
        self.boots += 1;
        assert!(self.boots < 40, "the box is started again and again");
        let mut world = self.world.lock().unwrap();
        loop {
            let bootable = world
                .slots
                .iter_mut()
                .filter(|bay| bay.armed && bay.state.is_some());
            let bay = bootable
                .max_by_key(|bay| bay.revision)
                .expect("nothing is left that boots");
            match bay.state {
                Some(Env::Testing) => (bay.state, bay.revision) = (Some(Env::Failed), 0),
                Some(Env::Installed) => {
                    bay.state = Some(Env::Testing);
                    return bay.build.clone().unwrap();
                }
                _ => return bay.build.clone().unwrap(),
            }
        }
    }

    fn parts(&self, build_id: &str) -> Parts {
        let status = self.place.path().join("status");
        let works = build_id == OLD || self.good;
        let init = serde_json::json!({
            "ready-after-seconds": works.then_some(3.0), "services": [], "watchdog": null, "data": true, "problems": [],
        });
        crate::status::write(&status, "init", &init).unwrap();
        let site = crate::site::Site::parse(crate::site::EXAMPLE, Path::new("site.toml")).unwrap();
        let updates = site.updates.map(|updates| Updates {
            windows: Vec::new(),
            ..updates
        });
        Parts {
            setup: Setup {
                build_id: build_id.to_owned(),
                version: "1".to_owned(),
                updates,
                status,
                stage: self.place.path().join("stage"),
                built: 1_600_000_000,
                steady: Duration::ZERO,
                patience: Duration::ZERO,
            },
            store: Store(Box::new(Powered(
                Directory(self.place.path().join("update")),
                Arc::clone(&self.world),
            ))),
            bays: Box::new(Sim(Arc::clone(&self.world), build_id.to_owned())),
            repository: Some(Box::new(Shop(Arc::clone(&self.world)))),
            bundle: Box::new(|_| anyhow::bail!("no bundle")),
            notifier: Arc::new(Notifier::from_environment()),
            told: Arc::default(),
            trail: {
                let world = Arc::clone(&self.world);
                Box::new(move |event| world.lock().unwrap().told.push(format!("{event:?}")))
            },
        }
    }

    /// What of a release the audit trail was told, in order.
    fn trail(&self) -> Vec<String> {
        let world = self.world.lock().unwrap();
        let what = |event: &String| Some(event.split_once("(\"what\", \"")?.1.split_once('"')?.0.to_owned());
        world.told.iter().filter_map(what).collect()
    }

    /// One boot, until the box restarts, the power is cut, or nothing is left to be done (then true).
    fn live(&mut self) -> anyhow::Result<bool> {
        let build_id = self.boot();
        let mut worker = Worker::start(self.parts(&build_id))?;
        for _ in 0..8 {
            worker.check_at = Duration::ZERO;
            worker.turn()?;
            if worker.restarting {
                return Ok(false);
            }
        }
        Ok(!worker.on_trial && !worker.armed)
    }

    /// Until nothing is left to be done; the power is cut once, after so many operations.
    fn run(&mut self, power: Option<usize>) -> State {
        self.world.lock().unwrap().power = power;
        while !self.live().unwrap_or(false) {
            let mut world = self.world.lock().unwrap();
            if world.power == Some(0) {
                world.power = None;
            }
        }
        let mut store = Store(Directory(self.place.path().join("update")));
        let (state, problems) = store.load(0);
        assert_eq!(problems, Vec::<String>::new());
        state
    }

    fn running(&mut self) -> String {
        self.boot()
    }
}

#[test]
fn a_good_release_is_kept() {
    let mut story = Story::new(true);
    let state = story.run(None);
    assert_eq!((story.boots, story.running().as_str()), (2, NEW));
    assert_eq!((state.floor.number, state.trial, state.given_up), (2, None, None));
    let what: Vec<_> = state.history.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(what, ["armed", "confirmed"]);
    assert_eq!(story.trail(), what);
    assert_eq!(state.running.unwrap().version, "1.2.0");
    assert!(!story.place.path().join("update").join(TRIAL).exists());
}

#[test]
fn a_bad_one_goes_says_why_and_is_not_tried_again() {
    let mut story = Story::new(false);
    let state = story.run(None);
    assert_eq!((story.boots, story.running().as_str()), (3, OLD));
    assert_eq!(state.floor.number, 0);
    let given_up = state.given_up.unwrap();
    assert_eq!(
        (given_up.release.build_id.as_str(), given_up.why.as_str()),
        (NEW, "not all services have become ready")
    );
    assert_eq!(story.trail(), ["armed", "given up"]);
}

/// Wherever the power is cut, it ends as it would have: the new image kept, the floor raised.
#[test]
fn no_cut_loses_a_good_release_or_the_way_back() {
    let mut whole = Story::new(true);
    whole.run(None);
    let operations = whole.world.lock().unwrap().operations;
    assert!(operations > 20, "{operations}");
    for power in 0..operations {
        let mut story = Story::new(true);
        let state = story.run(Some(power));
        assert_eq!(story.running(), NEW, "cut after {power} operations");
        assert_eq!(
            (state.floor.number, state.trial),
            (2, None),
            "cut after {power} operations"
        );
    }
}

#[test]
fn no_cut_keeps_a_bad_release() {
    let mut whole = Story::new(false);
    whole.run(None);
    let operations = whole.world.lock().unwrap().operations;
    for power in 0..operations {
        let mut story = Story::new(false);
        let state = story.run(Some(power));
        assert_eq!(story.running(), OLD, "cut after {power} operations");
        assert!(
            state.given_up.is_some() && state.floor.number == 0,
            "cut after {power} operations"
        );
    }
}

/// A trial that is cut short each time: armed again three times, then given up.
#[test]
fn a_trial_without_a_verdict_is_begun_anew_three_times() {
    let mut story = Story::new(true);
    assert!(!story.live().unwrap());
    for attempt in 1..=4 {
        let folder = story.place.path().join("update");
        assert_eq!(marker_for(&folder, NEW), Some(format!("{NEW} {attempt}")));
        assert_eq!(story.boot(), NEW, "attempt {attempt}");
        std::fs::write(
            story.place.path().join("stage"),
            format!("{NEW} {attempt} the start of the services\n"),
        )
        .unwrap();
        // The power is cut; the old image comes back.
        let settled = story.live().unwrap();
        assert_eq!(settled, attempt == 4, "attempt {attempt}");
    }
    let state = story.run(None);
    let why = state.given_up.unwrap().why;
    assert_eq!(
        why,
        "4 trials ended without a verdict; in the last one it came to: the start of the services"
    );
    assert_eq!(story.running(), OLD);
}
