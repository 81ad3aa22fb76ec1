//! The demonstration behind `scripts/run`: a box under real firmware between two instruments and a hospital.
//!
//! Its claim, which `--check` turns into an exit code: every report the box acknowledged reaches the service centre
//! exactly once, although the uplink was unplugged and the machine lost its power with reports on board.

mod parts;
mod voice;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rap_image::staging::{Parcel, stage};
use rap_qemu::console::Line;
use rap_qemu::lab::{self, Lab};
use rap_qemu::machine::{Card, Machine};

use crate::bench::boot::STAGES;
use parts::{Centre, Ledger, Report};
pub use parts::{KEYS, program};
use voice::Voice;

/// The site of the demonstration: two ports, two instruments with the same fixed address.
pub const SITE: &str = include_str!("demo/site.toml");
/// Power-on to ready takes 15 s or so under software emulation on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(180);
/// From the post to the centre's book.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(120);
/// Reports an instrument posts in each round.
const REPORTS: usize = 5;

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
    lab: Lab,
    machine: Machine,
    centre: Centre,
    ledger: Ledger,
    _disk: tempfile::TempDir,
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
    scene.voice.done(&format!(
        "{} reports acknowledged, {} at the service centre, each exactly once",
        scene.ledger.acknowledged(),
        scene.ledger.acknowledged()
    ));
    if options.check {
        return Ok(());
    }
    loop {
        scene.delivers()?;
        std::thread::sleep(Duration::from_secs(5));
    }
}

impl Scene {
    fn set(options: &Options) -> anyhow::Result<Self> {
        let parcel = Parcel::new(SITE, &options.keys)?;
        let voice = Voice::new();
        voice.step("a lab: a hospital's network, a service centre, two instruments");
        let lab = Lab::new(2)?;
        let centre = Centre::start(&lab, &options.keys)?;
        voice.fact(&format!(
            "service centre at https://{}, clients need a certificate",
            lab::CENTRE
        ));
        for number in 1..=lab.instruments.len() {
            voice.fact(&format!(
                "instrument {number} at {} on port {number}",
                lab::INSTRUMENT
            ));
        }
        let mut staged = stage(&options.image, Some(&parcel))?;
        staged.options.cables = lab.cables();
        voice.fact(&format!(
            "a box: q35, OVMF, {}, disk with a volatile cache",
            staged.options.accelerator.name()
        ));
        let machine = Machine::new(staged.options)?;
        machine.console().listen(voice.console(options.verbose));
        let ledger = Ledger::new(&options.keys)?;
        Ok(Self {
            voice,
            lab,
            machine,
            centre,
            ledger,
            _disk: staged.place,
        })
    }

    fn boots(&mut self) -> anyhow::Result<()> {
        self.voice.step("power on (about 15 s under software emulation)");
        self.machine.power_on()?;
        for (stage, words) in STAGES {
            let Line { at, cpu, .. } = self.machine.wait_for(words, BOOT_PATIENCE)?;
            let (at, cpu) = (at.as_secs_f64(), cpu.as_secs_f64());
            self.voice.fact(&format!(
                "{stage:<7} after {at:5.1} s ({cpu:5.1} s of processor time)"
            ));
        }
        Ok(())
    }

    fn delivers(&mut self) -> anyhow::Result<()> {
        self.voice
            .step("each instrument posts reports; they arrive at the service centre");
        self.post()?;
        self.await_delivery()
    }

    fn survives_a_power_cut(&mut self) -> anyhow::Result<()> {
        self.voice
            .step("the uplink is unplugged, reports are posted, and the power goes");
        self.machine.pull_cable(Card::Uplink)?;
        self.post()?;
        let lost = self.machine.disk().unflushed();
        self.machine.power_cut()?;
        self.voice.fact(&format!(
            "power cut; {} KiB in the disk's cache were lost with it",
            lost / 1024
        ));
        ensure!(
            !self.missing()?.is_empty(),
            "the reports reached the centre although the uplink was unplugged: the demonstration proves nothing"
        );
        self.boots()?;
        self.await_delivery()
    }

    /// Every instrument posts; what was acknowledged goes into the ledger.
    fn post(&mut self) -> anyhow::Result<()> {
        for number in 1..=self.lab.instruments.len() {
            let taken = self.ledger.post(self.lab.instrument(number), number, REPORTS)?;
            self.voice
                .fact(&format!("instrument {number}: {taken} reports acknowledged"));
            ensure!(
                taken == REPORTS,
                "the box acknowledged {taken} of instrument {number}'s {REPORTS} reports; its console's last lines:\n{}",
                self.machine.console().tail(40)
            );
        }
        Ok(())
    }

    /// Waits until the centre has every acknowledged report, then checks that it has none twice.
    fn await_delivery(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let missing = self.missing()?;
            if missing.is_empty() {
                break;
            }
            if begun.elapsed() > DELIVERY_PATIENCE {
                let what = format!(
                    "{} acknowledged reports, such as {}",
                    missing.len(),
                    missing[0].id
                );
                return Err(self.machine.console().in_vain(what, DELIVERY_PATIENCE).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let book = self.centre.book()?;
        let twice = twice(&book);
        ensure!(
            twice.is_empty(),
            "the service centre has these reports more than once: {twice:?}"
        );
        self.voice.fact(&format!(
            "all {} acknowledged reports are at the service centre",
            self.ledger.acknowledged()
        ));
        Ok(())
    }

    fn missing(&self) -> anyhow::Result<Vec<Report>> {
        Ok(self.ledger.not_in(&self.centre.book()?))
    }
}

/// Reports that are in the book more than once.
fn twice(book: &[Report]) -> Vec<&Report> {
    let mut count = BTreeMap::new();
    for report in book {
        *count.entry(report).or_insert(0) += 1;
    }
    count
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(report, _)| report)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_site_is_valid_and_names_the_labs_cards_and_addresses() {
        let site =
            rap_core::site::Site::parse(SITE, Path::new("site.toml")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(site.uplink.nic.to_string(), lab::UPLINK_NIC);
        assert_eq!(site.centre.port, lab::CENTRE.port());
        for (number, port) in (1..).zip(&site.ports) {
            assert_eq!(port.nic.to_string(), lab::port_nic(number));
            assert_eq!(
                (port.instrument, port.address.addr()),
                (lab::INSTRUMENT, lab::GATEWAY)
            );
        }
    }

    #[test]
    fn a_report_in_the_book_twice_is_found() {
        let report = |id: &str| Report {
            source: "port1".to_owned(),
            id: id.to_owned(),
        };
        let book = [report("a"), report("b"), report("a")];
        assert_eq!(twice(&book), [&report("a")]);
    }
}
