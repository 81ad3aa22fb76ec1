//! What went over the wire since start, counted below TLS and above it.
//!
//! Below TLS these are the bytes of the TCP streams to the server (or to the relay, after it said 200): with
//! TLS's own, without those of TCP, IP and below. A handshake counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is counted of traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// Bytes below TLS.
    pub(crate) sent: u64,
    /// Bytes below TLS.
    pub(crate) received: u64,
}

/// Where a connection stands: by comparing two of these an attempt is told from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Connections made.
    pub(crate) connections: u64,
    /// Bytes of answers, above TLS.
    pub(crate) answered: u64,
}

/// The counts, shared by the connections of one client.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: Amounts,
    mark: Mark,
}

impl Meter {
    pub(crate) fn connected(&self) {
        self.counts().mark.connections += 1;
    }

    /// So many bytes of an answer came, above TLS.
    pub(crate) fn answered(&self, bytes: usize) {
        self.counts().mark.answered += bytes as u64;
    }

    pub(crate) fn add(&self, amounts: Amounts) {
        let total = &mut self.counts().total;
        total.sent += amounts.sent;
        total.received += amounts.received;
    }

    pub(crate) fn mark(&self) -> Mark {
        self.counts().mark
    }

    /// Since start.
    pub(crate) fn read(&self) -> Amounts {
        self.counts().total
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
