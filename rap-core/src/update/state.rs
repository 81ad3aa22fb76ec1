//! What the updater remembers over a restart: `state.json`, and the floor once more beside it.
//!
//! ```text
//! state.json       everything below, replaced whole
//! floor            NUMBER BUILD-ID TIME: the floor once more, replaced before state.json
//! state.damaged    a state.json that could not be read, for whoever looks into it
//! trial            BUILD-ID ATTEMPT: there exactly while an update is armed or on trial; init reads it
//! ```
//!
//! Invariants: a file is replaced by temporary file, fsync, rename, fsync of the folder. The floor is the higher of both
//! files: damage to either does not lower it, and damage to both is told as a problem. The history is bounded.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::folder::Folder;
use crate::release::{File, Manifest};

use super::health::Before;

/// The format this program writes and reads.
const FORMAT: u32 = 1;
/// How many events are remembered.
const REMEMBERED: usize = 64;
const STATE: &str = "state.json";
const DAMAGED: &str = "state.damaged";
const FLOOR: &str = "floor";
/// The marker that init reads.
pub const TRIAL: &str = "trial";

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// `FORMAT`.
    pub format: u32,
    /// What this box's place among all boxes is drawn from; see [`State::percent`].
    pub seed: u32,
    /// Below this no release is installed.
    #[serde(default)]
    pub floor: Floor,
    /// What runs, where that is known: a box that was flashed learns it when it sees the release it has.
    #[serde(default)]
    pub running: Option<Named>,
    /// What is in slot A and slot B, where that was confirmed: by it they are mended.
    #[serde(default)]
    pub known: [Option<File>; 2],
    /// The update that is armed or on trial.
    #[serde(default)]
    pub trial: Option<Trial>,
    /// The release that was tried and does not work here.
    #[serde(default)]
    pub given_up: Option<GivenUp>,
    /// A person's word, for one build.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Bytes a second that the repository gave when something was last brought from it.
    #[serde(default)]
    pub rate: Option<f64>,
    /// When both slots were last held against what they should be, in seconds since 1970.
    #[serde(default)]
    pub scrubbed: u64,
    /// What happened, the latest last.
    #[serde(default)]
    pub history: Vec<Entry>,
}

/// The highest release that was confirmed here, and the latest time that is certain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Floor {
    /// [`Manifest::number`].
    pub number: u64,
    /// Its build; empty where there is none.
    pub build_id: String,
    /// The latest [`Manifest::published`] that was seen, in seconds since 1970.
    pub time: u64,
}

/// A release by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// [`Manifest::number`].
    pub number: u64,
    /// [`Manifest::version`].
    pub version: String,
    /// [`Manifest::build_id`].
    pub build_id: String,
}

/// An update that is armed or on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Which.
    pub release: Named,
    /// What is in the slot.
    pub uki: File,
    /// How often it was armed.
    pub attempt: u32,
    /// Whether a person asked for it: then it does not wait for a window.
    pub asked: bool,
    /// What worked before.
    pub before: Before,
    /// Why it was judged to be no good, before the box was restarted for that.
    #[serde(default)]
    pub verdict: Option<String>,
}

/// A release that was tried and does not work here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GivenUp {
    /// Which.
    pub release: Named,
    /// Why.
    pub why: String,
    /// When, RFC 3339 by the wall clock.
    pub at: String,
}

/// A person's word that a build is to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Consent {
    /// For which build.
    pub build_id: String,
    /// Who.
    pub by: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// When, RFC 3339 by the wall clock.
    pub at: String,
    /// Which release.
    pub release: Named,
    /// What: `armed`, `confirmed`, `interrupted`, `given up`, `rolled back`.
    pub what: String,
    /// In words.
    pub why: String,
}

impl State {
    /// The box's place among all boxes: 1 to 100.
    #[must_use]
    pub fn percent(&self) -> u8 {
        // Below 101, so it fits.
        u8::try_from(self.seed % 100 + 1).unwrap_or(100)
    }

    /// Writes down what happened; the oldest goes.
    pub fn remember(&mut self, at: &str, release: &Named, what: &str, why: &str) {
        self.history.push(Entry {
            at: at.to_owned(),
            release: release.clone(),
            what: what.to_owned(),
            why: why.to_owned(),
        });
        self.shorten();
    }

    fn shorten(&mut self) {
        let excess = self.history.len().saturating_sub(REMEMBERED);
        self.history.drain(..excess);
    }
}

impl Named {
    /// A release's names.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            number: manifest.number,
            version: manifest.version.clone(),
            build_id: manifest.build_id.clone(),
        }
    }

    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "{} (number {}, build {:.12})",
            self.version, self.number, self.build_id
        )
    }
}

impl Floor {
    /// The higher of two, each part by itself.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let time = self.time.max(other.time);
        let highest = if other.number > self.number { other } else { self };
        Self { time, ..highest }
    }

    fn line(&self) -> String {
        let build = if self.build_id.is_empty() {
            "-"
        } else {
            &self.build_id
        };
        format!("{} {build} {}\n", self.number, self.time)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let build = words.next()?;
        let time = words.next()?.parse().ok()?;
        let build_id = if build == "-" { "" } else { build };
        words.next().is_none().then(|| Self {
            number,
            build_id: build_id.to_owned(),
            time,
        })
    }
}

/// The folder of the updater's files.
#[derive(Debug, Clone)]
pub struct Store<F>(pub F);

impl<F: Folder> Store<F> {
    /// What is remembered, and what was wrong with the files; `seed` is for a box that has none yet.
    ///
    /// A state that cannot be read is set aside and a fresh one begun: the slots themselves say what runs.
    pub fn load(&mut self, seed: u32) -> (State, Vec<String>) {
        let mut problems = Vec::new();
        let fresh = State {
            format: FORMAT,
            seed,
            ..State::default()
        };
        let state = match self
            .0
            .read(STATE)
            .map(|content| content.map(|content| parse(&content)))
        {
            Ok(None) => None,
            Ok(Some(Ok(state))) => Some(state),
            Ok(Some(Err(why))) => {
                problems.push(format!(
                    "{STATE} was damaged and is set aside as {DAMAGED}: {why}"
                ));
                let _ = self.0.rename(STATE, DAMAGED);
                None
            }
            Err(error) => {
                problems.push(format!("{STATE} cannot be read: {error}"));
                None
            }
        };
        let damaged = !problems.is_empty();
        let floor = match self.0.read(FLOOR) {
            Ok(None) => None,
            Ok(Some(content)) => {
                let floor = std::str::from_utf8(&content).ok().and_then(Floor::parse);
                if floor.is_none() {
                    problems.push("the second copy of the floor was damaged; it is written anew".to_owned());
                }
                floor
            }
            Err(error) => {
                problems.push(format!("the second copy of the floor cannot be read: {error}"));
                None
            }
        };
        if damaged && floor.is_none() {
            problems.push(
                "no copy of the floor is left: only the repository's own metadata keep older releases out now"
                    .to_owned(),
            );
        }
        let mut state = state.unwrap_or(fresh);
        state.floor = std::mem::take(&mut state.floor).max(floor.unwrap_or_default());
        (state, problems)
    }

    /// Writes everything down, the floor first.
    ///
    /// # Errors
    /// When a file cannot be replaced; what was there is there still.
    pub fn save(&mut self, state: &State) -> io::Result<()> {
        let line = state.floor.line();
        if self.0.read(FLOOR)?.as_deref() != Some(line.as_bytes()) {
            self.0.replace(FLOOR, line.as_bytes())?;
        }
        self.0.replace(STATE, &serde_json::to_vec_pretty(state)?)?;
        match &state.trial {
            Some(trial) => self.0.replace(TRIAL, marker(trial).as_bytes()),
            None if self.0.read(TRIAL)?.is_none() => Ok(()),
            None => {
                self.0.remove(TRIAL)?;
                self.0.sync()
            }
        }
    }
}

fn parse(content: &[u8]) -> Result<State, String> {
    let mut state: State = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    state.shorten();
    if state.format != FORMAT {
        return Err(format!(
            "it has format {}, this program reads {FORMAT}",
            state.format
        ));
    }
    Ok(state)
}

/// For the fuzzer: a state that is read is bounded, and is written as it was read.
#[doc(hidden)]
pub fn fuzz_state(content: &[u8]) {
    let Ok(state) = parse(content) else { return };
    assert!(state.history.len() <= REMEMBERED, "the history is bounded");
    assert!((1..=100).contains(&state.percent()), "a place among all boxes");
    let written = serde_json::to_vec(&state).unwrap_or_default();
    assert!(parse(&written).as_ref() == Ok(&state), "written as it was read");
}

/// For the fuzzer: a floor that is read is written as it was read, and no other lowers it.
#[doc(hidden)]
pub fn fuzz_floor(content: &[u8]) {
    let text = std::str::from_utf8(content).unwrap_or_default();
    let Some(floor) = Floor::parse(text) else { return };
    assert!(
        Floor::parse(&floor.line()).as_ref() == Some(&floor),
        "written as it was read"
    );
    let higher = floor.clone().max(Floor::default());
    assert!(
        higher.number == floor.number && higher.time == floor.time,
        "not lowered"
    );
}

/// What the file [`TRIAL`] holds: the build and which attempt it is.
#[must_use]
pub fn marker(trial: &Trial) -> String {
    format!("{} {}\n", trial.release.build_id, trial.attempt)
}

/// The marker's content below `folder`, if it is for this build.
#[must_use]
pub fn marker_for(folder: &Path, build_id: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(TRIAL)).ok()?;
    let line = text.trim();
    (line.split_whitespace().next() == Some(build_id)).then(|| line.to_owned())
}

#[cfg(test)]
pub(super) mod tests;
