//! What init does at every turn besides the services: feeds the watchdog, saves the time, writes its status.

use std::path::Path;
use std::time::Duration;

use crate::status::{InitStatus, SecureBoot, ServiceStatus, WatchdogStatus};
use crate::{paths, status};

use super::clock::{self, Floor};
use super::services::{Services, Surroundings, Turn};
use super::supervisor::Phase;
use super::trial::Trial;
use super::watchdog::Watchdog;

/// How often the status is written when nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Whether the data partition is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DataState {
    /// It is.
    Mounted,
    /// It is not, and why.
    Missing(String),
}

/// The watchdog's feeder, the time's keeper and the status' writer.
pub(super) struct Keeper {
    watchdog: Option<Watchdog>,
    floor: Floor,
    data: DataState,
    secure_boot: Option<SecureBoot>,
    problems: Vec<String>,
    /// The trial of this image, if it is on one.
    pub(super) trial: Option<Trial>,
    last: Option<InitStatus>,
    feed_at: Duration,
    save_at: Duration,
    report_at: Duration,
}

impl Keeper {
    pub(super) fn new(
        watchdog: Option<Watchdog>,
        floor: Floor,
        data: DataState,
        secure_boot: Option<SecureBoot>,
        problems: Vec<String>,
    ) -> Self {
        Self {
            watchdog,
            floor,
            data,
            secure_boot,
            problems,
            trial: None,
            last: None,
            feed_at: Duration::ZERO,
            save_at: Duration::ZERO,
            report_at: Duration::ZERO,
        }
    }

    /// Saves the time where there is a place for it.
    pub(super) fn save_time(&self) {
        if self.data != DataState::Mounted {
            return;
        }
        if let Err(error) = clock::save(Path::new(paths::TIME), self.floor) {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }

    fn feed(&mut self, now: Duration, fed: bool) {
        if let Some(watchdog) = self.watchdog.as_ref().filter(|_| fed && now >= self.feed_at) {
            watchdog.feed();
            self.feed_at = now + watchdog.period();
        }
    }

    fn report(&mut self, now: Duration, services: &Services) {
        let status = self.status(services);
        if self.last.as_ref() == Some(&status) && now < self.report_at {
            return;
        }
        self.report_at = now + REPORT_EVERY;
        if let Err(error) = status::write(Path::new(paths::STATUS), "init", &status) {
            log::error!("cannot write init's status: {error}");
        }
        self.last = Some(status);
    }

    fn status(&self, services: &Services) -> InitStatus {
        let fed = services.supervisor.feeds();
        let mut problems = self.problems.clone();
        if let DataState::Missing(reason) = &self.data {
            problems.push(format!("no data partition, so no reports are taken: {reason}"));
        }
        if self.watchdog.is_none() {
            problems.push("no hardware watchdog was found".to_owned());
        }
        let looping = services
            .list
            .iter()
            .enumerate()
            .filter(|(id, _)| services.supervisor.loops(*id));
        problems.extend(looping.map(|(_, service)| format!("{} ends again and again", service.spec.name)));
        InitStatus {
            ready_after_seconds: services.ready_after.map(|after| after.as_secs_f64()),
            services: (0..services.list.len())
                .map(|id| service_status(services, id))
                .collect(),
            watchdog: self.watchdog.as_ref().map(|watchdog| WatchdogStatus {
                name: watchdog.name.clone(),
                timeout_seconds: watchdog.timeout.as_secs(),
                fed,
            }),
            data: self.data == DataState::Mounted,
            secure_boot: self.secure_boot,
            problems,
        }
    }
}

fn service_status(services: &Services, id: usize) -> ServiceStatus {
    let (phase, restarts) = services.supervisor.state(id);
    let state = match phase {
        Phase::Waiting(_) => "waiting",
        Phase::Starting(_) => "starting",
        Phase::Running(_) => "running",
        Phase::Stopping(_) => "stopping",
    };
    ServiceStatus {
        name: services.list[id].spec.name.to_owned(),
        state: state.to_owned(),
        pid: services.pid(id),
        restarts,
        text: services.texts[id].clone(),
    }
}

impl Surroundings for Keeper {
    fn now(&self) -> Duration {
        clock::since_boot()
    }

    fn turn(&mut self, now: Duration, services: &Services) -> Turn {
        self.feed(now, services.supervisor.feeds());
        if now >= self.save_at {
            self.save_at = now + clock::SAVE_EVERY;
            self.save_time();
        }
        self.report(now, services);
        let mut goal = None;
        if let Some(trial) = &mut self.trial {
            trial.note(services);
            if trial.is_over(now) {
                goal = trial.end();
                self.trial = None;
            }
        }
        let feed_at = self
            .watchdog
            .as_ref()
            .map_or(Duration::MAX, |_| self.feed_at.max(now));
        let until = feed_at.min(self.save_at).min(self.report_at);
        Turn { until, goal }
    }
}
