//! The story of a remote session on the booted box: a signed request, a person at the instrument with a real browser, a real
//! OpenVPN server, and an engineer who sees the screen and moves files; then a no, and nothing is left.
//!
//! A test tells it over the plain way out, `scripts/soak remote` through proxies and over a slow line.

pub mod office;
pub mod services;

#[path = "../../../rap-core/tests/session_lab/keys.rs"]
#[allow(
    clippy::unwrap_used,
    reason = "the keys of rap-core's own tests; without them there is nothing to try"
)]
mod keys;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{CENTRE_NAME, GATEWAY, Host, INSTRUMENT, PROXY, ROUTER, WORKSTATION};
use serde_json::{Value, json};

use self::office::{Keys, Office, PIN, TUNNEL};
use self::services::Services;
use crate::browser::Browser;
use crate::proxy::{self, Kind, Proxy};
use crate::releases::{PROGRAMS, Workshop};
use crate::system::{SITE, Setup, System};

/// The network of service addresses.
const PREFIX: &str = "10.200.0.0/24";
/// The service addresses of the instruments at ports 1 and 2.
const SERVICE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 0, 1), Ipv4Addr::new(10, 200, 0, 3)];
/// The box in the tunnel: the server gives its only client the first address there is.
const IN_TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
/// The box's name in [`SITE`].
const NAME: &str = "rap-demo";
/// What another one's waiting may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// What nothing answers is given up after.
const SILENCE: Duration = Duration::from_millis(1500);

/// The way of a session to the service centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing in between.
    Direct,
    /// The hospital's proxy, with user and password.
    Proxy(Kind),
    /// A line of 128 kbit/s and 400 ms there and back, in an image with a debug shell.
    Slow,
}

/// Tells the whole story with the image of `setup`.
///
/// # Errors
/// With the console when anything is otherwise.
pub fn tell(setup: &Setup, way: Way) -> anyhow::Result<Times> {
    let workshop = Workshop::new(&setup.image, &setup.keys)?;
    let mut setup = setup.clone();
    if std::env::var_os(PROGRAMS).is_some() {
        // With what was just compiled.
        setup.image = workshop.make("0.0.0", &[])?;
        workshop.flash(&setup.image)?;
    }
    let setup = &setup;
    let Way::Proxy(kind) = way else {
        let (mut story, ()) = Story::begin(setup, site("10.9.0.10", ""), None, |_| Ok(()))?;
        if way == Way::Slow {
            story.system.slow_uplink(128_000, Duration::from_millis(200))?;
        }
        return story.tell();
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
    story.tell()
}

/// A site whose two instruments may be seen, through a tunnel to this host, with `more` lines at its end.
fn site(tunnel: &str, more: &str) -> String {
    let instrument = "instrument = \"192.168.1.50\"";
    let remote = format!(
        "{instrument}\nremote = [\"tcp/{}\", \"tcp/{}\"]",
        services::SCREEN,
        services::FILES
    );
    format!(
        "{}\n[sessions]\nprefix = \"{PREFIX}\"\ntunnel = \"{tunnel}:{}\"\nrequire-pin = true\n{more}",
        SITE.replace(instrument, &remote),
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
    let missing: Vec<_> = missing.map(|path| (*path).to_owned()).collect();
    if !crate::browser::is_there() {
        return Some("chromium and chromium-driver".to_owned());
    }
    (!missing.is_empty()).then(|| missing.join(", "))
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
    /// From the answer to the no until nothing came any more; zero when it was before.
    pub dead: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [connect, picture, files, dead] =
            [self.connect, self.picture, self.files, self.dead].map(|time| time.as_secs_f64());
        write!(
            f,
            "connected {connect:.1} s after the yes, a picture of the screen in {picture:.1} s, 32 KiB to and fro in \
             {files:.1} s, dead {dead:.2} s after the no"
        )
    }
}

/// A box that is up, the office, two instruments with something to see, and a browser at the first.
#[derive(Debug)]
struct Story {
    system: System,
    keys: Keys,
    office: Office,
    browser: Browser,
    number: u64,
    folder: tempfile::TempDir,
    _services: [Services; 2],
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
        let keys = Keys::new(&setup.identity)?;
        if let Some(password) = password {
            std::fs::write(
                keys.identity().join("proxy-hospital.password"),
                format!("{password}\n"),
            )?;
        }
        let mut system = System::new(&Setup {
            site,
            identity: keys.identity(),
            ..setup.clone()
        })?;
        let office = Office::open(&system.lab, &keys, PREFIX)?;
        let services = [
            Services::start(system.lab.instrument(1))?,
            Services::start(system.lab.instrument(2))?,
        ];
        let around = around(&system)?;
        system.boot()?;
        let browser = system.lab.instrument(1).run(Browser::start)??;
        let story = Self {
            system,
            keys,
            office,
            browser,
            number: 0,
            folder: tempfile::Builder::new().prefix("rap-remote-").tempdir()?,
            _services: services,
        };
        Ok((story, around))
    }

    /// The whole story. Every step that is otherwise ends it.
    ///
    /// # Errors
    /// With the console when anything is otherwise.
    fn tell(&mut self) -> anyhow::Result<Times> {
        let told = self.steps();
        told.with_context(|| format!("the console's end:\n{}", self.system.machine.console().tail(40)))
    }

    fn steps(&mut self) -> anyhow::Result<Times> {
        self.page_until("Nobody asks to see this instrument")?;
        self.nothing_is_reached()?;
        self.ask()?;
        // By itself: nobody touches it.
        self.page_until("Ada, Vendor Service asks to see this instrument")?;
        self.other_port_is_not_told()?;
        self.nothing_is_reached()?;
        self.say("0000", "once")?;
        self.page_until("the PIN is wrong; after 4 more the port is locked")?;
        self.nothing_is_reached()?;

        let said = Instant::now();
        self.say(PIN, "once")?;
        self.page_until("is connected to this instrument")?;
        let connect = said.elapsed();
        let at = SERVICE[0];
        let begun = Instant::now();
        services::look(&self.office.engineer, at, self.folder.path())?;
        let picture = begun.elapsed();
        let begun = Instant::now();
        services::transfer(&self.office.engineer, at, self.folder.path(), 32 * 1024)?;
        let files = begun.elapsed();
        self.nothing_else_is_reached()?;

        let watched = services::watch(&self.office.engineer, at)?;
        self.click("button[value=refuse]")?;
        let answered = Instant::now();
        let last = watched.join().ok().context("nobody watched")?;
        let dead = last.saturating_duration_since(answered);
        ensure!(
            dead < Duration::from_secs(1),
            "the screen was seen for {dead:?} after the no"
        );
        self.page_until("withdrawn by Bob at port1")?;
        self.nothing_is_reached()?;
        self.centre_heard(&["asked", "consented", "open", "ending", "ended"])?;
        Ok(Times {
            connect,
            picture,
            files,
            dead,
        })
    }

    /// The service centre asks for the first instrument's screen and files.
    fn ask(&mut self) -> anyhow::Result<()> {
        let docket = self.wait("the box asks for directives", |story| {
            Ok(story.system.centre.docket())
        })?;
        self.number += 1;
        let services = [services::SCREEN, services::FILES].map(|port| format!("tcp/{port}"));
        let command = json!({
            "do": "open-session", "session": format!("s-{}", self.number), "instrument": "port1", "services": services,
            "engineer": "Ada, Vendor Service", "purpose": "The pump's alarm", "seconds": 1800, "idle-seconds": 600,
            "tunnel": TUNNEL,
        });
        let envelope = self.keys.sign(NAME, &docket, self.number, &command)?;
        self.system.centre.direct(self.number, &envelope)
    }

    /// The person at the first instrument fills in the form.
    fn say(&self, pin: &str, answer: &str) -> anyhow::Result<()> {
        self.at_instrument(|browser| {
            browser.type_into("#by", "Bob")?;
            browser.type_into("#pin", pin)
        })?;
        self.click(&format!("button[value={answer}]"))
    }

    fn click(&self, button: &str) -> anyhow::Result<()> {
        self.at_instrument(|browser| browser.click(button))
    }

    /// Waits until the first instrument's page says this.
    fn page_until(&self, words: &str) -> anyhow::Result<()> {
        let page = format!("https://{GATEWAY}/remote");
        let is_there =
            self.at_instrument(|browser| Ok(browser.run("return location.pathname")? == "/remote"))?;
        if !is_there {
            self.at_instrument(|browser| browser.open(&page))?;
        }
        // It may be shown anew in the very moment it is read.
        let text = |story: &Self| story.at_instrument(|browser| browser.text("body")).ok();
        let seen = self.wait(words, |story| Ok(text(story).filter(|text| text.contains(words))));
        seen.map(drop)
            .with_context(|| format!("the page says: {}", text(self).unwrap_or_default()))
    }

    /// Nobody at the other port sees that somebody asks.
    fn other_port_is_not_told(&self) -> anyhow::Result<()> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", &format!("https://{GATEWAY}/remote")]);
        let output = self.system.lab.instrument(2).output(command)?;
        let page = String::from_utf8_lossy(&output.stdout);
        ensure!(page.contains("Nobody asks") && !page.contains("Ada"), "{page}");
        Ok(())
    }

    fn nothing_is_reached(&self) -> anyhow::Result<()> {
        for at in SERVICE {
            for port in [services::SCREEN, services::FILES] {
                self.is_closed(at, port)?;
            }
        }
        Ok(())
    }

    /// While a session is open: another instrument, another port, the box itself, the hospital.
    fn nothing_else_is_reached(&self) -> anyhow::Result<()> {
        let inside = IN_TUNNEL;
        // As an engineer would who has taken over the server.
        for to in [WORKSTATION, INSTRUMENT, GATEWAY] {
            self.system
                .lab
                .centre
                .ip(&format!("route replace {to}/32 via {inside} dev tunnels"))?;
        }
        for port in [services::SCREEN, services::FILES] {
            self.is_closed(SERVICE[1], port)?;
            self.is_closed(INSTRUMENT, port)?;
        }
        for port in [22, 80, 443, 6000, 8080, 8443] {
            self.is_closed(SERVICE[0], port)?;
        }
        for port in [22, 53, 80, 443, 3128, 8443] {
            for at in [inside, GATEWAY, WORKSTATION] {
                self.is_closed(at, port)?;
            }
        }
        for to in [WORKSTATION, INSTRUMENT, GATEWAY] {
            self.system
                .lab
                .centre
                .ip(&format!("route delete {to}/32 dev tunnels"))?;
        }
        Ok(())
    }

    fn is_closed(&self, at: Ipv4Addr, port: u16) -> anyhow::Result<()> {
        let found = self.office.engineer.try_tcp((at, port), SILENCE)?;
        ensure!(found != Verdict::Open, "the engineer reaches {at}:{port}");
        Ok(())
    }

    /// What the box told the service centre of the session, in this order.
    fn centre_heard(&self, states: &[&str]) -> anyhow::Result<()> {
        let told = |story: &Self| -> anyhow::Result<Vec<String>> {
            let events = story.system.centre.book()?.events()?.into_iter();
            let changes = events.filter(|arrival| arrival.event["type"] == "rap.session.changed");
            let state = |event: &Value| event["data"]["state"].as_str().unwrap_or_default().to_owned();
            Ok(changes.map(|arrival| state(&arrival.event)).collect())
        };
        let heard = self.wait("the centre heard of it", |story| {
            Ok(Some(told(story)?).filter(|heard| heard == states))
        });
        heard
            .map(drop)
            .with_context(|| format!("it heard {:?}", told(self)))
    }

    fn at_instrument<T: Send>(
        &self,
        work: impl FnOnce(&Browser) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let host: &Host = self.system.lab.instrument(1);
        host.run(|| work(&self.browser))?
    }

    fn wait<T>(
        &self,
        what: &str,
        condition: impl Fn(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = condition(self)? {
                return Ok(found);
            }
            if begun.elapsed() > PATIENCE {
                bail!("never within {} s: {what}", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
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
