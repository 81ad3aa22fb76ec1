//! The forwarder against a network and a service centre that fail: a fault proxy, the real nginx, wrong certificates, a
//! slow line, three days without a centre, and all of it at random.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod certificates;
mod ledger;
mod line;
mod nginx;
mod outage;
mod path;
mod posters;
mod rig;
mod soak;
