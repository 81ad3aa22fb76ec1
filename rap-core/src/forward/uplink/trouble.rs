//! What is wrong with the uplink, in words a person can act on, and what may become trouble.

use std::time::Duration;

use crate::client::words::{Times, day, text};

/// The two clocks may differ by so much without a word.
const APART: u64 = 5 * 60;
/// The end of `device.crt` is told of so long before.
const AHEAD: u64 = 30 * 24 * 3600;

/// Why delivery as a whole does not work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forward) struct Trouble {
    /// In words a person can act on.
    pub(in crate::forward) words: String,
    /// How long the centre asks us to wait.
    pub(in crate::forward) asked: Option<Duration>,
}

impl Trouble {
    pub(in crate::forward) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            asked: None,
        }
    }
}

impl Times {
    /// What does not keep delivery from working yet, or may be why it does not work: the end of `device.crt`, and
    /// clocks that differ.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(device) = self.device {
            let (from, until, today) = (text(device.from), text(device.until), day(self.here));
            if self.here > device.until {
                warnings.push(format!(
                    "device.crt expired on {until} by the box's clock, which says {today}: the service centre will refuse it"
                ));
            } else if self.here < device.from {
                warnings.push(format!(
                    "device.crt is valid only from {from} on, and the box's clock says {today}: is the clock right?"
                ));
            } else if device.until - self.here < AHEAD {
                warnings.push(format!(
                    "device.crt expires on {until}: the box needs a new one before"
                ));
            }
        }
        if let Some(there) = self.there.filter(|there| there.abs_diff(self.here) > APART) {
            let (way, by) = if self.here > there {
                ("ahead of", self.here - there)
            } else {
                ("behind", there - self.here)
            };
            warnings.push(format!(
                "the box's clock is {} {way} the service centre's",
                rough(by)
            ));
        }
        warnings
    }
}

/// A time to within its largest unit, so that its words do not change with each attempt.
fn rough(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
