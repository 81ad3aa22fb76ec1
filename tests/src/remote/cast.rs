//! Who is in the story besides the box: the service centre's desk, the engineer behind a real OpenVPN server, instruments
//! with something to see, the person at the first of them. Each method is a step, which fails with what was otherwise.

use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::lab::{GATEWAY, INSTRUMENT, WORKSTATION};
use serde_json::{Value, json};

use super::office::{Office, TUNNEL};
use super::person::Person;
use super::services::{self, Services};
use crate::directing::{Director, wait};
use crate::system::System;

/// The service addresses of the instruments at ports 1 and 2.
const SERVICE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 0, 1), Ipv4Addr::new(10, 200, 0, 3)];
/// The box in the tunnel: the server gives its only client the first address there is.
const IN_TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
/// What the service centre may wait for.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);
/// Alerts while the engineer works.
const ALERTS: usize = 3;
/// From one to the next: at different moments of what the engineer does.
const PACE: Duration = Duration::from_millis(900);
/// Once a session was to be over, nothing of it comes for longer.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);

/// What the page says when somebody asks.
pub const ASKS: &str = "Ada, Vendor Service asks to see this instrument";

/// Everybody but the box.
#[derive(Debug)]
pub struct Cast {
    /// Who asks.
    pub director: Director,
    /// Who sits at the first instrument.
    pub person: Person,
    office: Office,
    session: u64,
    folder: tempfile::TempDir,
    _services: [Services; 2],
}

/// A picture that is watched, until it stands still.
#[derive(Debug)]
pub struct Watched(JoinHandle<Instant>);

impl Watched {
    /// How long after `end` something still came.
    ///
    /// # Errors
    /// When it was longer than a session may live after its end.
    pub fn dies(self, end: Instant) -> anyhow::Result<Duration> {
        let last = self.0.join().ok().context("nobody watched")?;
        let alive = last.saturating_duration_since(end);
        ensure!(
            alive < AT_ONCE,
            "the screen was seen for {alive:?} after the session's end"
        );
        Ok(alive)
    }
}

impl Cast {
    /// Everybody takes their place around `system`, whose box has the identity of `director`.
    ///
    /// # Errors
    /// When a program does not start.
    pub fn enter(director: Director, system: &System) -> anyhow::Result<Self> {
        let office = Office::open(&system.lab, director.keys())?;
        let [first, second] = [1, 2].map(|number| system.lab.instrument(number));
        Ok(Self {
            person: Person::at(first)?,
            _services: [Services::start(first)?, Services::start(second)?],
            director,
            office,
            session: 0,
            folder: tempfile::Builder::new().prefix("rap-remote-").tempdir()?,
        })
    }

    /// The name of the latest session.
    #[must_use]
    pub fn session(&self) -> String {
        format!("s-{}", self.session)
    }

    /// The service centre asks for the first instrument's screen and files, for so many seconds at most, and for so many
    /// in which nothing passes.
    ///
    /// # Errors
    /// When the box does not ask the person.
    pub fn asks(&mut self, system: &System, seconds: u64, idle: u64) -> anyhow::Result<()> {
        self.session += 1;
        let services = [services::SCREEN, services::FILES].map(|port| format!("tcp/{port}"));
        let command = json!({
            "do": "open-session", "session": self.session(), "instrument": "port1", "services": services,
            "engineer": "Ada, Vendor Service", "purpose": "The pump's alarm", "seconds": seconds, "idle-seconds": idle,
            "tunnel": TUNNEL,
        });
        self.directs(system, &command)
    }

    /// The service centre has this done.
    ///
    /// # Errors
    /// When it is not done.
    pub fn directs(&mut self, system: &System, command: &Value) -> anyhow::Result<()> {
        let answer = self.director.ask(system, command, PATIENCE)?;
        ensure!(answer["outcome"] == "done", "{command}: {answer}");
        Ok(())
    }

    /// Nobody at the other port sees that somebody asks.
    ///
    /// # Errors
    /// With what is seen there.
    pub fn other_port_is_not_told(&self, system: &System) -> anyhow::Result<()> {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--insecure", &format!("https://{GATEWAY}/remote")]);
        let output = system.lab.instrument(2).output(command)?;
        let page = String::from_utf8_lossy(&output.stdout);
        ensure!(page.contains("Nobody asks") && !page.contains("Ada"), "{page}");
        Ok(())
    }

    /// The engineer takes a picture of the screen; returns how long it took.
    ///
    /// # Errors
    /// When there is none.
    pub fn looks(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        services::look(&self.office.engineer, SERVICE[0], self.folder.path())?;
        Ok(begun.elapsed())
    }

    /// The engineer brings a file of so many bytes and takes it back; returns how long it took.
    ///
    /// # Errors
    /// When it does not arrive, or as another.
    pub fn transfers(&self, bytes: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        services::transfer(&self.office.engineer, SERVICE[0], self.folder.path(), bytes)?;
        Ok(begun.elapsed())
    }

    /// The engineer watches the screen from now on.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn watches(&self) -> anyhow::Result<Watched> {
        services::watch(&self.office.engineer, SERVICE[0]).map(Watched)
    }

    /// The second instrument has alerts while the engineer is at the first. Returns how long the slowest took to the centre.
    ///
    /// # Errors
    /// When one does not arrive.
    pub fn alerts(&self, system: &System) -> anyhow::Result<Duration> {
        let (agent, book) = (system.agents.one()?, system.centre.book()?);
        let mut slowest = Duration::ZERO;
        for number in 0..ALERTS {
            let id = format!("beside-{}-{number}", self.session());
            let event = json!({
                "specversion": "1.0", "id": id, "type": "instrument.status", "source": "pump", "priority": "alert",
                "datacontenttype": "application/json", "data": { "pressure": number },
            });
            let begun = Instant::now();
            let answer = system.lab.instrument(2).run(|| agent.post(&event))??;
            ensure!(answer.status == 202, "{}", answer.body);
            let is_there = || book.events().ok()?.into_iter().find(|arrival| arrival.id == id);
            wait(PATIENCE, is_there).with_context(|| format!("alert {id} never arrived"))?;
            slowest = slowest.max(begun.elapsed());
            std::thread::sleep(PACE);
        }
        Ok(slowest)
    }

    /// The engineer reaches neither instrument.
    ///
    /// # Errors
    /// With what is reached.
    pub fn nothing_is_reached(&self) -> anyhow::Result<()> {
        let ports = [services::SCREEN, services::FILES];
        let doors = SERVICE.iter().flat_map(|at| ports.map(|port| (*at, port)));
        self.office.all_closed(&doors.collect::<Vec<_>>(), &SERVICE)
    }

    /// While a session is open: another instrument, another port, the box itself, the hospital.
    ///
    /// # Errors
    /// With what is reached.
    pub fn nothing_else_is_reached(&self, system: &System) -> anyhow::Result<()> {
        let elsewhere = [WORKSTATION, INSTRUMENT, GATEWAY];
        // As an engineer would who has taken over the server.
        for to in elsewhere {
            let route = format!("route replace {to}/32 via {IN_TUNNEL} dev tunnels");
            system.lab.centre.ip(&route)?;
        }
        let screen = [services::SCREEN, services::FILES];
        let others = [22, 53, 80, 443, 3128, 6000, 8080, 8443];
        let mut doors = Vec::new();
        doors.extend(others.map(|port| (SERVICE[0], port)));
        for at in [SERVICE[1], IN_TUNNEL, WORKSTATION, INSTRUMENT, GATEWAY] {
            doors.extend(screen.into_iter().chain(others).map(|port| (at, port)));
        }
        let hosts = [
            SERVICE[0],
            SERVICE[1],
            IN_TUNNEL,
            WORKSTATION,
            INSTRUMENT,
            GATEWAY,
        ];
        self.office.all_closed(&doors, &hosts)?;
        for to in elsewhere {
            system
                .lab
                .centre
                .ip(&format!("route delete {to}/32 dev tunnels"))?;
        }
        Ok(())
    }

    /// Waits until the box has told the service centre that the latest session is over; returns how it went, state by
    /// state, with the words to each.
    ///
    /// # Errors
    /// With what it told when it did not.
    pub fn centre_heard(&self, system: &System) -> anyhow::Result<Vec<(String, String)>> {
        let (book, session) = (system.centre.book()?, self.session());
        let told = || -> anyhow::Result<Vec<(String, String)>> {
            let events = book.events()?.into_iter().map(|arrival| arrival.event);
            let changes = events.filter(|event| {
                event["type"] == "rap.session.changed" && event["data"]["session"] == session
            });
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = |event: Value| (text(&event["data"]["state"]), text(&event["data"]["words"]));
            Ok(changes.map(of).collect())
        };
        let is_over = || {
            told()
                .ok()
                .filter(|told| told.last().is_some_and(|(state, _)| state == "ended"))
        };
        wait(PATIENCE, is_over).with_context(|| format!("the centre was told {:?}", told()))
    }

    /// On a debug image: the audit trail holds, and tells of the latest session what the centre was told.
    ///
    /// # Errors
    /// With the trail when it does not.
    pub fn trail_agrees(&self, system: &System, heard: &[(String, String)]) -> anyhow::Result<()> {
        let verdict = system.shell("rapctl audit verify; echo code-$?")?;
        ensure!(verdict.contains("code-0"), "{verdict}");
        let shown = system.shell("rapctl audit show --json --last 200")?;
        let records = shown
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_session = records.filter(|record| {
            record["kind"] == "SESSION-CHANGED" && record["about"]["session"] == self.session()
        });
        let states: Vec<String> = of_session
            .map(|record| record["about"]["state"].as_str().unwrap_or_default().to_owned())
            .collect();
        let told: Vec<&str> = heard.iter().map(|(state, _)| state.as_str()).collect();
        ensure!(
            states == told,
            "the trail has {states:?}, the centre was told {told:?}: {shown}"
        );
        Ok(())
    }
}
