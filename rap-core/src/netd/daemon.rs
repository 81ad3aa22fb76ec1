//! netd's loop: what is heard, asked, or due is looked at, one after another, on one thread.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use netfw::plan::NetPlan;

use super::control::{Answer, Request};
use super::in_force::{InForce, Wake, publish};
use super::lease::{Lease, Leasehold};
use super::sockets::Sockets;
use super::trial::{Directory, Record, Trials};
use super::{Place, control, look, report, resolver, sessions};
use crate::directive::Diagnostic;
use crate::moment::{self, Moment};
use crate::notify::Notifier;
use crate::{paths, status};

/// How often netd says that it is alive, and looks at the lease and the trial.
const TICK: Duration = Duration::from_secs(1);
/// How long changes are gathered before they are looked at: a cable that is plugged in bounces.
const GATHER: Duration = Duration::from_millis(200);
/// How often everything is looked at though nothing was heard.
const REVIEW: Duration = Duration::from_secs(60);

/// Why the loop wakes before its time.
#[derive(Debug)]
pub(super) enum Event {
    /// Something about links may have changed.
    Changed,
    /// Somebody asks.
    Asked(Request, SyncSender<Answer>),
    /// The session service asks, as this user.
    Session(sessions::Request, u32, SyncSender<Answer>),
    /// Somebody takes a look at the network.
    Look(Diagnostic, SyncSender<Result<look::Known, String>>),
}

/// Everything netd knows.
pub(super) struct Daemon<'a> {
    pub(super) place: &'a Place,
    pub(super) notifier: &'a Notifier,
    pub(super) trials: Trials<Directory>,
    /// The trial that goes on, as the disk has it.
    pub(super) running: Option<Record>,
    /// The site in force, or why there is none.
    pub(super) current: Result<InForce, String>,
    sockets: Sockets,
    hold: Leasehold,
    last: report::Status,
    wake: Wake,
    events: Receiver<Event>,
}

impl<'a> Daemon<'a> {
    /// Finishes what the last netd left, brings the site in force into force, and says that it is ready.
    pub(super) fn start(place: &'a Place, notifier: &'a Notifier) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&place.runtime)
            .with_context(|| format!("cannot make {}", place.runtime.display()))?;
        let (events, heard) = sync_channel(4);
        let mut daemon = Self {
            place,
            notifier,
            trials: Trials::new(Directory(place.config.clone()), place.trial),
            running: None,
            current: Err("not started".to_owned()),
            sockets: Sockets::inherited(),
            hold: Leasehold::default(),
            last: report::Status::default(),
            wake: Wake {
                dirty: Default::default(),
                events,
            },
            events: heard,
        };
        let left = daemon.trials.recover(&daemon.now()?);
        match left {
            Ok(None) => {}
            Ok(Some(ending)) => log::warn!("the new site was {}: {}", ending.outcome, ending.why),
            Err(error) => log::error!("{:#}", anyhow::Error::from(error)),
        }
        daemon.begin_again()?;
        let asked = daemon.wake.events.clone();
        control::start(&place.control, move |request| ask_loop(&asked, request))?;
        sessions::start(place, daemon.wake.events.clone())?;
        look::start(place, daemon.wake.events.clone())?;
        Ok(daemon)
    }

    /// Goes on for ever. Returns only with an error.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        let mut reviewed = Instant::now();
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Asked(request, reply)) => {
                    let answer = self.answer(request)?;
                    // Who asked may have gone.
                    let _ = reply.try_send(answer);
                }
                Ok(Event::Session(request, user, reply)) => {
                    let answer = self.answer_session(request, user)?;
                    let _ = reply.try_send(answer);
                }
                Ok(Event::Look(look, reply)) => {
                    let _ = reply.try_send(self.know(&look));
                }
                Ok(Event::Changed) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("nobody watches the links any more"),
            }
            self.notifier.alive();
            self.watch_trial()?;
            let changed = self.wake.dirty.swap(false, Ordering::Relaxed);
            if changed {
                std::thread::sleep(GATHER);
                self.wake.dirty.store(false, Ordering::Relaxed);
            }
            let leased = self.take_lease();
            if changed || leased || self.sockets.lacking() || reviewed.elapsed() >= REVIEW {
                reviewed = Instant::now();
                self.apply()?;
            }
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> anyhow::Result<Moment> {
        Moment::now(&self.place.boot_id)
            .with_context(|| format!("cannot read {}", self.place.boot_id.display()))
    }

    /// Brings what the disk says is in force into force.
    ///
    /// # Errors
    /// When the root namespace cannot be closed.
    pub(super) fn enforce(&mut self) -> anyhow::Result<()> {
        let running = self.trials.running();
        let read = running.and_then(|running| Ok((running, self.trials.in_force()?)));
        // Ends the helpers of the site that was in force.
        self.current = Err(String::new());
        let mut published = None;
        (self.running, self.current) = match read {
            Ok((running, Some(text))) => {
                let read = InForce::read(&text, Path::new(paths::SITE)).map_err(|error| format!("{error:#}"));
                published = Some(text).filter(|_| read.is_ok());
                (running, read)
            }
            Ok((running, None)) => (
                running,
                Err(format!("there is no site: {} is missing", paths::SITE)),
            ),
            Err(error) => (None, Err(format!("{:#}", anyhow::Error::from(error)))),
        };
        publish(&self.place.in_force, published.as_deref(), || {
            self.notifier.reloading();
        })?;
        self.take_lease();
        self.apply()?;
        match &mut self.current {
            Ok(current) => {
                current.start_helpers(self.place, &self.wake)?;
                log::info!("applied {}", self.last.summary());
            }
            // A wrong site does not become right by starting again: netd stays, and can be given another one.
            Err(trouble) => log::error!("{trouble}"),
        }
        self.notifier.ready();
        Ok(())
    }

    /// Brings the kernel, the sockets and the status to what they should be.
    pub(super) fn apply(&mut self) -> anyhow::Result<()> {
        let status = match &self.current {
            Err(trouble) => {
                self.sockets.settle(&self.place.machine, &[], self.notifier);
                report::Status::without_site(trouble)
            }
            Ok(current) => {
                let plan = self.plan(current);
                let applied = netfw::apply_plan(&self.place.machine, &plan);
                let report = applied.context("the box stays closed")?;
                for change in &report.changes {
                    log::info!("{change}");
                }
                let ports = &current.site.ports;
                let mut problems = self.sockets.settle(&self.place.machine, ports, self.notifier);
                problems.extend(self.allow_name_servers(current));
                problems.extend(self.tidy_sessions(current));
                report::Status::new(&report, &self.hold, problems)
            }
        };
        self.tell(status);
        Ok(())
    }

    /// The plan of the site in force, with the lease.
    pub(super) fn plan(&self, current: &InForce) -> NetPlan {
        self.hold.plan(&current.network)
    }

    /// The uplink's network by its lease, if it has one.
    pub(super) fn leased(&self) -> Option<ipnet::Ipv4Net> {
        Some(self.hold.used.as_ref()?.address)
    }

    /// Writes the status where it is news.
    pub(super) fn tell(&mut self, mut status: report::Status) {
        status.site = self.current.as_ref().ok().map(|site| site.fingerprint.clone());
        status.on_trial = self.running.is_some();
        status.trials = self.trials.records().unwrap_or_default();
        if status == self.last {
            return;
        }
        for news in status.news_since(&self.last) {
            log::info!("{news}");
        }
        if let Err(error) = status::write(&self.place.status, "netd", &status) {
            log::warn!("cannot write the status: {error}");
        }
        self.notifier.status(&status.summary());
        self.last = status;
    }

    /// What was said last.
    pub(super) fn last(&self) -> &report::Status {
        &self.last
    }

    /// A table that was loaded anew has lost the lease's name servers; adding what is there renews it.
    fn allow_name_servers(&self, current: &InForce) -> Option<String> {
        let elements = self.hold.name_servers(&current.network);
        let filled = netfw::fill(
            &self.place.machine,
            &current.network,
            netfw::ruleset::DNS,
            &elements,
        );
        filled
            .err()
            .map(|error| format!("name servers of the lease not allowed: {error}"))
    }

    /// Takes away what a session that has ended left; its access ended with it.
    fn tidy_sessions(&self, current: &InForce) -> Option<String> {
        match netfw::session::tidy(&self.place.machine, &current.network) {
            Ok(changes) => {
                for change in changes {
                    log::info!("{change}");
                }
                None
            }
            Err(error) => Some(format!(
                "the links of ended sessions are still there: {:#}",
                anyhow::Error::from(error)
            )),
        }
    }

    /// Takes in what the DHCP client's hook wrote; says whether it is news.
    fn take_lease(&mut self) -> bool {
        let Ok(current) = &self.current else {
            return false;
        };
        let found = Lease::read(&self.place.runtime);
        let news = self.hold.take(found, &current.network, moment::since_boot());
        let settled = resolver::settle(&self.place.runtime, &current.network, self.hold.used.as_ref());
        if let Err(error) = settled {
            log::warn!("{error:#}");
        }
        news
    }
}

/// Hands a request to the loop and waits for its answer.
fn ask_loop(events: &SyncSender<Event>, request: Request) -> Answer {
    let (reply, answer) = sync_channel(1);
    let asked = events.send(Event::Asked(request, reply));
    match asked.ok().and_then(|()| answer.recv().ok()) {
        Some(answer) => answer,
        None => Answer::Refused("netd is ending; ask again in a moment".to_owned()),
    }
}
