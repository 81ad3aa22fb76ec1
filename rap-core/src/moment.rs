//! This moment by the kernel's clocks: one that nothing moves, and one for people.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the kernel names the boot (`Documentation/admin-guide/sysctl/kernel.rst`, "random").
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The kernel's boot.
    pub boot: String,
    /// Time since it.
    pub since_boot: Duration,
    /// The wall clock, RFC 3339; to be written down and never counted with.
    pub wall: String,
}

impl Moment {
    /// Now; `boot_id` is [`BOOT_ID`] but for tests.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn now(boot_id: &Path) -> std::io::Result<Self> {
        let boot = std::fs::read_to_string(boot_id)?.trim().to_owned();
        let (since_boot, wall) = (
            since_boot(),
            jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        );
        Ok(Self {
            boot,
            since_boot,
            wall,
        })
    }
}

/// Time since boot, counting suspension (`CLOCK_BOOTTIME`, clock_gettime(2)).
#[must_use]
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
