//! The demonstration behind `scripts/run`: a box under real firmware between two instruments and a hospital.
//!
//! Its claims, which `--check` turns into an exit code: every report the box acknowledged reaches the service centre
//! exactly once, although the uplink was unplugged and the machine lost its power with reports on board; and an engineer
//! reaches an instrument while the person there wants it, that instrument only, and not a second longer.

mod voice;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::console::Line;
use rap_qemu::lab;
use rap_qemu::machine::Card;

use crate::bench::boot::STAGES;
use crate::directing::Director;
use crate::remote::{self, ASKS, Cast, LONG, NAME, PIN};
use crate::system::{BOOT, Setup, System};
use voice::Voice;

/// Reports an instrument posts in each round.
const REPORTS: u64 = 5;

/// What the demonstration is given.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory `rap-image build` wrote.
    pub image: PathBuf,
    /// The development keys.
    pub keys: PathBuf,
    /// End after the story instead of going on until Ctrl-C.
    pub check: bool,
    /// Show every line of the console, not only the box's own.
    pub verbose: bool,
}

/// The stage, with everybody on it.
struct Scene {
    voice: Voice,
    system: System,
    /// The service centre's desk, where everything is there for a remote session.
    director: Option<Director>,
}

/// Tells the story once; without `check` goes on posting until Ctrl-C.
///
/// # Errors
/// When a part cannot be started, a wait was in vain (the console is in the error), or the claim does not hold.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut scene = Scene::set(options)?;
    scene.boots()?;
    scene.delivers()?;
    scene.survives_a_power_cut()?;
    scene.opens_an_instrument()?;
    let reports = scene.system.agents.acknowledged()?.len();
    scene.voice.done(&format!(
        "{reports} reports acknowledged, {reports} at the service centre, each exactly once"
    ));
    if options.check {
        return Ok(());
    }
    scene.voice.alone();
    loop {
        scene.delivers()?;
        std::thread::sleep(Duration::from_secs(5));
    }
}

impl Scene {
    fn set(options: &Options) -> anyhow::Result<Self> {
        let voice = Voice::new(!options.check);
        voice.step("a lab: a hospital's network, a service centre, two instruments")?;
        let mut setup = Setup {
            image: options.image.clone(),
            identity: options.keys.clone(),
            keys: options.keys.clone(),
            ..Setup::below(&PathBuf::new())
        };
        let director = match remote::lacks() {
            None => Some(Director::new(&options.keys, NAME)?),
            Some(lacks) => {
                ensure!(
                    std::env::var_os("CI").is_none(),
                    "the remote session needs {lacks}"
                );
                voice.fact(&format!(
                    "no remote session, which needs {lacks} (scripts/run --session)"
                ));
                None
            }
        };
        if let Some(director) = &director {
            setup.identity = director.keys().identity();
            setup.site = remote::site("10.9.0.10", "");
        }
        let system = System::new(&setup)?;
        voice.fact(&format!(
            "service centre at https://{}, clients need a certificate",
            lab::CENTRE
        ));
        for number in 1..=setup.instruments {
            voice.fact(&format!(
                "instrument {number} at {} on port {number}",
                lab::INSTRUMENT
            ));
        }
        voice.fact("a box: q35, OVMF, a hardware watchdog, a disk with a volatile cache");
        system.machine.console().listen(voice.console(options.verbose));
        Ok(Self {
            voice,
            system,
            director,
        })
    }

    fn boots(&mut self) -> anyhow::Result<()> {
        self.voice
            .step("power on (about 15 s under software emulation)")?;
        self.system.machine.power_on()?;
        for (stage, words) in STAGES {
            let Line { at, cpu, .. } = self.system.machine.wait_for(words, BOOT)?;
            let (at, cpu) = (at.as_secs_f64(), cpu.as_secs_f64());
            self.voice.fact(&format!(
                "{stage:<7} after {at:5.1} s ({cpu:5.1} s of processor time)"
            ));
        }
        Ok(())
    }

    fn delivers(&mut self) -> anyhow::Result<()> {
        self.voice
            .step("each instrument posts reports; they arrive at the service centre")?;
        self.post()?;
        self.expect_delivered()
    }

    fn survives_a_power_cut(&mut self) -> anyhow::Result<()> {
        self.voice
            .step("the uplink is unplugged, reports are posted, and the power goes")?;
        self.system.machine.pull_cable(Card::Uplink)?;
        self.post()?;
        let lost = self.system.machine.disk().unflushed();
        self.system.machine.power_cut()?;
        self.voice.fact(&format!(
            "power cut; {} KiB in the disk's cache were lost with it",
            lost / 1024
        ));
        let promised = self.system.agents.acknowledged()?;
        ensure!(
            !self.system.centre.missing(&promised)?.is_empty(),
            "the reports reached the centre although the uplink was unplugged: the demonstration proves nothing"
        );
        self.boots()?;
        self.expect_delivered()
    }

    /// A remote session, from the request to the no.
    fn opens_an_instrument(&mut self) -> anyhow::Result<()> {
        let Some(director) = self.director.take() else {
            return Ok(());
        };
        let (voice, system) = (&self.voice, &self.system);
        voice.step("a vendor's engineer asks to see instrument 1")?;
        let mut cast = Cast::enter(director, system)?;
        cast.person.sees("Nobody asks to see this instrument")?;
        cast.asks(system, LONG.0, LONG.1)?;
        cast.person.sees(ASKS)?;
        voice.fact("the page at instrument 1 says who asks, for what and for how long");
        cast.other_port_is_not_told(system)?;
        cast.nothing_is_reached()?;
        voice.fact("instrument 2 sees nothing of it; nothing can be reached");

        voice.step("the person there says yes, with the PIN")?;
        let said = Instant::now();
        cast.person.says(PIN, "once")?;
        cast.person.sees("is connected to this instrument")?;
        voice.fact(&format!(
            "OpenVPN is up and two ports are open after {:.1} s",
            said.elapsed().as_secs_f64()
        ));
        cast.looks()?;
        cast.transfers(32 * 1024)?;
        voice.fact("the engineer sees the screen by VNC and moves a file by SFTP");
        cast.nothing_else_is_reached(system)?;
        voice.fact("and reaches no other port, no other instrument, not the box, not the hospital");

        voice.step("the person ends it")?;
        let watched = cast.watches()?;
        cast.person.says_no()?;
        let dead = watched.dies(Instant::now())?;
        voice.fact(&format!(
            "the picture stands still {:.2} s later",
            dead.as_secs_f64()
        ));
        cast.person.sees("withdrawn by somebody at port1")?;
        cast.nothing_is_reached()?;
        let heard = cast.centre_heard(system)?;
        let states: Vec<&str> = heard.iter().map(|(state, _)| state.as_str()).collect();
        voice.fact(&format!("the service centre was told: {}", states.join(", ")));
        Ok(())
    }

    /// Every instrument posts.
    fn post(&mut self) -> anyhow::Result<()> {
        for number in 1..=self.system.lab.instruments.len() {
            let taken = self.system.agents.post(&self.system.lab, number, REPORTS);
            let console = || format!("the console's end:\n{}", self.system.machine.console().tail(40));
            let taken = taken.with_context(console)?;
            self.voice
                .fact(&format!("instrument {number}: {taken} reports acknowledged"));
        }
        Ok(())
    }

    fn expect_delivered(&self) -> anyhow::Result<()> {
        let count = self.system.expect_delivered()?;
        self.voice.fact(&format!(
            "all {count} acknowledged reports are at the service centre, in order, once"
        ));
        Ok(())
    }
}
