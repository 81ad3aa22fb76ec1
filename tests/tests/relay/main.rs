//! Reports through real proxies: the forwarder's and the relay's real programs on a box that has no other way out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod rig;
mod ways;
