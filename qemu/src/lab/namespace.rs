//! A network namespace without a name: it lives as long as somebody holds it or lives in it, so a crash leaves
//! nothing behind.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic;
use std::thread;

use rustix::thread::LinkNameSpaceType;

use crate::sys;

/// A hold on a network namespace.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// A new, empty one.
    ///
    /// # Errors
    /// When the caller lacks the right (`CAP_SYS_ADMIN`).
    pub fn new() -> io::Result<Self> {
        on_thread(|| {
            sys::unshare_network()?;
            File::open("/proc/thread-self/ns/net").map(Self)
        })
    }

    /// Runs `work` inside, on a thread of its own. What it opens there stays there.
    ///
    /// # Errors
    /// When the namespace cannot be entered. A panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_thread(|| self.enter().map(|()| work()))
    }

    /// Moves the calling thread inside, for good.
    pub(crate) fn enter(&self) -> io::Result<()> {
        rustix::thread::move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// A path by which other programs of the same user find it, while this value lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let result = thread::scope(|scope| scope.spawn(work).join());
    result.unwrap_or_else(|panic| panic::resume_unwind(panic))
}
