//! Programs that die with us, wherever in the lab they run.
//!
//! The kernel sends the parent-death signal when the *thread* that started a child ends (prctl(2),
//! `PR_SET_PDEATHSIG`). So each child gets a thread of its own that starts it and waits until it is gone; the same
//! thread enters the namespace in which the child shall live.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

use crate::lab::Namespace;
use crate::{Error, Result, sys};

/// Debian packages of the programs the lab starts.
const PACKAGES: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("ip", "iproute2"),
    ("dnsmasq", "dnsmasq-base"),
    ("udhcpd", "udhcpd"),
    ("busybox", "busybox"),
    ("ping", "iputils-ping"),
];

/// Starts `command` in `place` (here when none), with `descriptors` kept open under their numbers. The child is
/// killed when this process ends, however it ends.
///
/// # Errors
/// When the program is missing or cannot be started.
pub fn spawn(mut command: Command, place: Option<&Namespace>, descriptors: Vec<OwnedFd>) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let place = place
        .map(Namespace::try_clone)
        .transpose()
        .map_err(|e| start_error(&program, e))?;
    let (sender, receiver) = mpsc::channel();
    sys::tie_child(&mut command, &descriptors);
    thread::spawn(move || {
        let started = place.map_or(Ok(()), |p| p.enter()).and_then(|()| command.spawn());
        drop(descriptors);
        drop(command);
        let watch = started
            .as_ref()
            .ok()
            .and_then(|child| i32::try_from(child.id()).ok())
            .and_then(watch);
        // The receiver waits below, so the message always arrives.
        let _ = sender.send(started);
        if let Some(process) = watch {
            wait_gone(&process);
        }
    });
    let started = receiver
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the starting thread died")));
    started.map_err(|e| start_error(&program, e))
}

fn start_error(program: &str, source: io::Error) -> Error {
    let package = PACKAGES
        .iter()
        .find(|(name, _)| *name == program)
        .map(|(_, package)| *package);
    match (source.kind(), package) {
        (io::ErrorKind::NotFound, Some(package)) => Error::NoProgram {
            program: program.to_owned(),
            package,
        },
        _ => Error::Start {
            program: program.to_owned(),
            source,
        },
    }
}

fn watch(pid: i32) -> Option<OwnedFd> {
    rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Returns when the process has ended; it stays to be reaped by its owner.
fn wait_gone(process: &OwnedFd) {
    while let Err(rustix::io::Errno::INTR) =
        rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], None)
    {}
}

/// A program that is killed when this value is dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    /// When it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + patience;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
                Ok(None) => {
                    let running = io::Error::other(format!("still runs after {} s", patience.as_secs()));
                    return Err(Error::Network("wait for a program", running));
                }
                Err(error) => return Err(Error::Network("wait for a program", error)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time used so far by process `pid` and its threads, user and system (proc(5), fields 14 and 15), in
/// steps of 10 ms (`USER_HZ` is 100). `None` when there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything; what follows is regular.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let used = ticks.next()?.ok()? + ticks.next()?.ok()?;
    Some(Duration::from_millis(used * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = start_error("dnsmasq", io::ErrorKind::NotFound.into());
        assert_eq!(
            error.to_string(),
            "`dnsmasq` is not installed; on Debian and Ubuntu: apt-get install dnsmasq-base"
        );
    }

    #[test]
    fn a_child_inherits_only_what_it_was_given() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (hidden, _keep) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        use std::os::fd::AsRawFd;
        let (hidden, given) = (hidden.as_raw_fd(), write.as_raw_fd());
        let script = format!("cd /proc/self/fd && test ! -e {hidden} && echo seen >{given}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        let mut child = spawn(command, None, vec![write]).unwrap();
        assert!(child.wait().unwrap().success());
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(read), &mut text).unwrap();
        assert_eq!(text, "seen\n");
    }

    #[test]
    fn processor_time_of_a_busy_child_grows() {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let child = Running(spawn(command, None, Vec::new()).unwrap());
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while cpu_time(child.0.id()).unwrap() < Duration::from_millis(50) {
            assert!(
                std::time::Instant::now() < deadline,
                "no processor time counted in 20 s"
            );
            thread::yield_now();
        }
    }
}
