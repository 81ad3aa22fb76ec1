//! The hardware watchdog: taken over from the loader, which armed it before the kernel started, and fed.
//!
//! Invariant: once open it is never disarmed (nothing is ever written that the driver takes for a close): a box that
//! hangs, or whose shutdown hangs, is reset.

use std::fs::{File, OpenOptions};
use std::io;
use std::time::Duration;

use crate::sys;

const DEVICE: &str = "/dev/watchdog";
/// The timeout asked for. The hardware may take another one.
const TIMEOUT_SECONDS: i32 = 30;

/// An armed watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    device: File,
    /// Its own name.
    pub(super) name: String,
    /// How long it waits.
    pub(super) timeout: Duration,
}

impl Watchdog {
    /// Takes over the machine's watchdog, if its driver is there, and feeds it at once.
    pub(super) fn take_over() -> Option<Self> {
        let device = match OpenOptions::new().write(true).open(DEVICE) {
            Ok(device) => device,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::error!("cannot take over {DEVICE}: {error}");
                return None;
            }
        };
        let name = sys::watchdog_identity(&device).unwrap_or_else(|_| "unnamed".to_owned());
        let left = sys::watchdog_time_left(&device);
        let taken = sys::set_watchdog_timeout(&device, TIMEOUT_SECONDS);
        let seconds = taken
            .or_else(|_| sys::watchdog_timeout(&device))
            .unwrap_or(TIMEOUT_SECONDS);
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1));
        let watchdog = Self {
            device,
            name,
            timeout,
        };
        watchdog.feed();
        let was = left.map_or_else(|_| String::new(), |left| format!(", {left} s were left"));
        log::info!("watchdog {}: {seconds} s{was}", watchdog.name);
        Some(watchdog)
    }

    /// How often to feed it: four times in its timeout, at most every 10 s.
    pub(super) fn period(&self) -> Duration {
        (self.timeout / 4).min(Duration::from_secs(10))
    }

    /// Puts it off by its timeout.
    pub(super) fn feed(&self) {
        if let Err(error) = sys::feed_watchdog(&self.device) {
            log::error!("cannot feed the watchdog: {error}");
        }
    }
}
