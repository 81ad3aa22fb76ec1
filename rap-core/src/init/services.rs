//! Runs the services as the [`Supervisor`] says: the thin part that has the effects.
//!
//! One thread, one poll(2): signals, each service's notify socket and each service's pidfd. A service is started in
//! a process group of its own, with an empty environment but for the notify protocol's variables.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::audit::{self, client::Outbox};
use crate::confine::{self, Confinement, Needs};
use crate::notify::{Channel, Message, NOTIFY_FD, ReceiveError, SOCKETS, socket_list};
use crate::paths;
use crate::sys::Signals;

use super::durable::Owner;
use super::supervisor::{Action, Event, Goal, Id, Spec, Supervisor};

/// How to start a service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) spec: Spec,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// The user it runs as, and what is put on it before it runs; `None` leaves it root.
    pub(super) confined: Option<(&'static Needs, Owner)>,
    /// A terminal it gets as standard input and output.
    pub(super) terminal: Option<PathBuf>,
}

/// What the loop asks of the rest of init.
pub(super) trait Surroundings {
    /// Time since any fixed moment.
    fn now(&self) -> Duration;
    /// Called after every turn.
    fn turn(&mut self, now: Duration, services: &Services) -> Turn;
}

/// What the rest of init wants after a turn.
pub(super) struct Turn {
    /// When it wants the next turn at the latest.
    pub(super) until: Duration,
    /// Whether everything is to end.
    pub(super) goal: Option<Goal>,
}

struct Running {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    /// `None` once the service has closed its end.
    channel: Option<Channel>,
}

/// The services, the sockets kept for them, and what each said last.
pub(super) struct Services {
    pub(super) list: Vec<Service>,
    pub(super) supervisor: Supervisor,
    pub(super) texts: Vec<String>,
    pub(super) ready_after: Option<Duration>,
    /// What is to be told to the audit trail.
    pub(super) outbox: Outbox,
    running: Vec<Option<Running>>,
    store: BTreeMap<String, OwnedFd>,
    signals: Option<Signals>,
    /// Where control groups are; a desk that runs tests has none to give.
    groups: Option<&'static Path>,
}

impl Services {
    /// Nothing is started yet. `signals` is given by process 1, which then also reaps what others left, and has control
    /// groups.
    pub(super) fn new(list: Vec<Service>, signals: Option<Signals>) -> Self {
        let specs: Vec<Spec> = list.iter().map(|service| service.spec).collect();
        Self {
            supervisor: Supervisor::new(&specs),
            texts: vec![String::new(); list.len()],
            ready_after: None,
            outbox: Outbox::default(),
            running: list.iter().map(|_| None).collect(),
            store: BTreeMap::new(),
            list,
            groups: signals.is_some().then_some(Path::new(confine::GROUPS)),
            signals,
        }
    }

    /// Keeps a descriptor that no service stored, for those that take such names.
    pub(super) fn keep(&mut self, name: &str, descriptor: OwnedFd) {
        self.store.insert(name.to_owned(), descriptor);
    }

    /// The process of a service that runs.
    pub(super) fn pid(&self, id: Id) -> Option<u32> {
        Some(self.running[id].as_ref()?.child.id())
    }

    /// Runs until all services have stopped because somebody asked for it.
    pub(super) fn run(&mut self, surroundings: &mut impl Surroundings) -> Goal {
        let mut events = VecDeque::from([Event::Tick]);
        loop {
            while let Some(event) = events.pop_front() {
                let now = surroundings.now();
                for action in self.supervisor.step(now, event) {
                    match action {
                        Action::Finish(goal) => return goal,
                        Action::AllReady => {
                            self.ready_after = Some(now);
                            log::info!("ready after {:.2} s", now.as_secs_f64());
                        }
                        action => events.extend(self.perform(action)),
                    }
                }
            }
            let now = surroundings.now();
            let turn = surroundings.turn(now, self);
            self.outbox.flush(Path::new(paths::AUDIT_SOCKET));
            let due = self
                .supervisor
                .deadline()
                .map_or(turn.until, |due| due.min(turn.until));
            events.push_back(turn.goal.map_or(Event::Tick, Event::Shutdown));
            self.wait(due.saturating_sub(now), &mut events);
            events.push_back(Event::Tick);
        }
    }

    /// Does what an action says; an event may follow from it at once.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start(id) => match self.start(id) {
                Ok(running) => {
                    self.running[id] = Some(running);
                    None
                }
                Err(error) => {
                    let service = &self.list[id];
                    log::error!(
                        "cannot start {} ({}): {error}",
                        service.spec.name,
                        service.program.display()
                    );
                    Some(Event::Exited(id))
                }
            },
            Action::Terminate(id) => {
                self.signal(id, Signal::TERM);
                None
            }
            Action::Kill(id) => {
                log::error!("{} does not answer: it is killed", self.list[id].spec.name);
                self.signal(id, Signal::KILL);
                None
            }
            Action::GiveUp(id) => {
                let name = self.list[id].spec.name;
                log::error!("{name} failed too often: the box is restarted");
                None
            }
            Action::Finish(_) | Action::AllReady => None,
        }
    }

    fn start(&mut self, id: Id) -> std::io::Result<Running> {
        let service = &self.list[id];
        let (channel, theirs) = Channel::pair()?;
        let inherited = inheritable(theirs.as_fd())?;
        let wanted = self
            .store
            .iter()
            .filter(|(name, _)| service.spec.takes.iter().any(|kind| name.starts_with(kind)));
        let mut sockets = Vec::new();
        for (name, socket) in wanted {
            sockets.push((name.as_str(), inheritable(socket.as_fd())?));
        }
        let list = socket_list(sockets.iter().map(|(name, socket)| (*name, socket.as_raw_fd())));
        let mut command = Command::new(&service.program);
        command.args(&service.arguments).env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/");
        command
            .env(NOTIFY_FD, inherited.as_raw_fd().to_string())
            .env(SOCKETS, list);
        if let Some(debug) = std::env::var_os("RAP_DEBUG") {
            command.env("RAP_DEBUG", debug);
        }
        command.process_group(0).stdin(Stdio::null());
        if let Some(path) = &service.terminal {
            let terminal = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
            command
                .stdin(terminal.try_clone()?)
                .stdout(terminal.try_clone()?)
                .stderr(terminal);
        }
        if let Some((needs, owner)) = service.confined {
            let user = confine::User {
                user: owner.user,
                group: owner.group,
            };
            Confinement::new(needs, user, self.groups)
                .map_err(|error| std::io::Error::other(format!("{:#}", anyhow::Error::from(error))))?
                .put_on(&mut command);
        }
        let mut child = command.spawn()?;
        let opened = Pid::from_raw(child.id().cast_signed())
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
            .and_then(|pid| {
                Ok((
                    pid,
                    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?,
                ))
            });
        match opened {
            Ok((pid, pidfd)) => Ok(Running {
                child,
                pid,
                pidfd,
                channel: Some(channel),
            }),
            Err(error) => {
                // Without a pidfd its end could not be seen.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Signals a service and what it started.
    fn signal(&self, id: Id, signal: Signal) {
        if let Some(running) = &self.running[id] {
            // It may have gone in this moment; then its pidfd says so.
            let _ = rustix::process::kill_process_group(running.pid, signal);
        }
    }

    /// Waits for something to happen, at most `timeout`, and appends what did.
    fn wait(&mut self, timeout: Duration, events: &mut VecDeque<Event>) {
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.poll_once(&timeout);
        for id in 0..self.list.len() {
            self.listen(id, events);
            self.look_for_exit(id, events);
        }
        self.take_signals(events);
    }

    fn poll_once(&self, timeout: &rustix::event::Timespec) {
        let mut descriptors = Vec::new();
        let services = self.running.iter().flatten();
        for running in services {
            descriptors.push(PollFd::new(&running.pidfd, PollFlags::IN));
            descriptors.extend(
                running
                    .channel
                    .iter()
                    .map(|channel| PollFd::new(channel, PollFlags::IN)),
            );
        }
        descriptors.extend(
            self.signals
                .iter()
                .map(|signals| PollFd::new(signals, PollFlags::IN)),
        );
        // Interrupted or not, everything is looked at afterwards.
        let _ = poll(&mut descriptors, Some(timeout));
    }

    /// Reads what a service said.
    fn listen(&mut self, id: Id, events: &mut VecDeque<Event>) {
        while let Some(channel) = self.running[id]
            .as_ref()
            .and_then(|running| running.channel.as_ref())
        {
            match channel.receive() {
                Ok(None) => return,
                Ok(Some(message)) => events.push_back(self.heard(id, message)),
                Err(ReceiveError::Malformed { found }) => {
                    log::warn!("{} sent what is no message: {found}", self.list[id].spec.name);
                }
                Err(ReceiveError::Closed | ReceiveError::Receive { .. }) => {
                    if let Some(running) = &mut self.running[id] {
                        running.channel = None;
                    }
                }
            }
        }
    }

    fn heard(&mut self, id: Id, message: Message) -> Event {
        let spec = self.list[id].spec;
        match message {
            Message::Ready => Event::Ready(id),
            Message::Reloading => Event::Reloading(id),
            Message::Alive => Event::Heard(id),
            Message::Status(text) => {
                self.texts[id] = text;
                Event::Heard(id)
            }
            Message::Restart(why) if spec.restarts => {
                log::info!("{} wants the box restarted: {why}", spec.name);
                Event::Shutdown(Goal::Reboot)
            }
            Message::Restart(_) => {
                log::warn!("{} may not restart the box", spec.name);
                Event::Heard(id)
            }
            Message::Store { name, .. } if !may_store(spec, &name) => {
                log::warn!("{} may not store {name}: it is closed", spec.name);
                Event::Heard(id)
            }
            Message::Store { name, socket } => {
                let same = self.store.get(&name).is_some_and(|old| is_same(old, &socket));
                self.store.insert(name.clone(), socket);
                if same {
                    Event::Heard(id)
                } else {
                    self.stored(id, &name)
                }
            }
            Message::Forget { name } if may_store(spec, &name) && self.store.remove(&name).is_some() => {
                self.stored(id, &name)
            }
            Message::Forget { .. } => Event::Heard(id),
        }
    }

    /// What is to be made of a change under `name`: it concerns those who take what is called so.
    fn stored(&self, id: Id, name: &str) -> Event {
        let mut kinds = self.list.iter().flat_map(|service| service.spec.takes);
        let kind = kinds.find(|kind| name.starts_with(**kind));
        kind.map_or(Event::Heard(id), |kind| Event::Stored(id, kind))
    }

    fn look_for_exit(&mut self, id: Id, events: &mut VecDeque<Event>) {
        let Some(running) = &mut self.running[id] else {
            return;
        };
        if let Ok(Some(status)) = running.child.try_wait() {
            let how = ending(status.code(), status.signal());
            self.ended(id, &how, events);
        }
    }

    fn ended(&mut self, id: Id, how: &str, events: &mut VecDeque<Event>) {
        self.listen(id, events);
        if let Some(running) = self.running[id].take() {
            // Nothing it started may be left when it is started again.
            let _ = rustix::process::kill_process_group(running.pid, Signal::KILL);
        }
        let name = self.list[id].spec.name;
        log::warn!("{name} has ended: {how}");
        self.outbox.put(
            audit::Event::new(audit::Kind::ServiceEnded, "a service has ended")
                .with("service", name)
                .with("how", how),
        );
        events.push_back(Event::Exited(id));
    }

    fn take_signals(&mut self, events: &mut VecDeque<Event>) {
        while let Some(signal) = self
            .signals
            .as_ref()
            .and_then(|signals| signals.next().ok().flatten())
        {
            match i32::try_from(signal) {
                Ok(libc::SIGCHLD) => self.reap(events),
                Ok(libc::SIGUSR2 | libc::SIGPWR) => events.push_back(Event::Shutdown(Goal::PowerOff)),
                _ => events.push_back(Event::Shutdown(Goal::Reboot)),
            }
        }
    }

    /// Reaps what others left, as process 1 must. A service that ends in this very moment is one of them.
    fn reap(&mut self, events: &mut VecDeque<Event>) {
        for id in 0..self.list.len() {
            self.look_for_exit(id, events);
        }
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let is_it =
                |running: &Option<Running>| running.as_ref().is_some_and(|running| running.pid == pid);
            if let Some(id) = self.running.iter().position(is_it) {
                let how = ending(status.exit_status(), status.terminating_signal());
                self.ended(id, &how, events);
            }
        }
    }
}

/// Signals that process 1 answers: SIGTERM, SIGINT (ctrl-alt-del) and SIGHUP restart, SIGUSR2 and SIGPWR switch off.
pub(super) const SIGNALS: [i32; 6] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGUSR2,
    libc::SIGPWR,
];

/// A service that stores may store what it gets back, and what has its own name: nobody can replace what is another's.
fn may_store(spec: Spec, name: &str) -> bool {
    let own = name
        .strip_prefix(spec.name)
        .is_some_and(|rest| rest.starts_with('@'));
    spec.stores && (own || spec.takes.iter().any(|kind| name.starts_with(kind)))
}

/// A copy of a descriptor that stays open over exec, to be dropped right after the start. There is one thread.
fn inheritable(fd: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty())?;
    Ok(copy)
}

/// Whether two descriptors are the same socket.
fn is_same(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

fn ending(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests;
