//! What went over the wire since start, counted below TLS and above it.
//!
//! Below TLS these are the bytes of the TCP streams to the service centre (or to the relay, after it said 200): with
//! TLS's own, without those of TCP, IP and below. A handshake counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is counted of traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// Bytes below TLS.
    pub(super) sent: u64,
    /// Bytes below TLS.
    pub(super) received: u64,
}

/// Where a connection stands: by comparing two of these an attempt is told from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Connections made.
    pub(super) connections: u64,
    /// Bytes of answers, above TLS.
    pub(super) answered: u64,
}

/// The counts, shared by the connections of one client.
#[derive(Debug, Default)]
pub(in crate::forward) struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: Amounts,
    mark: Mark,
}

impl Meter {
    pub(super) fn connected(&self) {
        self.counts().mark.connections += 1;
    }

    /// So many bytes of an answer came, above TLS.
    pub(super) fn answered(&self, bytes: usize) {
        self.counts().mark.answered += bytes as u64;
    }

    pub(super) fn add(&self, amounts: Amounts) {
        let total = &mut self.counts().total;
        total.sent += amounts.sent;
        total.received += amounts.received;
    }

    pub(super) fn mark(&self) -> Mark {
        self.counts().mark
    }

    /// Since start.
    pub(super) fn read(&self) -> Amounts {
        self.counts().total
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
