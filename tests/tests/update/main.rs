//! What a box believes of an update repository, against real servers, with metadata made by python-tuf and by tough.
//!
//! On a desk a test that lacks python-tuf says so and is skipped; with `CI` in the environment it fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod attacks;
mod clocks;
mod interop;
mod line;
mod maker;
mod rig;
