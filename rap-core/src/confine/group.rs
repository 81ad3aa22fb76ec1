//! Control groups (cgroup v2, Linux `Documentation/admin-guide/cgroup-v2.rst`): how much memory and how many processes a
//! service, with all it starts, may have.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::Limits;

/// Where they are.
pub(crate) const DIRECTORY: &str = "/sys/fs/cgroup";
/// What is shared out.
const CONTROLLERS: &str = "+memory +pids";

/// Mounts the control groups and shares out memory and processes.
///
/// # Errors
/// What the kernel says; services are not started without.
pub(crate) fn mount() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match rustix::mount::mount("cgroup2", DIRECTORY, "cgroup2", flags, c"nsdelegate") {
        Ok(()) | Err(Errno::BUSY) => {}
        Err(errno) => return Err(errno.into()),
    }
    std::fs::write(Path::new(DIRECTORY).join("cgroup.subtree_control"), CONTROLLERS)
}

/// The group of one service.
#[derive(Debug, Clone)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// The group of `service` below `directory`; it need not be there.
    pub(crate) fn of(directory: &Path, service: &str) -> Self {
        Self(directory.join(service))
    }

    /// Makes it, with its limits, and opens what a process writes `0` to to be in it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn make(&self, limits: Limits) -> io::Result<File> {
        match std::fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.write("memory.max", &limits.memory.to_string())?;
        // One process of it alone is of no use to anybody.
        self.write("memory.oom.group", "1")?;
        self.write("pids.max", &limits.processes.to_string())?;
        OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))
    }

    /// A figure of it, as the kernel writes it.
    ///
    /// # Errors
    /// When there is no such group or figure.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        Ok(std::fs::read_to_string(self.0.join(name))?.trim().to_owned())
    }

    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        std::fs::write(self.0.join(name), value)
    }
}
