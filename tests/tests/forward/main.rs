//! The forwarder between an instrument and the service centre, in one process, over real TLS.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its assertions do")]

mod centre;
mod delivery;
mod ingest;
mod rig;
