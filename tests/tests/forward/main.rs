//! The forwarder between an instrument and the service centre, in one process, over real TLS.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its assertions do")]

mod alerts;
mod busy;
mod centre;
mod clocks;
mod delivery;
mod directives;
mod files;
mod hostile;
mod identity;
mod inbox;
mod ingest;
mod refused;
mod rig;
mod trail;
mod wire;
