//! What process 1 does instead of data and services when the image is started as an installer: it needs nothing but disks
//! and who is in front of them.

use crate::build_info::BuildInfo;
use crate::{install, paths};

use super::supervisor::Goal;
use super::watchdog::Watchdog;
use super::{InitError, harden, modules, mounts, stages};

/// Loads what only an installer needs, locks the kernel, and installs.
///
/// # Errors
/// When the image does not say what it is.
pub(super) fn run(watchdog: Option<&Watchdog>, build: Option<BuildInfo>) -> Result<Goal, InitError> {
    stages::stage("install");
    let build = build.ok_or(InitError::Incomplete)?;
    // A profile whose keyboard is built in and whose medium needs no driver has no such list.
    let list = std::fs::read_to_string(paths::INSTALLER_MODULES).unwrap_or_default();
    modules::load_all(&list, || ());
    harden::lock_kernel();
    mounts::seal_root();
    // What the kernel tells of disks and sticks would come between question and answer.
    modules::quiet();
    let feed = || watchdog.iter().for_each(|watchdog| watchdog.feed());
    Ok(match install::run(&build, &feed) {
        install::End::Restart => Goal::Reboot,
        install::End::Off => Goal::PowerOff,
    })
}
