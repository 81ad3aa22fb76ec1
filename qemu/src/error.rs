//! What can go wrong in the lab. The messages are for the person at the terminal: what was tried, and the fix.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the lab or of the machine in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program the lab needs is not installed.
    #[error("`{program}` is not installed; on Debian and Ubuntu: apt-get install {package}")]
    NoProgram {
        /// What was to be started.
        program: String,
        /// Where it comes from.
        package: &'static str,
    },
    /// Starting a program failed for another reason.
    #[error("cannot start `{program}`")]
    Start {
        /// What was to be started.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A file the machine needs cannot be used.
    #[error("cannot {verb} {path}")]
    File {
        /// `read`, `copy`, …
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something the lab's network is made of.
    #[error("cannot {0}; the lab needs root or user namespaces, and /dev/net/tun")]
    Network(&'static str, #[source] io::Error),
    /// Something expected on the console did not come in time.
    #[error("waited {:.0} s for {what}, in vain; the console's last lines:\n{tail}", waited.as_secs_f64())]
    Waited {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last lines of the console.
        tail: String,
    },
    /// QEMU ended although nobody asked it to.
    #[error("QEMU ended while waiting for {what}; its last words:\n{tail}")]
    Ended {
        /// What was waited for.
        what: String,
        /// The last lines of the console and of QEMU's own messages.
        tail: String,
    },
    /// The machine is not switched on.
    #[error("cannot {0}: the machine is off")]
    Off(&'static str),
    /// QEMU's control socket broke.
    #[error("QEMU's control socket failed at `{command}`")]
    Control {
        /// The QMP command.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// QEMU refused a command.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The QMP command.
        command: String,
        /// QEMU's words.
        reason: String,
    },
    /// A setting cannot be understood.
    #[error("{0}")]
    Setting(String),
}
