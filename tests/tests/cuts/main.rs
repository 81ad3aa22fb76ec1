//! Power cuts and full disks of the forwarder as its own process, on an ext4 whose disk loses what was not flushed.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its assertions do")]

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
