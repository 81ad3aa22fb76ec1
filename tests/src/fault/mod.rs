//! A network that fails on request: what stands between the box and the service centre in tests of delivery.
//!
//! [`Proxy`] takes TCP connections, carries them on to a target, and does to each what a script says ([`Fault`]). It
//! looks into nothing but the types of TLS records, and counts everything, so that a test can wait until a fault was
//! really shown. [`Link`] is a slow line. [`slow_link`](slow_link()) measures delivery over one.

mod carry;
mod dice;
mod line;
mod port;
mod proxy;
mod record;
mod slow_link;

use std::time::Duration;

pub use self::dice::Dice;
pub use self::line::Link;
pub use self::port::Port;
pub use self::proxy::{Counts, Proxy};
pub use self::slow_link::{Path, SlowLink, slow_link};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connected to the target.
    Up,
    /// Back.
    Down,
}

/// What is done to a connection. Counts of bytes are of the TCP payload, from the connection's begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing: carried both ways.
    Pass,
    /// Nobody listens: the kernel refuses. Holds from when it is set for every connection, and is not counted.
    Refuse,
    /// Once `up` bytes went up nothing goes either way any more, and nobody hangs up. With 0 not even the TLS handshake
    /// is answered.
    Stall {
        /// Bytes carried up before.
        up: u64,
    },
    /// Once `after` bytes went `way`, both ends get a reset, and what was not yet taken is lost (`SO_LINGER` 0).
    Reset {
        /// Which bytes are counted.
        way: Way,
        /// Bytes carried this way before.
        after: u64,
    },
    /// Everything goes up, and after the TLS handshake nothing comes down: the target does what it is asked to, and the
    /// answer is lost. The connection stays until it is cut ([`Proxy::cut`]) or somebody gives up.
    Swallow,
    /// Once `after` bytes came down, no more do: the client is told the end, and what it sends goes up still.
    HalfClose {
        /// Bytes carried down before.
        after: u64,
    },
    /// Once the TLS handshake is over, one byte comes down in each interval.
    Trickle(Duration),
    /// A slow line, shared by all connections that have this fault.
    Slow(Link),
}
