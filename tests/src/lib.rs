//! What the whole-system tests are made of: the service centre, instruments, keys for them, proxies, a network that
//! fails; the demonstration and the measurements.

pub mod bench;
pub mod centre;
pub mod demo;
pub mod fault;
pub mod instrument;
pub mod keys;
pub mod nginx;
pub mod proxy;
pub mod system;
