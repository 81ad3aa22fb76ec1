//! What to do with the services, and when: a pure state machine. It is told events and the time, and answers with
//! actions; it touches nothing itself.
//!
//! Rules, each with a test:
//! * A service starts when what it comes `after` is ready, and is restarted when it exits: after 250 ms, then twice
//!   as long each time up to 30 s, and from the start again once it was healthy for [`HEALTHY`].
//! * A service that is silent for [`SILENCE`] is killed; one that is not ready [`START`] after its start, too.
//! * [`LOOP`] failures in a row without a healthy minute are a crash loop: it is reported.
//! * [`GIVE_UP`] failures in a row of a *vital* service: the watchdog is not fed again and the box is restarted.
//! * A socket that replaces another one under the same name restarts the services that took the old one, once the
//!   service that stored it says that it is ready.
//! * A service that is *reloading* counts as starting until it says that it is ready; then the services that come after
//!   it, and after those, are restarted: what it gave them is not what they started with.
//! * Shutdown stops the services in reverse order, each with [`STOP`] to go by itself.
//!
//! Time is counted from any fixed moment and never goes back.

use std::time::Duration;

/// How long a service has to be ready without a fault to count as healthy.
pub const HEALTHY: Duration = Duration::from_secs(60);
/// How long a service may say nothing.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long a service may take to become ready.
pub const START: Duration = Duration::from_secs(120);
/// How long a service may take to stop.
pub const STOP: Duration = Duration::from_secs(10);
/// Failures in a row that are a crash loop.
pub const LOOP: u32 = 4;
/// Failures in a row of a vital service after which the box is restarted.
pub const GIVE_UP: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is known of a service before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its name, which is also the argument `rap` gets.
    pub name: &'static str,
    /// Whether the box is of no use without it.
    pub vital: bool,
    /// The service that must be ready first.
    pub after: Option<&'static str>,
    /// Whether it may give init sockets to keep.
    pub stores: bool,
    /// The sockets it gets: those whose names begin so.
    pub takes: Option<&'static str>,
    /// Whether it may ask for the box to be restarted.
    pub restarts: bool,
    /// Whether it speaks the notify protocol. One that does not is ready at once and never silent.
    pub speaks: bool,
}

/// A service, by its place in the list of [`Spec`]s.
pub type Id = usize;

/// How the machine is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Start it again.
    Reboot,
    /// Switch it off.
    PowerOff,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time.
    Tick,
    /// The service has gone, or could not be started.
    Exited(Id),
    /// The service said that it does its work.
    Ready(Id),
    /// The service said that what it gives to others changes until it is ready.
    Reloading(Id),
    /// The service said anything else.
    Heard(Id),
    /// The service stored a socket in place of another one under the same name, or under a new name, or had one
    /// forgotten.
    Stored(Id),
    /// Somebody asked for the end.
    Shutdown(Goal),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start it.
    Start(Id),
    /// Ask it to stop (SIGTERM).
    Terminate(Id),
    /// Make it stop (SIGKILL); it was silent, slow or stubborn.
    Kill(Id),
    /// Every service that speaks the notify protocol is ready, for the first time.
    AllReady,
    /// The vital service failed too often: from now on [`Supervisor::feeds`] is false.
    GiveUp(Id),
    /// All services have gone.
    Finish(Goal),
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits for another one to be ready, or for its pause to end at this time.
    Waiting(Duration),
    /// Was started at this time and is not ready.
    Starting(Duration),
    /// Is ready since this time.
    Running(Duration),
    /// Was asked to stop and is killed at this time; after that it is only waited for.
    Stopping(Duration),
}

#[derive(Debug, Clone)]
struct Service {
    spec: Spec,
    phase: Phase,
    heard: Duration,
    /// Failures in a row.
    failures: u32,
    /// All exits that were not asked for.
    restarts: u32,
    /// Whether it works with what has been replaced since it started.
    stale: bool,
    /// Whether its stop was asked for by us for the sake of what is new.
    refreshing: bool,
}

/// All services and the machine's end.
#[derive(Debug, Clone)]
pub struct Supervisor {
    services: Vec<Service>,
    goal: Option<Goal>,
    finished: bool,
    all_ready: bool,
    given_up: bool,
}

impl Supervisor {
    /// Nothing runs yet; the first [`Event::Tick`] starts what waits for nobody.
    #[must_use]
    pub fn new(specs: &[Spec]) -> Self {
        let service = |spec: &Spec| Service {
            spec: *spec,
            phase: Phase::Waiting(Duration::ZERO),
            heard: Duration::ZERO,
            failures: 0,
            restarts: 0,
            stale: false,
            refreshing: false,
        };
        Self {
            services: specs.iter().map(service).collect(),
            goal: None,
            finished: false,
            all_ready: false,
            given_up: false,
        }
    }

    /// Takes an event at time `now` and says what to do, in this order.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Exited(id) => self.exited(now, id),
            Event::Ready(id) => self.ready(now, id),
            Event::Reloading(id) => self.reloading(now, id),
            Event::Heard(id) => self.services[id].heard = now,
            Event::Stored(id) => self.stored(id),
            Event::Shutdown(goal) => {
                // The first wish holds, so that a second signal does not turn a reboot into a power off.
                self.goal.get_or_insert(goal);
            }
        }
        self.give_up(&mut actions);
        self.keep_time(now, &mut actions);
        match self.goal {
            Some(goal) => self.stop_next(now, goal, &mut actions),
            None => {
                self.start_due(now, &mut actions);
                self.refresh(now, &mut actions);
            }
        }
        self.announce(&mut actions);
        actions
    }

    /// When [`Event::Tick`] is due if nothing happens before; `None` when nothing is.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let due = |service: &Service| match service.phase {
            Phase::Waiting(until) => (self.goal.is_none() && self.may_start(service)).then_some(until),
            Phase::Starting(since) => Some(since + START),
            Phase::Running(_) => service.spec.speaks.then_some(service.heard + SILENCE),
            Phase::Stopping(until) => (until != Duration::MAX).then_some(until),
        };
        self.services.iter().filter_map(due).min()
    }

    /// Whether the hardware watchdog is to be fed.
    #[must_use]
    pub fn feeds(&self) -> bool {
        !self.given_up
    }

    /// What a service is doing, and how often it had to be restarted.
    #[must_use]
    pub fn state(&self, id: Id) -> (Phase, u32) {
        (self.services[id].phase, self.services[id].restarts)
    }

    /// Whether a service fails again and again.
    #[must_use]
    pub fn loops(&self, id: Id) -> bool {
        self.services[id].failures >= LOOP
    }

    fn exited(&mut self, now: Duration, id: Id) {
        let service = &mut self.services[id];
        let healthy = matches!(service.phase, Phase::Running(since) if now.saturating_sub(since) >= HEALTHY);
        if healthy {
            service.failures = 0;
        }
        let asked = self.goal.is_some() || std::mem::take(&mut service.refreshing);
        let pause = if asked {
            Duration::ZERO
        } else {
            let pause = FIRST_PAUSE
                .saturating_mul(1 << service.failures.min(16))
                .min(LONGEST_PAUSE);
            service.failures += 1;
            service.restarts += 1;
            pause
        };
        service.stale = false;
        service.phase = Phase::Waiting(now + pause);
    }

    fn ready(&mut self, now: Duration, id: Id) {
        let service = &mut self.services[id];
        service.heard = now;
        if matches!(service.phase, Phase::Starting(_)) {
            service.phase = Phase::Running(now);
        }
    }

    fn reloading(&mut self, now: Duration, id: Id) {
        let service = &mut self.services[id];
        service.heard = now;
        if matches!(service.phase, Phase::Running(_)) {
            service.phase = Phase::Starting(now);
        }
        let mut gave = vec![service.spec.name];
        // The list is in the order of starting, so what comes after is further down.
        for service in &mut self.services {
            if service.spec.after.is_some_and(|first| gave.contains(&first)) {
                gave.push(service.spec.name);
                service.stale |= !matches!(service.phase, Phase::Waiting(_));
            }
        }
    }

    fn stored(&mut self, id: Id) {
        let storer = self.services[id].spec.name;
        for service in &mut self.services {
            let started = !matches!(service.phase, Phase::Waiting(_));
            service.stale |= started && service.spec.takes.is_some() && service.spec.name != storer;
        }
    }

    fn give_up(&mut self, actions: &mut Vec<Action>) {
        let hopeless = |service: &Service| service.spec.vital && service.failures >= GIVE_UP;
        if !self.given_up
            && let Some(id) = self.services.iter().position(hopeless)
        {
            self.given_up = true;
            self.goal.get_or_insert(Goal::Reboot);
            actions.push(Action::GiveUp(id));
        }
    }

    /// Kills what is silent, slow or stubborn.
    fn keep_time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (id, service) in self.services.iter_mut().enumerate() {
            let late = match service.phase {
                Phase::Waiting(_) => false,
                Phase::Starting(since) => now >= since + START,
                Phase::Running(_) => service.spec.speaks && now >= service.heard + SILENCE,
                Phase::Stopping(until) => until != Duration::MAX && now >= until,
            };
            if late {
                actions.push(Action::Kill(id));
                service.phase = Phase::Stopping(Duration::MAX);
            }
        }
    }

    fn start_due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for id in 0..self.services.len() {
            let service = &self.services[id];
            let due = matches!(service.phase, Phase::Waiting(until) if now >= until);
            if !due || !self.may_start(service) {
                continue;
            }
            let service = &mut self.services[id];
            service.heard = now;
            service.phase = if service.spec.speaks {
                Phase::Starting(now)
            } else {
                Phase::Running(now)
            };
            actions.push(Action::Start(id));
        }
    }

    /// Whether those it comes after, one after another, are ready and not about to be restarted.
    fn may_start(&self, service: &Service) -> bool {
        let is_first = |other: &&Service| Some(other.spec.name) == service.spec.after;
        // A service whose predecessor is not in the list waits for nobody.
        let first = self.services.iter().find(is_first);
        first.is_none_or(|first| {
            matches!(first.phase, Phase::Running(_)) && !first.stale && self.may_start(first)
        })
    }

    /// Restarts services that are stale, when the one they come after has stored all it has.
    fn refresh(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for id in 0..self.services.len() {
            let service = &self.services[id];
            let runs = matches!(service.phase, Phase::Starting(_) | Phase::Running(_));
            if !service.stale || !runs || !self.may_start(service) {
                continue;
            }
            let service = &mut self.services[id];
            service.stale = false;
            service.refreshing = true;
            service.phase = Phase::Stopping(now + STOP);
            actions.push(Action::Terminate(id));
        }
    }

    /// Asks the last service that still runs to stop; when none does, the end has come.
    fn stop_next(&mut self, now: Duration, goal: Goal, actions: &mut Vec<Action>) {
        let runs = |service: &Service| !matches!(service.phase, Phase::Waiting(_));
        let Some(id) = self.services.iter().rposition(runs) else {
            if !std::mem::replace(&mut self.finished, true) {
                actions.push(Action::Finish(goal));
            }
            return;
        };
        let service = &mut self.services[id];
        if !matches!(service.phase, Phase::Stopping(_)) {
            service.phase = Phase::Stopping(now + STOP);
            actions.push(Action::Terminate(id));
        }
    }

    fn announce(&mut self, actions: &mut Vec<Action>) {
        let runs = |service: &Service| !service.spec.speaks || matches!(service.phase, Phase::Running(_));
        if !self.all_ready && self.goal.is_none() && self.services.iter().all(runs) {
            self.all_ready = true;
            actions.push(Action::AllReady);
        }
    }
}

#[cfg(test)]
mod tests;
