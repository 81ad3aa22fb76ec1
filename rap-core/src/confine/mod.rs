//! Least privilege: what each service may do, said once, put on it before its program runs.
//!
//! `table` says for each service what it needs and why; everything else is refused. Two hands put it on:
//! * init, between fork and exec ([`Confinement`]): the service's control group with its memory and processes, limits,
//!   user, bounding set and ambient capabilities, `no_new_privs`, and the files and TCP ports it may touch (Landlock). A
//!   service cannot forget this, and one that cannot be confined is not started.
//! * the service itself, as its first act ([`enter`]): the system calls it may make (seccomp). Only after exec and the
//!   dynamic loader can exec and executable memory be refused as well.
//!
//! A system call that is not in the list fails with `EPERM` and is logged by the kernel; it does not kill. A box that
//! nobody visits must not lose its reports to a library that tries something new and could do without, and an attacker
//! gains nothing by an error. The kernel's log of it becomes a record of the audit trail.
//!
//! Invariants: nothing that was put on can be taken off again, by the kernel's own rules; capabilities are never gained by
//! exec, not even by user 0 (`SECBIT_NOROOT`, locked); a service without a line in the table does not start.

pub(crate) mod attempt;
mod calls;
mod group;
mod reach;
mod start;
mod table;

pub(crate) use attempt::twin;
pub(crate) use group::{DIRECTORY as GROUPS, Group, mount as mount_groups};
pub use start::{Confinement, User};
pub use table::{Access, Calls, Limits, NEEDS, Needs, Port, Reach, of};

/// Why a service could not be confined. It is not started then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// There is no line for it.
    #[error("{0} has no line in rap_core::confine::table: what it needs must be said before it runs")]
    Unknown(String),
    /// Landlock.
    #[error("cannot say which files and ports {service} may touch (is landlock among the kernel's lsm=?)")]
    Reach {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: landlock::RulesetError,
    },
    /// The kernel has no Landlock.
    #[error("{service} may not run: this kernel has no Landlock")]
    NoLandlock {
        /// Which.
        service: &'static str,
    },
    /// The control group.
    #[error("cannot make the control group of {service}")]
    Group {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The list of system calls.
    #[error("cannot compile the system calls of {service}")]
    Compile {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: seccompiler::BackendError,
    },
    /// The kernel did not take it.
    #[error("the kernel does not take the system calls of {service}")]
    Calls {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Restricts this process, and whatever it starts, to the system calls its service needs. Called first thing, before
/// there is a second thread or anything was read from others.
///
/// # Errors
/// When the service has no line in the table or the kernel refuses; the service must end then.
pub fn enter(service: &str) -> Result<(), ConfineError> {
    let needs = of(service).ok_or_else(|| ConfineError::Unknown(service.to_owned()))?;
    let failed = |source| ConfineError::Calls {
        service: needs.service,
        source,
    };
    // Init has set it; started by hand the kernel asks for it.
    rustix::thread::set_no_new_privs(true).map_err(|errno| failed(errno.into()))?;
    let [unknown, listed] = calls::programs(needs)?;
    // That there is no clone3 is no event.
    crate::sys::restrict_calls(&unknown, false).map_err(failed)?;
    crate::sys::restrict_calls(&listed, true).map_err(failed)
}
