//! The story of a remote session on the booted box: a signed request, a person at the instrument with a real browser, a real
//! OpenVPN server, and an engineer who sees the screen and moves files; then a no, and nothing is left.
//!
//! A test tells it over the plain way out, `scripts/soak remote` through proxies, over a slow line, and to each of its ends;
//! the demonstration shows it step by step.

mod cast;
mod ends;
pub mod office;
mod person;
pub mod services;

#[path = "../../../rap-core/tests/session_lab/keys.rs"]
#[allow(
    clippy::unwrap_used,
    reason = "the keys of rap-core's own tests; without them there is nothing to try"
)]
mod keys;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::lab::{CENTRE_NAME, PROXY, ROUTER};

pub use self::cast::{ASKS, Cast};
pub use self::ends::ends;
pub use self::office::PIN;
use crate::directing::Director;
use crate::proxy::{self, Kind, Proxy};
use crate::releases::{PROGRAMS, Workshop};
use crate::system::{SITE, Setup, System};

/// The box's name in [`SITE`].
pub const NAME: &str = "rap-demo";
/// How long a session may last at most, and in silence, in seconds: longer than any story.
pub const LONG: (u64, u64) = (1800, 600);
/// An alert is at the service centre within this, whatever the engineer does.
const ALERT: Duration = Duration::from_secs(5);

/// The way of a session to the service centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing in between.
    Direct,
    /// The hospital's proxy, with user and password.
    Proxy(Kind),
    /// A line of 128 kbit/s and 400 ms there and back, of which the tunnel may have half.
    Slow,
}

/// How long things took.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the yes until the engineer is connected.
    pub connect: Duration,
    /// A picture of the screen.
    pub picture: Duration,
    /// Files to and fro.
    pub files: Duration,
    /// The slowest of the alerts while the engineer watched.
    pub alert: Duration,
    /// From the answer to the no until nothing came any more; zero when it was before.
    pub dead: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [self.connect, self.picture, self.files, self.alert, self.dead];
        let [connect, picture, files, alert, dead] = all.map(|time| time.as_secs_f64());
        write!(
            f,
            "connected {connect:.1} s after the yes, a picture of the screen in {picture:.1} s, 32 KiB to and fro in \
             {files:.1} s, alerts beside it in {alert:.1} s at most, dead {dead:.2} s after the no"
        )
    }
}

/// A site whose two instruments may be seen, through a tunnel to this host, with `more` lines of `[sessions]` and after it.
#[must_use]
pub fn site(tunnel: &str, more: &str) -> String {
    let instrument = "instrument = \"192.168.1.50\"";
    let remote = format!(
        "{instrument}\nremote = [\"tcp/{}\", \"tcp/{}\"]",
        services::SCREEN,
        services::FILES
    );
    format!(
        "{}\n[sessions]\nprefix = \"{}\"\ntunnel = \"{tunnel}:{}\"\nrequire-pin = true\n{more}",
        SITE.replace(instrument, &remote),
        office::PREFIX,
        office::PORT
    )
}

/// What is missing here for a story, if anything is.
#[must_use]
pub fn lacks() -> Option<String> {
    let programs = services::PROGRAMS
        .iter()
        .chain([&office::OPENVPN, &"/dev/net/tun"]);
    let missing = programs.filter(|path| !Path::new(path).exists());
    let mut missing: Vec<_> = missing.map(|path| (*path).to_owned()).collect();
    if !crate::browser::is_there() {
        missing.push("chromium and chromium-driver".to_owned());
    }
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Tells the whole story with the image of `setup`, which has the debug shell.
///
/// # Errors
/// With the console when anything is otherwise.
pub fn tell(setup: &Setup, way: Way) -> anyhow::Result<Times> {
    let Way::Proxy(kind) = way else {
        let limit = if way == Way::Slow {
            "rate-limit = \"64 kbit/s\"\n"
        } else {
            ""
        };
        let (mut story, ()) = Story::begin(setup, site("10.9.0.10", limit), None, |_| Ok(()))?;
        if way == Way::Slow {
            story.system.slow_uplink(128_000, Duration::from_millis(200))?;
        }
        return story.tell(Story::whole);
    };
    // Reports go past it, so that the story is about the tunnel.
    let more = format!(
        "[[proxy]]\nname = \"hospital\"\nurl = \"{}\"\nuser = \"{}\"\n[egress]\ndefault = \"direct\"\n\
         [[egress.rule]]\nto = \"{CENTRE_NAME}\"\nvia = \"hospital\"\n",
        kind.url(PROXY),
        proxy::USER
    );
    let around = |system: &System| {
        let host = system.lab.join("proxy", PROXY)?;
        let setup = proxy::Setup {
            address: PROXY,
            out: "eth0",
            resolver: ROUTER,
            users: true,
            allowed: office::PORT,
        };
        let proxy = Proxy::start(kind, &host, &setup)?;
        Ok((proxy, host))
    };
    let site = site(CENTRE_NAME, &more);
    let (mut story, _proxy) = Story::begin(setup, site, Some(proxy::PASSWORD), around)?;
    story.tell(Story::whole)
}

/// A box that is up, and everybody around it.
#[derive(Debug)]
struct Story {
    /// Ends first: its people are on the system's hosts.
    cast: Cast,
    system: System,
}

impl Story {
    /// Begins with the image of `setup` and this `site`; `around` is called before the box is switched on.
    ///
    /// # Errors
    /// When the system cannot be built, or does not come up.
    fn begin<T>(
        setup: &Setup,
        site: String,
        password: Option<&str>,
        around: impl FnOnce(&System) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let workshop = Workshop::new(&setup.image, &setup.keys)?;
        let mut setup = setup.clone();
        if std::env::var_os(PROGRAMS).is_some() {
            // With what was just compiled.
            setup.image = workshop.make("0.0.0", &[])?;
            workshop.flash(&setup.image)?;
        }
        let director = Director::new(&setup.identity, NAME)?;
        let identity = director.keys().identity();
        if let Some(password) = password {
            std::fs::write(identity.join("proxy-hospital.password"), format!("{password}\n"))?;
        }
        let mut system = System::new(&Setup {
            site,
            identity,
            ..setup
        })?;
        let around = around(&system)?;
        let cast = Cast::enter(director, &system)?;
        system.boot()?;
        Ok((Self { cast, system }, around))
    }

    /// Tells a part of it. Every step that is otherwise ends it.
    fn tell<T>(&mut self, part: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let told = part(self);
        told.with_context(|| format!("the console's end:\n{}", self.system.machine.console().tail(40)))
    }

    fn whole(&mut self) -> anyhow::Result<Times> {
        let Self { cast, system } = self;
        cast.person.sees("Nobody asks to see this instrument")?;
        cast.nothing_is_reached()?;
        cast.asks(system, LONG.0, LONG.1)?;
        // By itself: nobody touches it.
        cast.person.sees(ASKS)?;
        cast.other_port_is_not_told(system)?;
        cast.nothing_is_reached()?;
        cast.person.says("0000", "once")?;
        cast.person
            .sees("the PIN is wrong; after 4 more the port is locked")?;
        cast.nothing_is_reached()?;

        let said = Instant::now();
        cast.person.says(PIN, "once")?;
        cast.person.sees("is connected to this instrument")?;
        let connect = said.elapsed();
        let picture = cast.looks()?;
        let files = cast.transfers(32 * 1024)?;
        cast.nothing_else_is_reached(system)?;

        let watched = cast.watches()?;
        let alert = cast.alerts(system)?;
        ensure!(alert < ALERT, "an alert took {alert:?} beside a session");
        cast.person.says_no()?;
        let dead = watched.dies(Instant::now())?;
        cast.person.sees("withdrawn by somebody at port1")?;
        cast.nothing_is_reached()?;
        let heard = cast.centre_heard(system)?;
        let states: Vec<&str> = heard.iter().map(|(state, _)| state.as_str()).collect();
        ensure!(
            states == ["asked", "consented", "open", "ending", "ended"],
            "the centre heard {heard:?}"
        );
        cast.trail_agrees(system, &heard)?;
        Ok(Times {
            connect,
            picture,
            files,
            alert,
            dead,
        })
    }
}

/// Runs OpenVPN to make a key.
fn openvpn(arguments: &[&str], file: &Path) {
    let output = Command::new(office::OPENVPN).args(arguments).arg(file).output();
    // What is not made is missed where it is read.
    if let Ok(output) = output
        && !output.status.success()
    {
        log::error!("openvpn: {}", String::from_utf8_lossy(&output.stdout));
    }
}
