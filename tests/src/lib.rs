//! What the whole-system tests are made of: the service centre, instruments, keys for them, proxies; the demonstration and the
//! measurements.

pub mod bench;
pub mod centre;
pub mod demo;
pub mod instrument;
pub mod keys;
pub mod proxy;
pub mod system;
