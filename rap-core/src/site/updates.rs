//! `[update]`: where updates come from, and when they are installed.

mod decode;
mod window;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BitRate, Target};

pub(super) use decode::decode;
pub use window::{InvalidWindow, Window, open_in};

/// How often the repository is asked when nothing is said.
const CHECK_EVERY: Duration = Duration::from_hours(6);

/// `[update]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updates {
    /// `url = "https://updates.vendor.example/rap"`.
    pub repository: Repository,
    /// `window = "02:00-04:30"`, or a list: when the box may restart for an update. Empty: at any time.
    pub windows: Vec<Window>,
    /// `install = "automatic"`.
    pub install: Install,
    /// `rate-limit = "512 kbit/s"`: no more than this is asked for.
    pub rate_limit: Option<BitRate>,
    /// `check-every = "6h"`.
    pub check_every: Duration,
}

/// The base of a repository's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Who has it.
    pub target: Target,
    /// Where there, with a slash before each part and none at the end; empty at the root.
    pub path: String,
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.target, self.path)
    }
}

/// Who decides that an update is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Install {
    /// The box, in a window.
    Automatic,
    /// A person: the box looks for it and brings it.
    Ask,
    /// A person, who also has it looked for.
    Manual,
}
