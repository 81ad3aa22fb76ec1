//! What init puts on a service between fork and exec.
//!
//! Everything that may fail for want of memory or names is done before fork; between fork and exec there are system calls
//! only. Their order matters: the group while root may still write to it, the bounding set while `CAP_SETPCAP` is there,
//! the user while `CAP_SETUID` is, and the files last, because Landlock is not to stand in the way of the rest.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::group::Group;
use super::{ConfineError, Needs, Reach, reach};
use crate::sys;

/// A user's and a group's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's.
    pub user: u32,
    /// The group's; there are no others.
    pub group: u32,
}

/// Everything that is put on a service, ready to be.
#[derive(Debug)]
pub struct Confinement {
    user: User,
    capabilities: CapabilitySet,
    descriptors: u64,
    group: Option<File>,
    ruleset: OwnedFd,
}

impl Confinement {
    /// For the service that `needs` describes, as `user`. `groups` is where control groups are mounted; without one there
    /// are no limits on memory and processes, which is for tests only.
    ///
    /// # Errors
    /// When the kernel lacks something; the service is not to be started then.
    pub fn new(needs: &Needs, user: User, groups: Option<&Path>) -> Result<Self, ConfineError> {
        Self::below(Path::new("/"), &[], needs, user, groups)
    }

    /// As [`Self::new`], with the table's paths below `root`, and `also` where they are; for tests.
    ///
    /// # Errors
    /// As there.
    pub fn below(
        root: &Path,
        also: &[Reach],
        needs: &Needs,
        user: User,
        groups: Option<&Path>,
    ) -> Result<Self, ConfineError> {
        let made = groups.map(|groups| Group::of(groups, needs.service).make(needs.limits));
        Ok(Self {
            user,
            capabilities: needs.capabilities,
            descriptors: needs.limits.descriptors,
            group: made.transpose().map_err(|source| ConfineError::Group {
                service: needs.service,
                source,
            })?,
            ruleset: reach::ruleset(needs, root, also)?,
        })
    }

    /// Has `command` put all of it on itself before it becomes the program; where that fails it never does. Needs root.
    pub fn put_on(self, command: &mut Command) {
        sys::before_exec(command, move || self.apply());
    }

    /// In the child. System calls only.
    fn apply(&self) -> io::Result<()> {
        // Process 1 hears of signals otherwise; a service ends when it is asked to.
        sys::unblock_signals()?;
        if let Some(group) = &self.group {
            rustix::io::write(group, b"0")?;
        }
        let both = |value| Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        setrlimit(Resource::Nofile, both(self.descriptors))?;
        // A process that dies leaves no memory behind.
        setrlimit(Resource::Core, both(0))?;

        for capability in (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
            if !self.capabilities.contains(capability) {
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // One that this kernel does not know.
                    Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        rustix::thread::set_capabilities_secure_bits(
            CapabilitiesSecureBits::NO_ROOT
                | CapabilitiesSecureBits::NO_ROOT_LOCKED
                // Until exec: the user changes, what is needed stays.
                | CapabilitiesSecureBits::KEEP_CAPS,
        )?;
        rustix::thread::set_thread_groups(&[])?;
        let group = rustix::fs::Gid::from_raw(self.user.group);
        let user = rustix::fs::Uid::from_raw(self.user.user);
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: self.capabilities,
                permitted: self.capabilities,
                inheritable: self.capabilities,
            },
        )?;
        for capability in self.capabilities {
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        rustix::thread::set_no_new_privs(true)?;
        sys::restrict_reach(&self.ruleset)
    }
}
