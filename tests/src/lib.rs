//! The test service centre, instrument simulators, the demonstration, measurements, and whole-system tests.

pub mod bench;
pub mod demo;
