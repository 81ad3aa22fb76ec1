//! The test service centre, instrument simulators and whole-system tests.
