//! What the identity service is asked at its control socket ([`crate::control`]).
//!
//! `{"do":"status"}`, `{"do":"csr"}`, `{"do":"renew"}`, `{"do":"withdraw"}`, `{"do":"install","certificates":"PEM"}`. The
//! session service may ask for `renew` and `install` only: a directive does no more.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::control;
pub(crate) use crate::control::{Answer, AskError, Asked};
use crate::init::users;

const SERVICE: &str = "the identity service";

/// What the identity service is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How it is: [`super::status::Status`].
    Status {},
    /// The request that waits for its answer.
    Csr {},
    /// A request for new keys; the one that waits already, if one does.
    Renew {},
    /// Give up the keys that wait for their certificates.
    Withdraw {},
    /// Take these certificates.
    Install {
        /// In PEM.
        certificates: String,
    },
}

impl Request {
    /// Whether the session service may ask it.
    pub(super) fn is_for_directives(&self) -> bool {
        matches!(self, Self::Renew {} | Self::Install { .. })
    }
}

/// Asks the identity service at `socket`.
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    control::ask(SERVICE, socket, request, None)
}

/// Answers root and the session service at `socket` on a thread of its own.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(
    socket: &Path,
    answer: impl Fn(Asked<Request>) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    let guest = users::guest(crate::session::USER);
    control::start_for(SERVICE, socket, guest, answer)
}
