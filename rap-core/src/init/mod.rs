//! `rap init`: process 1. Brings the box from the kernel's hands to running services, and keeps it there.
//!
//! In order: sentinel, mounts, modules with the watchdog taken over as soon as its driver is there, settings, clock
//! floor, disk, data, provision, services; an installer's work comes behind the clock, in place of the rest. Before the
//! disk is looked for every failure is fatal: it is logged, and the box restarts, which on an update's trial boot brings
//! the old slot back. From there on what fails is reported and the rest goes on.
//!
//! Invariants: no shell (but for the `debug` overlay's, on the second serial line); nothing here touches TLS; one
//! thread; decisions are in [`supervisor`], which is pure.

mod boot_entries;
mod clock;
mod consume;
mod disk;
mod durable;
mod folders;
mod harden;
mod installer;
mod made;
mod modules;
mod mounts;
mod report;
mod secure_boot;
mod services;
mod stages;
pub mod supervisor;
mod trial;
pub(crate) mod users;
mod watchdog;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::system::RebootCommand;

use crate::boot::disk::DiskError;
use crate::provision::ProvisionError;
use crate::site::Mistakes;
use crate::{paths, sys};

use supervisor::Goal;

/// What stops init, or a part of its work.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Started by somebody else than the kernel.
    #[error("rap init is process 1, started by the kernel; this is process {0}. Try rapctl")]
    NotFirst(u32),
    /// The root file system is not complete.
    #[error(
        "{} is missing: the image was not unpacked completely (too little memory?)",
        paths::SENTINEL
    )]
    Incomplete,
    /// A file system could not be mounted.
    #[error("cannot mount {what} at {}", at.display())]
    Mount {
        /// The device or kind.
        what: String,
        /// Where.
        at: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No boot disk appeared.
    #[error(
        "no disk with the partitions rap-esp, rap-a, rap-b, rap-provision, rap-data within 20 s; is its driver in {}?",
        paths::MODULES
    )]
    NoDisk,
    /// A partition's device did not appear.
    #[error("{} did not appear within 20 s", path.display())]
    NoDevice {
        /// Which.
        path: PathBuf,
    },
    /// The partition table.
    #[error("the partition table of {} is of no use", device.display())]
    Table {
        /// The disk.
        device: PathBuf,
        /// Why.
        #[source]
        source: DiskError,
    },
    /// Nobody could ever confirm this image.
    #[error("this image is on trial and has no data partition, which the one before it had")]
    TrialWithoutData(#[source] Box<InitError>),
    /// A program is not in the image.
    #[error("the program {program} is not in the image")]
    NoProgram {
        /// Which.
        program: &'static str,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed on {} with exit code {code:?}", device.display())]
    Program {
        /// Which.
        program: &'static str,
        /// On what.
        device: PathBuf,
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
    },
    /// The provision partition could not be read or wiped.
    #[error("cannot read or wipe the provision partition")]
    ProvisionIo {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The provision partition holds what it should not.
    #[error("the provision partition is refused")]
    Provision {
        /// Why.
        #[source]
        source: ProvisionError,
    },
    /// The provisioned site has mistakes.
    #[error("the provisioned site.toml is refused; the box keeps what it had")]
    ProvisionedSite {
        /// Which.
        #[source]
        source: Mistakes,
    },
    /// A user is not in the image.
    #[error("the user {name} is not in /etc/passwd")]
    NoUser {
        /// Which.
        name: String,
    },
    /// Nobody has said what a service needs.
    #[error("the service {name} has no line in rap_core::confine::table, so it is not started")]
    Unconfined {
        /// Which.
        name: String,
    },
    /// The kernel refused something basic.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The kernel's settings that the image wants, as paths below `/proc/sys` and values.
pub(crate) fn settings(directory: &Path) -> Vec<(PathBuf, String)> {
    modules::settings(directory)
}

/// A user's and its group's number.
///
/// # Errors
/// When it is not in the image.
pub(crate) fn user(name: &str) -> Result<(u32, u32), InitError> {
    users::lookup(name).map(|owner| (owner.user, owner.group))
}

/// Where things are below the mount point of the data partition.
struct Below {
    config: PathBuf,
    site: PathBuf,
    identity: PathBuf,
    forward: PathBuf,
    session: PathBuf,
    update: PathBuf,
    trail: PathBuf,
}

fn paths_below(data: &Path) -> Below {
    let below = |path: &str| {
        data.join(
            Path::new(path)
                .strip_prefix(paths::DATA)
                .unwrap_or(Path::new(path)),
        )
    };
    let site = below(paths::SITE);
    Below {
        config: site.parent().unwrap_or(data).to_owned(),
        site,
        identity: below(paths::IDENTITY),
        forward: below(paths::FORWARD),
        session: below(paths::SESSION),
        update: below(paths::UPDATE),
        trail: below(paths::TRAIL),
    }
}

/// Runs as process 1. Ends by restarting or switching off the machine; returns only when it is not process 1.
///
/// # Errors
/// [`InitError::NotFirst`].
pub fn run() -> anyhow::Result<Infallible> {
    if std::process::id() != 1 {
        return Err(InitError::NotFirst(std::process::id()).into());
    }
    std::panic::set_hook(Box::new(|panic| {
        log::error!("init panicked: {panic}");
        end(Goal::Reboot);
    }));
    match stages::bring_up() {
        Ok(goal) => end(goal),
        Err(error) => {
            log::error!("{:#}; the box restarts", anyhow::Error::from(error));
            end(Goal::Reboot)
        }
    }
}

/// Ends everything now: what is written is flushed, then the machine restarts or goes off.
fn end(goal: Goal) -> ! {
    rustix::fs::sync();
    let command = match goal {
        Goal::Reboot => RebootCommand::Restart,
        Goal::PowerOff => RebootCommand::PowerOff,
    };
    let error = rustix::system::reboot(command);
    log::error!("the kernel does not {goal:?}: {error:?}");
    loop {
        // The watchdog is not fed here: it ends this.
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// The signals of process 1, as a descriptor.
fn signals() -> Result<sys::Signals, InitError> {
    sys::Signals::open(&services::SIGNALS).map_err(|source| InitError::System {
        action: "receive signals",
        source,
    })
}
