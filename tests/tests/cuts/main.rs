//! Power cuts and full disks of the forwarder as its own process, on an ext4 whose disk loses what was not flushed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod campaign;
mod full;
mod volatile;

/// Whether this machine can have such a disk; with `CI` in the environment it must.
fn possible() -> bool {
    let Some(lacks) = rap_tests::volatile::lacks() else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
    eprintln!("skipped: needs {lacks}");
    false
}
