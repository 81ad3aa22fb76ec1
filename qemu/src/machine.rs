//! One box: q35, UEFI firmware, a disk that forgets, network cards at fixed addresses, a hardware watchdog.
//!
//! ```text
//! 00:03.0 i6300esb watchdog (fires: reset)      00:10.0 uplink
//! 00:04.0 virtio disk                           00:11.0 … 00:1e.0 instrument ports 1 … 14
//! 00:05.0 virtio random numbers                 COM1 console, COM2 debug shell
//! 00:06.0 a stick, where one is plugged in
//! ```
//!
//! Invariants: cards and disk keep their PCI addresses whatever else is plugged in; firmware variables live in the
//! machine's own directory and survive power cuts, as flash does; the machine dies with this process.

mod arguments;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::accelerator::Accelerator;
use crate::console::{Console, Mark};
use crate::disk::{Disk, Survivors};
use crate::firmware::Firmware;
use crate::lab::Cable;
use crate::process::{Running, cpu_time, spawn};
use crate::qmp::Qmp;
use crate::{Error, Result};

/// What a machine is made of.
#[derive(Debug)]
pub struct Options {
    /// Its firmware.
    pub firmware: Firmware,
    /// What runs it.
    pub accelerator: Accelerator,
    /// Its disk.
    pub disk: Disk,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub processors: u8,
    /// Whether its firmware knows Secure Boot.
    pub secure_boot: bool,
    /// Whether the firmware may boot from the uplink when the disk does not.
    pub network_boot: bool,
    /// Its cards' cables: the uplink first, then the instrument ports from 1. At most 15.
    pub cables: Vec<Arc<Cable>>,
}

impl Options {
    /// A small box: 1 GiB, one processor (a second one costs software emulation more than it brings), no cables.
    #[must_use]
    pub fn new(firmware: Firmware, accelerator: Accelerator, disk: Disk) -> Self {
        Self {
            firmware,
            accelerator,
            disk,
            memory_mib: 1024,
            processors: 1,
            secure_boot: false,
            network_boot: false,
            cables: Vec::new(),
        }
    }
}

/// A card of the machine, and the cable in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// The card to the hospital.
    Uplink,
    /// The card to instrument N, from 1.
    Port(usize),
}

impl Card {
    /// Its place in [`Options::cables`].
    fn index(self) -> usize {
        match self {
            Self::Uplink => 0,
            Self::Port(number) => number,
        }
    }
}

/// A box with its power button, reset button and cables.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    /// What is plugged in beside the disk.
    stick: Option<PathBuf>,
    console: Console,
    place: tempfile::TempDir,
    power: Option<Power>,
}

/// What exists only while the machine is on.
#[derive(Debug)]
struct Power {
    qemu: Running,
    qmp: Qmp,
    debug: UnixStream,
}

impl Machine {
    /// Puts the machine together; it is off.
    ///
    /// # Errors
    /// When the firmware's variables cannot be copied or there are too many cables.
    pub fn new(options: Options) -> Result<Self> {
        if options.cables.len() > arguments::CARDS {
            return Err(Error::Setting(format!(
                "{} network cards asked for; the machine has slots for {}",
                options.cables.len(),
                arguments::CARDS
            )));
        }
        if options.secure_boot && options.firmware.secure_code.is_none() {
            let beside = options.firmware.code.with_extension("secboot.fd");
            return Err(Error::Setting(format!(
                "no firmware that knows Secure Boot: {} is missing",
                beside.display()
            )));
        }
        let failed = |source| Error::File {
            verb: "copy",
            path: options.firmware.vars.clone(),
            source,
        };
        let place = tempfile::Builder::new()
            .prefix("rap-machine-")
            .tempdir()
            .map_err(failed)?;
        fs::copy(&options.firmware.vars, place.path().join(arguments::VARS)).map_err(failed)?;
        Ok(Self {
            options,
            stick: None,
            console: Console::default(),
            place,
            power: None,
        })
    }

    /// Plugs in a stick that has the file `path` on it, as it is; it can be read only. It is there from the next power-on.
    pub fn plug_stick(&mut self, path: &Path) {
        self.stick = Some(path.to_owned());
    }

    /// Presses the power button. The console's times count from here.
    ///
    /// # Errors
    /// When QEMU cannot be started or does not answer; its words are in the error.
    pub fn power_on(&mut self) -> Result<()> {
        if self.power.is_some() {
            return Err(Error::Setting("the machine is on already".to_owned()));
        }
        let pair = || UnixStream::pair().map_err(|e| Error::Network("make a socket pair", e));
        let ((console, console_end), (debug, debug_end), (qmp, qmp_end)) = (pair()?, pair()?, pair()?);
        let mut plugs = arguments::Plugs {
            console: console_end.into(),
            debug: debug_end.into(),
            qmp: qmp_end.into(),
            disk: self.options.disk.connect()?,
            stick: self.stick.clone(),
            cables: Vec::new(),
        };
        for cable in &self.options.cables {
            plugs.cables.push(cable.plug()?);
        }
        let mut command = arguments::command(&self.options, self.place.path(), &plugs);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(command, None, plugs.into_descriptors())?;
        self.console.begin_boot(child.id());
        if let Some(stderr) = child.stderr.take() {
            self.console.attach(stderr, "qemu: ");
        }
        self.console.attach(console, "");
        let qemu = Running(child);
        let started = Qmp::connect(qmp);
        match started {
            Ok(qmp) => self.power = Some(Power { qemu, qmp, debug }),
            Err(error) => {
                log::debug!("{error}");
                drop(qemu);
                self.options.disk.power_cut(Survivors::None)?;
                return Err(Error::Ended {
                    what: "QEMU to start".to_owned(),
                    tail: self.last_words(),
                });
            }
        }
        Ok(())
    }

    /// Pulls the mains: the machine stops between two instructions, and its disk forgets all that was not flushed.
    ///
    /// # Errors
    /// When the disk's file cannot be written.
    pub fn power_cut(&mut self) -> Result<()> {
        self.power_cut_sparing(Survivors::None)
    }

    /// As [`Self::power_cut`], but some unflushed sectors reach the platters.
    ///
    /// # Errors
    /// As [`Self::power_cut`].
    pub fn power_cut_sparing(&mut self, survivors: Survivors) -> Result<()> {
        self.stop();
        self.options.disk.power_cut(survivors)
    }

    /// Presses the reset button: the disk keeps its cache, the console begins a new boot.
    ///
    /// # Errors
    /// When the machine is off or QEMU does not answer.
    pub fn reset(&mut self) -> Result<()> {
        let power = self.power.as_mut().ok_or(Error::Off("reset"))?;
        let process = power.qemu.0.id();
        power.qmp.execute("system_reset", json!({}))?;
        self.console.begin_boot(process);
        Ok(())
    }

    /// Pulls the cable: both ends lose their carrier.
    ///
    /// # Errors
    /// When the machine is off or has no such card.
    pub fn pull_cable(&mut self, card: Card) -> Result<()> {
        self.set_link(card, false)
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// When the machine is off or has no such card.
    pub fn plug_cable(&mut self, card: Card) -> Result<()> {
        self.set_link(card, true)
    }

    fn set_link(&mut self, card: Card, up: bool) -> Result<()> {
        let index = card.index();
        let cable = self.options.cables.get(index).cloned();
        let cable = cable.ok_or_else(|| Error::Setting(format!("the machine has no card {card:?}")))?;
        let power = self.power.as_mut().ok_or(Error::Off("move a cable"))?;
        power
            .qmp
            .execute("set_link", json!({ "name": arguments::card_id(index), "up": up }))?;
        cable.set_carrier(up)
    }

    /// QEMU's run state, e.g. `running` or `internal-error`.
    ///
    /// # Errors
    /// When the machine is off or QEMU does not answer.
    pub fn status(&mut self) -> Result<String> {
        let power = self.power.as_mut().ok_or(Error::Off("ask"))?;
        let answer = power.qmp.execute("query-status", json!({}))?;
        Ok(answer["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Waits until the guest has switched the machine off itself.
    ///
    /// # Errors
    /// [`Error::Waited`] with the console when it does not.
    pub fn wait_off(&mut self, deadline: Duration) -> Result<()> {
        let begun = Instant::now();
        while let Some(power) = &mut self.power {
            if matches!(power.qemu.0.try_wait(), Ok(Some(_))) {
                self.stop();
                return self.options.disk.settle();
            }
            if begun.elapsed() >= deadline {
                return Err(self.console.in_vain("the machine to switch itself off", deadline));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether QEMU runs.
    pub fn is_on(&mut self) -> bool {
        self.power
            .as_mut()
            .is_some_and(|power| matches!(power.qemu.0.try_wait(), Ok(None)))
    }

    /// Processor time QEMU has used since power-on, in steps of 10 ms; `None` when off.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        cpu_time(self.power.as_ref()?.qemu.0.id())
    }

    /// What the machine says. Stays the same over power cuts.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Waits on the console; see [`Console::wait_for`].
    ///
    /// # Errors
    /// As there.
    pub fn wait_for(&self, text: &str, deadline: Duration) -> Result<crate::console::Line> {
        self.console.wait_for(text, deadline)
    }

    /// A place on the console to wait from; see [`Console::wait_for_since`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.console.mark()
    }

    /// The second serial port, where a debug image has its shell.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn debug_serial(&self) -> Result<UnixStream> {
        let power = self.power.as_ref().ok_or(Error::Off("open the debug port"))?;
        power
            .debug
            .try_clone()
            .map_err(|e| Error::Network("copy a descriptor", e))
    }

    /// The disk, which holds what was flushed when the machine is off.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.options.disk
    }

    /// The machine's own files: firmware variables.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.path()
    }

    /// QEMU's last words, once its streams have ended.
    fn last_words(&self) -> String {
        // A text that never comes: the wait ends when QEMU's streams do.
        let _ = self.console.wait_for("\u{0}", Duration::from_secs(2));
        self.console.tail(10)
    }

    fn stop(&mut self) {
        self.power = None;
        for cable in &self.options.cables {
            if let Err(error) = cable.set_carrier(false) {
                log::warn!("a cable keeps its carrier: {error}");
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
