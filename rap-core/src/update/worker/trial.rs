//! A trial and its end: confirmed, rejected, begun again.

use anyhow::Context as _;

use super::super::aftermath::reached;
use super::super::control::Answer;
use super::super::health::{Before, Seen};
use super::super::state::{Floor, GivenUp, Named, Trial};
use super::super::status::TrialStatus;
use super::{Worker, lock, now_text};
use crate::boot::slot::Label;
use crate::moment::since_boot;

/// How often a box on trial asks the repository, when nobody else was reached.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

impl Worker {
    /// This image is on trial.
    pub(super) fn begin_trial(&mut self, known: bool) -> anyhow::Result<()> {
        self.on_trial = true;
        if !known {
            // The record was lost: what worked before is not known, and no floor is raised.
            self.state.trial = Some(Trial {
                release: Named {
                    number: 0,
                    version: self.parts.setup.version.clone(),
                    build_id: self.parts.setup.build_id.clone(),
                },
                uki: self.parts.bays.digest(self.view.running)?,
                attempt: 1,
                asked: false,
                before: Before::default(),
                verdict: None,
            });
        }
        if let Some(trial) = &self.state.trial {
            log::info!("on trial: {}", trial.release.words());
        }
        Ok(())
    }

    /// Looks whether the box does what it did before.
    pub(super) fn watch_trial(&mut self) -> anyhow::Result<()> {
        let Some(trial) = &self.state.trial else {
            return Ok(());
        };
        let before = trial.before.clone();
        let seen = Seen::read(&self.parts.setup.status, self.knowledge.heard());
        let lacks = seen.lacks(&before);
        let now = since_boot();
        let well = self.steady.look(now, lacks.is_empty(), seen.restarts());
        lock(&self.parts.told).trial = Some(TrialStatus {
            release: trial.release.clone(),
            attempt: trial.attempt,
            lacks: lacks.clone(),
            well_seconds: well.as_secs(),
        });
        // Somebody who matters was reached before, and nobody yet: the repository may be there. The next look judges.
        if before.reached && !seen.works().reached && now >= self.check_at && self.parts.repository.is_some()
        {
            self.check_at = now + ASK_EVERY;
            return self.ask_repository();
        }
        if lacks.is_empty() && well >= self.parts.setup.steady {
            return match self.differs()? {
                None => self.confirm("all was well for a while"),
                Some(why) => self.reject(&why),
            };
        }
        if now >= self.parts.setup.patience && !lacks.is_empty() {
            return self.reject(&lacks.join("; "));
        }
        Ok(())
    }

    /// Why the image on trial is not to be kept though all is well: firmware that asks for no signatures starts anything.
    fn differs(&mut self) -> anyhow::Result<Option<String>> {
        let slot = self.view.running;
        let found = self.parts.bays.digest(slot)?;
        let same = self.state.trial.as_ref().is_none_or(|trial| trial.uki == found);
        Ok((!same).then(|| format!("the image in slot {slot} is not the one that was armed")))
    }

    fn ask_repository(&mut self) -> anyhow::Result<()> {
        let certain = self.knowledge.certain();
        match self
            .parts
            .repository
            .as_mut()
            .map(|repository| repository.check(certain))
        {
            Some(Ok(offer)) => self.learn(offer),
            Some(Err(error)) => {
                log::info!("the repository is not reached either: {error:#}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The image that runs stays.
    fn confirm(&mut self, why: &str) -> anyhow::Result<()> {
        self.parts.bays.confirm()?;
        self.confirmed(why);
        self.save()?;
        self.look()
    }

    /// The image that runs was confirmed in its slot: that is written down.
    pub(super) fn confirmed(&mut self, why: &str) {
        self.on_trial = false;
        let Some(trial) = self.state.trial.take() else {
            return;
        };
        log::info!("{} is confirmed: {why}", trial.release.words());
        self.remember(&trial.release, "confirmed", why);
        let time = self.state.floor.time;
        let floor = Floor {
            number: trial.release.number,
            build_id: trial.release.build_id.clone(),
            time,
        };
        self.state.floor = std::mem::take(&mut self.state.floor).max(floor);
        self.state.known[self.view.running as usize] = Some(trial.uki);
        // Now, so that there is a copy to mend it from.
        self.state.scrubbed = super::scrub::OVERDUE;
        self.parts.bays.know(trial.uki);
        self.state.running = (trial.release.number > 0).then_some(trial.release);
        self.state.consent = None;
        self.state.given_up = None;
        self.check_at = since_boot() + super::FIRST;
        if let Some(repository) = &mut self.parts.repository {
            repository.sweep();
        }
    }

    /// The image that runs goes: the reason is written down for the one that comes back.
    fn reject(&mut self, why: &str) -> anyhow::Result<()> {
        log::error!("this image goes: {why}");
        if let Some(trial) = &mut self.state.trial {
            trial.verdict = Some(why.to_owned());
        }
        self.save()?;
        self.parts.bays.reject()?;
        self.restart("the update did not work here");
        Ok(())
    }

    /// A trial was cut short: it is begun again if its image is whole.
    pub(super) fn begin_again(&mut self, slot: Label, stage: Option<&str>) -> anyhow::Result<()> {
        let Some(trial) = self.state.trial.clone() else {
            return Ok(());
        };
        let how = reached(stage);
        log::warn!("the trial of {} was cut short: {how}", trial.release.words());
        self.remember(&trial.release, "interrupted", &how);
        if let Some(trial) = &mut self.state.trial {
            trial.attempt += 1;
        }
        self.save()?;
        if let Err(error) = self.parts.bays.arm_again(slot, &trial.uki) {
            self.give_up(&format!("it cannot be tried again: {error:#}"));
            return Ok(());
        }
        self.look()?;
        self.armed = true;
        Ok(())
    }

    /// A person keeps the image on trial.
    pub(super) fn confirm_by(&mut self, by: &str) -> Answer {
        if !self.on_trial {
            return Answer::Refused("no update is on trial".to_owned());
        }
        match self.confirm(&format!("{by} said so")) {
            Ok(()) => Answer::Done(serde_json::json!({})),
            Err(error) => Answer::Refused(format!("{error:#}")),
        }
    }

    /// A person wants the other image back.
    pub(super) fn roll_back(&mut self, by: &str) -> Answer {
        let done = if self.on_trial {
            self.reject(&format!("{by} said so"))
        } else {
            self.go_back(by)
        };
        match done {
            Ok(()) => Answer::Done(serde_json::json!({})),
            Err(error) => Answer::Refused(format!("{error:#}")),
        }
    }

    /// From a confirmed image to the other slot's.
    fn go_back(&mut self, by: &str) -> anyhow::Result<()> {
        let back = self.view.of(self.view.running.other()).clone();
        let build_id = back.build_id.context("there is no image in the other slot")?;
        let release = self.state.running.take().unwrap_or_else(|| Named {
            number: 0,
            version: self.parts.setup.version.clone(),
            build_id: self.parts.setup.build_id.clone(),
        });
        self.parts.bays.reject()?;
        let why = format!("{by} went back to build {build_id:.12}");
        self.remember(&release, "rolled back", &why);
        let at = now_text();
        self.state.given_up = Some(GivenUp { release, why, at });
        (self.state.trial, self.state.consent) = (None, None);
        self.save()?;
        self.restart("somebody went back to the other image");
        Ok(())
    }
}
