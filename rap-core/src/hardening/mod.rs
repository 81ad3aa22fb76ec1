//! Each measure that keeps the box tight, and whether it holds now: what `rapctl hardening` prints.
//!
//! Nothing is believed that can be read or tried: settings, mounts and locks are read from the kernel, each process of a
//! service is held against its line in [`crate::confine`]'s table by what `/proc` says of it, and what `/proc` does not say
//! (Landlock, whether a list of system calls is the right one) is tried by a twin of the service.
//!
//! Invariant: a measure that cannot be looked at does not hold.

mod kernel;
mod service;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::confine::{self, Confinement, Needs, User};
use crate::status::{self, InitStatus};
use crate::{init, paths};

/// One measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Measure {
    /// What it is about: `kernel`, `mounts`, or a service.
    pub(crate) about: String,
    /// What is to be.
    pub(crate) measure: String,
    /// Whether it is.
    pub(crate) holds: bool,
    /// What was found.
    pub(crate) found: String,
}

impl Measure {
    /// `found` is what was read, or why it could not be.
    fn new(about: &str, measure: impl Into<String>, holds: bool, found: impl Into<String>) -> Self {
        Self {
            about: about.to_owned(),
            measure: measure.into(),
            holds,
            found: found.into(),
        }
    }

    /// A figure that is to be exactly `wanted`.
    fn equal(about: &str, measure: impl Into<String>, wanted: &str, found: std::io::Result<String>) -> Self {
        let found = found.unwrap_or_else(|error| error.to_string());
        let holds = found.split_whitespace().eq(wanted.split_whitespace());
        Self::new(about, measure, holds, found)
    }
}

/// Looks at everything on this box.
///
/// # Errors
/// When init's status cannot be read, so that it is not known which services run.
pub(crate) fn look() -> std::io::Result<Vec<Measure>> {
    let init: InitStatus = status::read_one(Path::new(paths::STATUS), "init").ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "init's status is missing or no status",
        )
    })?;
    let mut measures = kernel::look();
    let slot = slot();
    for running in &init.services {
        let Some(needs) = confine::of(&running.name) else {
            let holds = running.name == "debug-shell";
            let found = if holds {
                "a shell for development"
            } else {
                "nothing"
            };
            measures.push(Measure::new(&running.name, "is confined", holds, found));
            continue;
        };
        measures.extend(service::look(needs, running.pid));
        measures.extend(tried(needs, slot.as_deref()));
    }
    Ok(measures)
}

/// A slot's device, to be tried.
fn slot() -> Option<PathBuf> {
    let named = |folder: &Path| {
        std::fs::read_to_string(folder.join("uevent"))
            .is_ok_and(|text| text.lines().any(|line| line == "PARTNAME=rap-b"))
    };
    let devices = std::fs::read_dir("/sys/class/block").ok()?;
    let found = devices.flatten().find(|entry| named(&entry.path()))?;
    Some(Path::new("/dev").join(found.file_name()))
}

/// What a twin of the service was refused.
fn tried(needs: &'static Needs, slot: Option<&Path>) -> Vec<Measure> {
    let begun = || -> anyhow::Result<_> {
        let owner = init::user(needs.user)?;
        let user = User {
            user: owner.0,
            group: owner.1,
        };
        let program = std::env::current_exe()?;
        let also = [confine::Reach {
            path: "/usr/bin/rap",
            access: confine::Access::Execute,
        }];
        let groups = Path::new(confine::GROUPS);
        let confinement = Confinement::below(Path::new("/"), &also, needs, user, Some(groups))?;
        let mut command = Command::new(program);
        command
            .args(["ctl", "hardening", "--twin", needs.service])
            .env_clear();
        command.arg("--slot").arg(slot.unwrap_or(Path::new("/dev/rap-b")));
        Ok(confine::attempt::try_all(needs, confinement, command)?)
    };
    match begun() {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|outcome| {
                let measure = format!("may not {}", outcome.attempt.words());
                let holds = outcome.refused.is_some();
                let found = outcome.refused.unwrap_or_else(|| "not refused".to_owned());
                Measure::new(needs.service, measure, holds, found)
            })
            .collect(),
        Err(error) => vec![Measure::new(
            needs.service,
            "is refused what it may not do",
            false,
            format!("no twin could try: {error:#}"),
        )],
    }
}
