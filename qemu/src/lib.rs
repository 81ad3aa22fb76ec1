//! The box under real firmware, and a lab of real hosts around it.
//!
//! [`machine::Machine`] is a box that can be switched on, power-cut, reset and unplugged; [`disk::Disk`] is its disk,
//! which forgets what was not flushed when the power goes; [`console::Console`] is what it says; [`lab::Lab`] is the
//! world at the other end of its cables: a host per instrument, a hospital network, a service centre.
//!
//! Invariants: nothing outlives this process (QEMU and every program started in the lab die with it, and the network
//! namespaces have no names, so that there is nothing to clean up); every wait has a deadline, and its failure shows
//! the end of the console.

pub mod accelerator;
pub mod console;
pub mod disk;
mod error;
pub mod firmware;
pub mod lab;
pub mod machine;
pub mod process;
pub mod qmp;
mod sys;

pub use error::{Error, Result};
