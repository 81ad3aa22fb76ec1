//! A new site on trial: applied, and undone unless it is confirmed in time (commit-confirm). This decides; it touches
//! nothing but through [`Folder`].
//!
//! Three files in the configuration's folder, each replaced as a whole:
//!
//! | file | is |
//! |---|---|
//! | `site.toml` | the last good site, always |
//! | `site.trial.toml` | the site on trial; there is a trial exactly while this file is there |
//! | `trials.json` | what was tried, when, how it ended and why: for people, and for the deadline |
//!
//! Invariants, held by a property test that cuts the power between any two operations and within each:
//! * Confirming is one rename, so there is a whole `site.toml` at every moment, and it is the last good site or the one
//!   that is being confirmed.
//! * A trial belongs to one boot of the kernel. Found in the same boot it goes on (netd was restarted); found in another
//!   one it is undone (the power was cut, the box hung or was restarted).
//! * Its deadline is a time since boot that goes on in suspend (`CLOCK_BOOTTIME`): no wall clock moves it.
//! * Nothing is held in memory but a trial that the disk would not let go of: what is decided follows from what is on the
//!   disk, so a crash is no special case.

mod facts;

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use crate::folder::{Directory, Folder};
use crate::moment::Moment;
use crate::site::fingerprint;

use facts::{Facts, Step};

const SITE: &str = "site.toml";
const TRIAL: &str = "site.trial.toml";
const RECORDS: &str = "trials.json";

/// One trial, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record {
    /// [`fingerprint`] of the site that was tried.
    pub(crate) site: String,
    /// When it began, RFC 3339 by the box's clock; for people.
    pub(crate) began: String,
    /// The kernel's boot in which it began.
    pub(crate) boot: String,
    /// When that was, in milliseconds since the boot.
    pub(crate) since: u64,
    /// When it is undone, in milliseconds since the boot.
    pub(crate) deadline: u64,
    /// How it ended; `None` while it goes on.
    pub(crate) ended: Option<Ending>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Ending {
    /// What became of the site.
    pub(crate) outcome: Outcome,
    /// Why, in words.
    pub(crate) why: String,
    /// When, RFC 3339 by the box's clock; for people.
    pub(crate) at: String,
}

/// What became of a site that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It is the last good site now.
    Kept,
    /// The last good site is in force again.
    Undone,
}

/// Why something cannot be done with a trial.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrialError {
    /// One trial at a time.
    #[error("a trial is running; confirm or revert it first (rapctl net confirm, rapctl net revert)")]
    Running,
    /// Nothing to confirm or revert.
    #[error("no trial is running")]
    NotRunning,
    /// It is the last good site.
    #[error("this site is the one in force already; nothing was changed")]
    Same,
    /// The disk.
    #[error("cannot {operation} on the data partition")]
    Disk {
        /// What was to be done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The trials in a folder.
#[derive(Debug)]
pub(super) struct Trials<F> {
    folder: F,
    /// How long a trial may go unconfirmed.
    limit: Duration,
    /// The [`fingerprint`] of a site that was undone and whose file could not be removed.
    abandoned: Option<String>,
}

impl<F: Folder> Trials<F> {
    pub(super) fn new(folder: F, limit: Duration) -> Self {
        Self {
            folder,
            limit,
            abandoned: None,
        }
    }

    /// Finishes what a crash or a power cut left; to be called first. Says the trial that it ended, if any.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub(super) fn recover(&mut self, now: &Moment) -> Result<Option<Ending>, TrialError> {
        let facts = self.facts()?;
        let (steps, ending) = facts.recover(now);
        self.perform(steps)?;
        Ok(ending)
    }

    /// The text of the site in force: the one on trial, else the last good one; `None` when there is none.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn in_force(&self) -> Result<Option<Vec<u8>>, TrialError> {
        let name = if self.running()?.is_some() { TRIAL } else { SITE };
        self.read(name)
    }

    /// The trial that goes on.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn running(&self) -> Result<Option<Record>, TrialError> {
        Ok(self.facts()?.running().cloned())
    }

    /// What was tried, the latest last.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn records(&self) -> Result<Vec<Record>, TrialError> {
        Ok(self.facts()?.records)
    }

    /// Puts `site` on trial from now on.
    ///
    /// # Errors
    /// [`TrialError::Running`], [`TrialError::Same`], or the disk's; then nothing has changed.
    pub(super) fn begin(&mut self, site: &[u8], now: &Moment) -> Result<(), TrialError> {
        let steps = self.facts()?.begin(site, now, self.limit)?;
        let begun = self.perform(steps);
        if begun.is_err() {
            // What the disk refuses here as well is finished at the next start.
            let _ = self.perform(vec![Step::Discard]);
            let _ = self.recover(now);
        }
        begun
    }

    /// Makes the site on trial the last good one.
    ///
    /// # Errors
    /// [`TrialError::NotRunning`]; the disk's, and then the trial may still go on.
    pub(super) fn keep(&mut self, why: &str, now: &Moment) -> Result<(), TrialError> {
        let facts = self.facts()?;
        let records = facts.closed(Outcome::Kept, why, now)?;
        self.perform(vec![Step::Keep])?;
        // The rename has decided; a record that is missing after it is written by `recover`.
        if let Err(error) = self.perform(vec![Step::Remember(records)]) {
            log::warn!("{:#}", anyhow::Error::from(error));
        }
        Ok(())
    }

    /// Goes back to the last good site.
    ///
    /// # Errors
    /// [`TrialError::NotRunning`]; the disk's: the trial is over all the same, and the next boot tidies up.
    pub(super) fn undo(&mut self, why: &str, now: &Moment) -> Result<(), TrialError> {
        let facts = self.facts()?;
        let records = facts.closed(Outcome::Undone, why, now)?;
        // What cannot be written down is undone all the same: a full disk must not keep a bad site in force.
        let remembered = self.perform(vec![Step::Remember(records)]);
        let discarded = self.perform(vec![Step::Discard]);
        if discarded.is_err() {
            self.abandoned = facts.trial;
        }
        discarded.and(remembered)
    }

    fn facts(&self) -> Result<Facts, TrialError> {
        let records = self.read(RECORDS)?.unwrap_or_default();
        Ok(Facts {
            good: self.read(SITE)?.map(|text| fingerprint(&text)),
            trial: self
                .read(TRIAL)?
                .map(|text| fingerprint(&text))
                .filter(|trial| Some(trial) != self.abandoned.as_ref()),
            // Damaged words are no reason for a box without a network.
            records: serde_json::from_slice(&records).unwrap_or_default(),
        })
    }

    fn read(&self, name: &'static str) -> Result<Option<Vec<u8>>, TrialError> {
        let operation = "read the site";
        self.folder
            .read(name)
            .map_err(|source| TrialError::Disk { operation, source })
    }

    fn perform(&mut self, steps: Vec<Step>) -> Result<(), TrialError> {
        for step in steps {
            let operation = step.words();
            self.perform_one(step)
                .map_err(|source| TrialError::Disk { operation, source })?;
        }
        Ok(())
    }

    fn perform_one(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Remember(records) => self
                .folder
                .replace(RECORDS, &serde_json::to_vec_pretty(&records)?),
            Step::Put(site) => self.folder.replace(TRIAL, &site),
            Step::Keep => {
                self.folder.rename(TRIAL, SITE)?;
                self.folder.sync()
            }
            Step::Discard => {
                self.folder.remove(TRIAL)?;
                self.folder.sync()
            }
        }
    }
}

impl Record {
    /// How long it may go on unconfirmed.
    pub(crate) fn left(&self, now: &Moment) -> Duration {
        Duration::from_millis(self.deadline).saturating_sub(now.since_boot)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Undone => "undone",
        })
    }
}

#[cfg(test)]
mod tests;
