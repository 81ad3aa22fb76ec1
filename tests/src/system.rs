//! A whole system: the image that is flashed, booted between real instruments' hosts, a hospital and a service centre.
//!
//! The demonstration, the measurements and the whole-system tests all stand on [`System`], so that what a stranger is
//! shown is what is tested. Invariant: everything ends with the value; no test shares a machine with another.

mod agent;
mod centre;
mod line;
mod repository;
mod seat;
mod shell;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rap_image::parcel::Parcel;
use rap_image::staging::{DISK, IMAGE, stage};
use rap_qemu::lab::{Lab, Layout};
use rap_qemu::machine::Machine;

pub use agent::Agents;
pub use centre::Centre;
pub use repository::{PORT as REPOSITORY_PORT, Repository, Served};
use seat::Seat;

/// Where the development keys are, from the workspace's root.
pub const KEYS: &str = "keys/dev";
/// Two ports, and on each an instrument with the same fixed address; the uplink by DHCP.
pub const SITE: &str = include_str!("system/site.toml");
/// How long power-on to ready may take: about 15 s under software emulation on an idle machine.
pub const BOOT: Duration = Duration::from_secs(240);
/// How long the way of an acknowledged report to the centre may take.
pub const DELIVERY: Duration = Duration::from_secs(180);
/// The last line of a boot.
pub const READY: &str = "rap init: ready";

/// What a system is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The directory `rap-image build` wrote.
    pub image: PathBuf,
    /// The box's site.
    pub site: String,
    /// Whether the box is given site and identity at all.
    pub provisioned: bool,
    /// Whether its firmware knows Secure Boot, and the box is given the keys for it.
    pub secure_boot: bool,
    /// The box's memory, in MiB.
    pub memory_mib: u32,
    /// How many instruments' hosts there are; port N of the site is instrument N's.
    pub instruments: usize,
    /// What the hospital's network is like.
    pub layout: Layout,
    /// The directory with the box's identity.
    pub identity: PathBuf,
    /// The directory with the service centre's keys, and the authority the agents trust.
    pub keys: PathBuf,
}

impl Setup {
    /// The quick start's image and keys below `root`, the workspace's, with [`SITE`].
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            image: root.join(IMAGE),
            site: SITE.to_owned(),
            provisioned: true,
            secure_boot: false,
            memory_mib: 1024,
            instruments: 2,
            layout: Layout::default(),
            identity: root.join(KEYS),
            keys: root.join(KEYS),
        }
    }
}

/// The system. Its machine is off at first.
#[derive(Debug)]
pub struct System {
    /// The world around the box.
    pub lab: Lab,
    /// The box.
    pub machine: Machine,
    /// The service centre.
    pub centre: Centre,
    /// What the instruments post and were promised.
    pub agents: Agents,
    disk: tempfile::TempDir,
    /// Given back last, when the machine is off.
    _seat: Seat,
}

impl System {
    /// Builds the lab, starts the service centre in it, and puts a machine with a copy of the image between them.
    /// Waits while two other systems of this process are there.
    ///
    /// # Errors
    /// When a program, a right, the image or a key is missing; each says what to do.
    pub fn new(setup: &Setup) -> anyhow::Result<Self> {
        let seat = Seat::take();
        let lab = Lab::laid_out(setup.instruments, setup.layout)?;
        let centre = Centre::start(&lab, &setup.keys)?;
        let mut parcel = Parcel::new(&setup.site, &setup.identity)?;
        if setup.secure_boot {
            parcel = parcel.with_secure_boot(&setup.keys)?;
        }
        let mut staged = stage(&setup.image, setup.provisioned.then_some(&parcel))?;
        staged.options.secure_boot = setup.secure_boot;
        staged.options.memory_mib = setup.memory_mib;
        staged.options.cables = lab.cables();
        let machine = Machine::new(staged.options)?;
        let agents = Agents::new(&setup.keys)?;
        Ok(Self {
            lab,
            machine,
            centre,
            agents,
            disk: staged.place,
            _seat: seat,
        })
    }

    /// The file that is the machine's disk; to be changed only while the machine is off.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.disk.path().join(DISK)
    }

    /// Switches the machine on and waits until all services are ready.
    ///
    /// # Errors
    /// With the console when it does not get there.
    pub fn boot(&mut self) -> anyhow::Result<()> {
        self.machine.power_on()?;
        self.machine.wait_for(READY, BOOT)?;
        Ok(())
    }

    /// Waits until the centre has every acknowledged report, then checks that it has each once and that no order is
    /// broken. Returns how many there are.
    ///
    /// # Errors
    /// With the console when reports are missing after [`DELIVERY`]; with the reports that came twice or out of order.
    pub fn expect_delivered(&self) -> anyhow::Result<usize> {
        let promised = self.agents.acknowledged()?;
        let arrived = self.centre.wait_for(&promised, DELIVERY);
        arrived.with_context(|| format!("the console's end:\n{}", self.machine.console().tail(40)))?;
        let (twice, disorder) = self.centre.mistakes()?;
        ensure!(
            twice.is_empty(),
            "the service centre counts these reports more than once: {twice:?}"
        );
        ensure!(disorder.is_empty(), "reports arrived out of order: {disorder:?}");
        Ok(promised.len())
    }
}

/// A program of this workspace, beside the running one or, for a test, one folder up.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let running = std::env::current_exe()?;
    let beside = running.with_file_name(name);
    let above = running
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join(name));
    let found = [Some(beside.clone()), above]
        .into_iter()
        .flatten()
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{} is missing; build the whole workspace: cargo build",
            beside.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use rap_core::site::Site;
    use rap_qemu::lab;

    use super::*;

    #[test]
    fn the_site_is_valid_and_names_the_labs_cards_and_addresses() {
        let site = Site::parse(SITE, Path::new("site.toml")).unwrap_or_else(|e| panic!("{e}"));
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
}
