//! What the builder claims, put to the real programs: the same bits wherever it runs, and for every fault an error that
//! names it and its fix, exit code 2, and nothing half-written under a final name.
//!
//! On a desk a test that lacks a right or the image says so and is skipped; with `CI` in the environment it fails
//! instead. `scripts/test` prepares everything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod disk;
mod flash;
mod packages;
mod reproducible;
mod rig;
mod rights;
mod rules;
mod sbom;
mod signed;
mod site;

#[path = "../../../rap-image/src/testing.rs"]
#[allow(dead_code, reason = "the builder's own tests use the rest")]
mod testing;
