//! How the network is, for who asks: the status, and what only netd or the kernel knows at that moment.

use serde::{Deserialize, Serialize};

use super::drops::Drops;
use super::report::Status;

/// The answer to `{"do":"status"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct State {
    /// What netd says of itself.
    #[serde(flatten)]
    pub(crate) status: Status,
    /// How long the trial may still go unconfirmed; absent without one.
    pub(crate) seconds_left: Option<u64>,
    /// What was thrown away, and why.
    pub(crate) drops: Vec<Drops>,
}
