//! What the disk says of trials, and what follows from it: pure.

use std::time::Duration;

use super::{Ending, Moment, Outcome, Record, TrialError};
use crate::site::fingerprint;

/// How many trials are remembered.
pub(super) const REMEMBERED: usize = 8;

/// What is to be done on the disk, each step whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write down what was tried.
    Remember(Vec<Record>),
    /// Put the site on trial.
    Put(Vec<u8>),
    /// The trial is the last good site from now on.
    Keep,
    /// The trial is gone.
    Discard,
}

/// What the disk says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// [`fingerprint`] of `site.toml`.
    pub(super) good: Option<String>,
    /// [`fingerprint`] of `site.trial.toml`.
    pub(super) trial: Option<String>,
    pub(super) records: Vec<Record>,
}

impl Step {
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Remember(_) => "write down the trial",
            Self::Put(_) => "store the new site",
            Self::Keep => "keep the new site",
            Self::Discard => "remove the site that was tried",
        }
    }
}

impl Facts {
    /// The open record of the site on trial.
    pub(super) fn running(&self) -> Option<&Record> {
        let last = self.records.last().filter(|record| record.ended.is_none())?;
        (Some(&last.site) == self.trial.as_ref()).then_some(last)
    }

    pub(super) fn begin(&self, site: &[u8], now: &Moment, limit: Duration) -> Result<Vec<Step>, TrialError> {
        if self.running().is_some() {
            return Err(TrialError::Running);
        }
        let tried = fingerprint(site);
        if self.good.as_ref() == Some(&tried) {
            return Err(TrialError::Same);
        }
        let mut records = self.records.clone();
        records.push(Record {
            site: tried,
            began: now.wall.clone(),
            boot: now.boot.clone(),
            since: milliseconds(now.since_boot),
            deadline: milliseconds(now.since_boot + limit),
            ended: None,
        });
        let surplus = records.len().saturating_sub(REMEMBERED);
        records.drain(..surplus);
        // The record first: a site on trial without its deadline would be undone.
        Ok(vec![Step::Remember(records), Step::Put(site.to_vec())])
    }

    /// The records with the running trial's ending.
    pub(super) fn closed(
        &self,
        outcome: Outcome,
        why: &str,
        now: &Moment,
    ) -> Result<Vec<Record>, TrialError> {
        if self.running().is_none() {
            return Err(TrialError::NotRunning);
        }
        Ok(self.with_ending(Ending::new(outcome, why, now)))
    }

    fn with_ending(&self, ending: Ending) -> Vec<Record> {
        let mut records = self.records.clone();
        if let Some(last) = records.last_mut() {
            last.ended = Some(ending);
        }
        records
    }

    /// What brings a disk found at start into order: afterwards a trial is running or there is none.
    pub(super) fn recover(&self, now: &Moment) -> (Vec<Step>, Option<Ending>) {
        if let Some(running) = self.running() {
            if running.boot == now.boot {
                return (Vec::new(), None);
            }
            let why = "the box was restarted, or its power cut, before the new site was confirmed";
            return self.undone(why, now);
        }
        let open = self.records.last().filter(|record| record.ended.is_none());
        match (open, &self.trial) {
            (None, None) => (Vec::new(), None),
            // The last step of undoing was left.
            (None, Some(_)) => (vec![Step::Discard], None),
            // The rename was done, the record was not.
            (Some(open), None) if Some(&open.site) == self.good.as_ref() => {
                let why = "confirmed just before the box stopped";
                let ending = Ending::new(Outcome::Kept, why, now);
                (
                    vec![Step::Remember(self.with_ending(ending.clone()))],
                    Some(ending),
                )
            }
            (Some(_), _) => self.undone("the box stopped before the trial had begun", now),
        }
    }

    fn undone(&self, why: &str, now: &Moment) -> (Vec<Step>, Option<Ending>) {
        let ending = Ending::new(Outcome::Undone, why, now);
        let mut steps = vec![Step::Remember(self.with_ending(ending.clone()))];
        if self.trial.is_some() {
            steps.push(Step::Discard);
        }
        (steps, Some(ending))
    }
}

impl Ending {
    fn new(outcome: Outcome, why: &str, now: &Moment) -> Self {
        Self {
            outcome,
            why: why.to_owned(),
            at: now.wall.clone(),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
