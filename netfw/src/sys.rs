//! The one system call that has no safe wrapper.
#![allow(
    unsafe_code,
    reason = "rustix offers unshare as unsafe only, because of CLONE_FILES"
)]

/// Gives the calling thread a network namespace of its own.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` (unshare(2)).
pub(crate) fn unshare_network() -> rustix::io::Result<()> {
    // SAFETY: the call is unsafe for UnshareFlags::FILES alone, which tears descriptors from other threads; a network
    // namespace takes nothing from anybody.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}
