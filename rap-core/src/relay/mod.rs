//! The relay: the one way out of the box. Everything that leaves it (reports, and later updates and tunnels) asks here,
//! by HTTP CONNECT on [`ADDRESS`], and gets a connection to its destination: straight, or through the hospital's
//! proxy as `[egress]` in `site.toml` says. What passes through is not looked at; TLS is between the two ends.
//!
//! ```text
//! CONNECT centre.example:443 → listed in site.toml? → way: direct | HTTP CONNECT | SOCKS 5 → 200, then bytes
//!                                     403 no          502, 504: why not, in words
//! ```
//!
//! Invariants: it connects to nothing but [`Site::destinations`](crate::site::Site::destinations) and the proxies on
//! the way to them; names are resolved here only where the way is direct (and the proxies' own); every wait has an
//! end and every buffer a bound; no password is kept, logged or shown.

mod book;
pub mod client;
mod http;
mod password;
mod reach;
mod route;
mod server;
mod service;
mod socks;
mod trouble;
mod tunnel;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub use self::book::{FailureStatus, Status, WayStatus};
pub use self::service::{Place, run};

/// Where it listens: in the root namespace, for the box's own programs.
pub const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a client's request.
    pub request: Duration,
    /// For the address of a name.
    pub resolve: Duration,
    /// For a TCP connection.
    pub connect: Duration,
    /// For a proxy to connect further and say so.
    pub answer: Duration,
    /// For a byte in a tunnel, in either direction.
    pub idle: Duration,
    /// The same once one end has said all it has to say.
    pub half_closed: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            idle: Duration::from_secs(15 * 60),
            half_closed: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// The longest time from a request to its answer.
    #[must_use]
    pub fn to_answer(&self) -> Duration {
        self.resolve + self.connect + self.answer
    }
}

/// Puts `bytes` to every parser of what clients and proxies say, and returns how many bytes each took: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn taken(bytes: &[u8]) -> Vec<usize> {
    let request = http::parse_request(bytes).map(|found| found.map(|(_, used)| used));
    let answer = http::parse_answer(bytes).map(|found| found.map(|(_, used)| used));
    let methods = [false, true].map(|user| {
        let found = socks::parse_method(bytes, user);
        found.map(|found| found.map(|(_, used)| used))
    });
    let verdict = socks::parse_verdict(bytes).map(|found| found.map(|(_, used)| used));
    let reply = socks::parse_reply(bytes).map(|found| found.map(|(_, used)| used));
    let all = [request, answer, verdict, reply].into_iter().chain(methods);
    all.filter_map(|found| found.ok().flatten()).collect()
}

/// Bytes that are no message of the protocol they should be in, or one that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this protocol")]
pub(crate) struct Malformed;
