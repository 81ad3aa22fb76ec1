//! `rap netd`: the network of the box as its site describes it, kept that way.
//!
//! It applies the site in force through netfw, opens the ingest socket inside each port's namespace and gives it to
//! init to keep, answers DHCP on the ports that want it, runs the DHCP client of the uplink, and looks again whenever a
//! link changes. A port that cannot be had is a line in the status; the others work.
//!
//! Which site is in force is decided here, too: a new one is on trial until it is confirmed (`trial`). What is in
//! force is published for the other services before netd says that it is ready.
//!
//! Invariant: what is right already is not touched, so restarting netd interrupts no connection.

mod commit;
pub(crate) mod control;
mod daemon;
mod dhcp;
mod dhcp_server;
pub(crate) mod drops;
mod in_force;
mod lease;
pub mod look;
pub(crate) mod report;
mod resolve;
mod resolver;
pub(crate) mod sessions;
mod sockets;
pub(crate) mod state;
mod stop;
pub(crate) mod trial;
mod uplink;

use std::path::PathBuf;
use std::time::Duration;

use netfw::Machine;

use crate::notify::Notifier;
use crate::{moment, paths};

#[doc(hidden)]
pub use dhcp::answer as dhcp_answer;
pub(crate) use lease::RUNTIME;
pub use lease::dhcp_hook;
pub use uplink::DHCP_HOOK;

/// How long a new site may go unconfirmed.
pub const TRIAL: Duration = Duration::from_secs(120);

/// Where on a machine netd does its work; tests use a machine of namespaces.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root namespace and the ports' prefix.
    pub machine: Machine,
    /// Directory of the status files.
    pub status: PathBuf,
    /// Directory for the lease, the resolver's configuration and the DHCP client's files.
    pub runtime: PathBuf,
    /// Directory of the last good site and the one on trial.
    pub config: PathBuf,
    /// Where the site in force is published.
    pub in_force: PathBuf,
    /// Where netd is asked.
    pub control: PathBuf,
    /// Where the kernel names its boot.
    pub boot_id: PathBuf,
    /// How long a new site may go unconfirmed.
    pub trial: Duration,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            machine: Machine::default(),
            status: paths::STATUS.into(),
            runtime: lease::RUNTIME.into(),
            config: paths::CONFIG.into(),
            in_force: paths::SITE_IN_FORCE.into(),
            control: paths::NETD_SOCKET.into(),
            boot_id: moment::BOOT_ID.into(),
            trial: TRIAL,
        }
    }
}

/// The service `rap netd`. Returns only with an error; without a usable site it stays and says so.
///
/// # Errors
/// When the root namespace cannot be closed, or the place cannot be used.
pub fn run() -> anyhow::Result<()> {
    serve(&Place::default(), &Notifier::from_environment())
}

/// Does netd's work at `place`. Returns only with an error.
///
/// # Errors
/// When the root namespace cannot be closed, or the place cannot be used.
pub fn serve(place: &Place, notifier: &Notifier) -> anyhow::Result<()> {
    daemon::Daemon::start(place, notifier)?.keep()
}
