//! Commit-confirm: a new site is checked, applied, watched, and kept or undone. What is on the disk decides
//! ([`super::trial`]); this does.

use std::path::Path;

use netfw::plan::NetPlan;
use serde_json::json;

use super::control::{Answer, Request};
use super::daemon::Daemon;
use super::drops;
use super::in_force::InForce;
use super::state::{Opening, State};
use super::trial::{Record, TrialError};
use crate::audit::{Event, Kind, tell};
use crate::forward::Exchange;
use crate::status;

impl Daemon<'_> {
    /// Does what is asked.
    ///
    /// # Errors
    /// When the box cannot be brought back to the last good site.
    pub(super) fn answer(&mut self, request: Request) -> anyhow::Result<Answer> {
        match request {
            Request::Try { file, site } => self.try_site(&file, &site),
            Request::Confirm { by } => Ok(self.confirm(&format!("confirmed by {}", clean(&by)))),
            Request::Revert { by } => {
                let undone = self.undo(&format!("reverted by {}", clean(&by)))?;
                Ok(undone.map_or_else(refused, |()| Answer::Done(json!({}))))
            }
            Request::Diff {} => Ok(self.diff()),
            Request::Status {} => Ok(Answer::Done(json!(self.state()))),
        }
    }

    /// Refuses what cannot work before anything is changed; then puts the site on trial and applies it.
    fn try_site(&mut self, file: &str, text: &str) -> anyhow::Result<Answer> {
        let new = match InForce::read(text.as_bytes(), Path::new(file)) {
            Ok(new) => new,
            Err(mistakes) => return Ok(Answer::Refused(format!("{mistakes:#}"))),
        };
        if let Err(error) = self.preflight(&new) {
            return Ok(Answer::Refused(format!("{error:#}")));
        }
        let now = self.now()?;
        if let Err(error) = self.trials.begin(text.as_bytes(), &now) {
            return Ok(refused(error));
        }
        let seconds = self.place.trial.as_secs();
        log::info!("a new site is on trial: it is undone in {seconds} s unless it is confirmed");
        tell(Event::new(Kind::SiteTried, "a new site is on trial").with("file", clean(file)));
        if let Some(why) = self.enforce_or_undo()? {
            return Ok(Answer::Refused(format!(
                "{why}; the last good site is in force again"
            )));
        }
        Ok(Answer::Done(
            json!({ "seconds": seconds, "problems": self.last().problems }),
        ))
    }

    /// What netd does first: the site in force is enforced, the one on trial only while it has time left.
    ///
    /// # Errors
    /// When the last good site cannot be applied.
    pub(super) fn begin_again(&mut self) -> anyhow::Result<()> {
        let now = self.now()?;
        let running = self.trials.running().ok().flatten();
        if running.is_some_and(|running| running.left(&now).is_zero()) {
            let why = self.late(None);
            log::warn!("the new site is undone: {why}");
            tell(Event::new(Kind::SiteUndone, &why));
            // What the disk does not take is said, and the last good site is enforced below.
            if let Err(error) = self.trials.undo(&why, &now) {
                log::error!("{:#}", anyhow::Error::from(error));
            }
        }
        self.enforce_or_undo().map(drop)
    }

    /// Enforces the site in force; one on trial that cannot be applied is undone, and said why.
    fn enforce_or_undo(&mut self) -> anyhow::Result<Option<String>> {
        let Err(error) = self.enforce() else {
            return Ok(None);
        };
        if self.running.is_none() {
            return Err(error);
        }
        let why = format!("it cannot be applied: {error:#}");
        if let Err(error) = self.undo(&why)? {
            log::error!("{:#}", anyhow::Error::from(error));
        }
        Ok(Some(why))
    }

    /// Whether `new` can be applied here at all: the kernel would take its tables, and its uplink's card exists.
    fn preflight(&self, new: &InForce) -> anyhow::Result<()> {
        netfw::check(&new.network)?;
        let seen = netfw::observe(&self.place.machine, &NetPlan::new(&new.network))?;
        let nic = &new.network.uplink.nic;
        if seen.find(nic).is_none() {
            return Err(netfw::Error::Missing { nic: nic.clone() }.into());
        }
        Ok(())
    }

    fn confirm(&mut self, why: &str) -> Answer {
        let now = match self.now() {
            Ok(now) => now,
            Err(error) => return Answer::Refused(format!("{error:#}")),
        };
        if let Err(error) = self.trials.keep(why, &now) {
            return refused(error);
        }
        log::info!("the new site is kept: {why}");
        tell(Event::new(Kind::SiteKept, why));
        self.running = None;
        self.tell(self.last().clone());
        Answer::Done(json!({}))
    }

    /// Goes back to the last good site, in the kernel as well.
    fn undo(&mut self, why: &str) -> anyhow::Result<Result<(), TrialError>> {
        let now = self.now()?;
        match self.trials.undo(why, &now) {
            Err(error @ (TrialError::NotRunning | TrialError::Running | TrialError::Same)) => {
                return Ok(Err(error));
            }
            // Whatever the disk says now is enforced; what it could not take is undone at the next boot.
            Err(error) => log::error!("{:#}", anyhow::Error::from(error)),
            Ok(()) => {}
        }
        log::warn!("the new site is undone: {why}");
        tell(Event::new(Kind::SiteUndone, why));
        self.enforce()?;
        Ok(Ok(()))
    }

    /// Ends a trial that is confirmed by a TLS exchange, or whose time is over.
    ///
    /// # Errors
    /// When the box cannot be brought back to the last good site.
    pub(super) fn watch_trial(&mut self) -> anyhow::Result<()> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let exchange: Option<Exchange> = status::read_one(&self.place.status, "forward");
        if exchange
            .as_ref()
            .is_some_and(|exchange| confirms(exchange, running))
        {
            let kept = self.confirm("the box spoke TLS with its service centre");
            if let Answer::Refused(why) = kept {
                log::error!("the new site cannot be kept: {why}");
            }
        } else if running.left(&self.now()?).is_zero() {
            let why = self.late(exchange.as_ref());
            if let Err(error) = self.undo(&why)? {
                log::error!("{:#}", anyhow::Error::from(error));
            }
        }
        Ok(())
    }

    fn openings(&self, current: &InForce) -> Vec<Opening> {
        let found = netfw::session::list(&self.place.machine, &current.network);
        let found = found.unwrap_or_else(|error| {
            log::warn!("{:#}", anyhow::Error::from(error));
            Vec::new()
        });
        found.into_iter().map(Opening::from).collect()
    }

    /// Why nobody confirmed, as far as the box can tell.
    fn late(&self, exchange: Option<&Exchange>) -> String {
        let mut why = format!("not confirmed within {} s", self.place.trial.as_secs());
        let trouble = exchange.and_then(|exchange| exchange.trouble.clone());
        for found in self.last().problems.iter().cloned().chain(trouble) {
            why.push_str("; ");
            why.push_str(&found);
        }
        why
    }

    /// What an application would change now; nothing, when nobody disturbed anything.
    fn diff(&self) -> Answer {
        let current = match &self.current {
            Ok(current) => current,
            Err(trouble) => return Answer::Refused(trouble.clone()),
        };
        let plan = self.plan(current);
        match netfw::observe(&self.place.machine, &plan) {
            Ok(seen) => {
                let steps = netfw::diff(&plan, &seen);
                let words: Vec<_> = steps.iter().map(ToString::to_string).collect();
                Answer::Done(json!({ "words": words, "steps": steps }))
            }
            Err(error) => Answer::Refused(format!("{:#}", anyhow::Error::from(error))),
        }
    }

    /// Everything that is known of the network, with what has to be asked of the kernel.
    fn state(&self) -> State {
        let left = self.running.as_ref().zip(self.now().ok());
        let openings = self.current.as_ref().map(|current| self.openings(current));
        let drops = self
            .current
            .as_ref()
            .map(|current| drops::read(&self.place.machine, current));
        State {
            status: self.last().clone(),
            seconds_left: left.map(|(running, now)| running.left(&now).as_secs()),
            openings: openings.unwrap_or_default(),
            drops: drops.unwrap_or_default(),
        }
    }
}

/// Whether the forwarder has spoken with the service centre over the network of this very trial.
fn confirms(exchange: &Exchange, trial: &Record) -> bool {
    let same = exchange.site.as_ref() == Some(&trial.site);
    same && exchange.exchanged.is_some_and(|at| at >= trial.since)
}

fn refused(error: TrialError) -> Answer {
    Answer::Refused(format!("{:#}", anyhow::Error::from(error)))
}

/// A name that becomes a part of a log line.
fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exchange_of_this_site_since_the_trial_began_confirms_it() {
        let trial = Record {
            site: "aa".to_owned(),
            began: String::new(),
            boot: String::new(),
            since: 1000,
            deadline: 2000,
            ended: None,
        };
        let exchange = |site: Option<&str>, exchanged| Exchange {
            site: site.map(str::to_owned),
            exchanged,
            trouble: None,
        };
        assert!(confirms(&exchange(Some("aa"), Some(1000)), &trial));
        assert!(confirms(&exchange(Some("aa"), Some(1500)), &trial));
        assert!(!confirms(&exchange(Some("aa"), Some(999)), &trial));
        assert!(!confirms(&exchange(Some("bb"), Some(1500)), &trial));
        assert!(!confirms(&exchange(None, Some(1500)), &trial));
        assert!(!confirms(&exchange(Some("aa"), None), &trial));
    }
}
