//! How the network is, for who asks: the status, and what only netd or the kernel knows at that moment.

use std::net::Ipv4Addr;

use netfw::session::Open;
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
    /// What is open to remote sessions.
    pub(crate) openings: Vec<Opening>,
    /// What was thrown away, and why.
    pub(crate) drops: Vec<Drops>,
}

/// One port of an instrument that is open to a remote session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Opening {
    /// The instrument's port.
    pub(crate) port: String,
    /// What is open, such as `tcp/5900`.
    pub(crate) service: String,
    /// The address it is reached at from the tunnel.
    pub(crate) address: Ipv4Addr,
    /// How long the kernel keeps it open.
    pub(crate) seconds_left: u64,
}

impl From<Open> for Opening {
    fn from(open: Open) -> Self {
        Self {
            port: open.port.to_string(),
            service: open.opening.to_string(),
            address: open.service,
            seconds_left: open.remaining.as_secs(),
        }
    }
}
