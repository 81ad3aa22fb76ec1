//! Handing events over to the writer.
//!
//! [`tell`] waits for the acknowledgement, at most [`PATIENCE`]; [`Outbox`] is for init, which waits for nobody. Neither
//! fails: what could not be told is counted, and the count goes with the next that can.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::event::Event;
use crate::paths;

/// How long a teller waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest event on its way, in bytes.
pub(super) const PACKET: usize = 8192;
/// The most events that init keeps for a writer that is not there.
const WAITING: usize = 256;

/// What could not be told by this process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Tells `event`, and returns once it is on the disk. Where there is no writer, or it takes too long, that is a warning
/// and a count.
pub fn tell(event: Event) {
    tell_at(Path::new(paths::AUDIT_SOCKET), event);
}

/// As [`tell`], at another socket than the box's: for tests.
pub fn tell_at(socket: &Path, mut event: Event) {
    event.lost = LOST.swap(0, Ordering::Relaxed);
    if let Err(error) = hand_over(socket, &event) {
        LOST.fetch_add(event.lost + 1, Ordering::Relaxed);
        log::warn!(
            "not in the audit trail ({error}): {} {}",
            event.kind.id(),
            event.text
        );
    }
}

fn hand_over(path: &Path, event: &Event) -> io::Result<()> {
    let socket = connect(path, SocketFlags::CLOEXEC)?;
    for way in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&socket, way, Some(PATIENCE))?;
    }
    send(&socket, event)?;
    let mut answer = [0_u8; 64];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    if answer
        .get(..length)
        .is_some_and(|answer| answer.starts_with(b"kept "))
    {
        return Ok(());
    }
    Err(io::Error::other("the trail does not take it"))
}

fn connect(path: &Path, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn send(socket: &OwnedFd, event: &Event) -> io::Result<()> {
    let packet = serde_json::to_vec(&event.clone().bounded())?;
    rustix::net::send(socket, &packet, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Events of somebody who cannot wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Event>,
    lost: u64,
}

impl Outbox {
    /// Keeps an event until it can be told. The oldest that waits is never given up for a newer one.
    pub(crate) fn put(&mut self, event: Event) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(event);
        } else {
            self.lost += 1;
        }
    }

    /// Tells what waits, as far as the writer takes it now.
    pub(crate) fn flush(&mut self, socket: &Path) {
        while let Some(event) = self.waiting.front_mut() {
            event.lost = self.lost;
            let told = connect(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
                .and_then(|socket| send(&socket, event));
            if told.is_err() {
                return;
            }
            self.lost = 0;
            self.waiting.pop_front();
        }
    }
}
