//! What netd is asked at its control socket ([`crate::control`]).
//!
//! `{"do":"try","file":"site.toml","site":"…"}`, `{"do":"confirm","by":"…"}`, `{"do":"revert","by":"…"}`,
//! `{"do":"diff"}`, `{"do":"status"}`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::control;
pub(crate) use crate::control::{Answer, AskError};

const SERVICE: &str = "netd";

/// What netd is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Put a site on trial.
    Try {
        /// What mistakes call the file.
        file: String,
        /// The text of the site.
        site: String,
    },
    /// Keep the site on trial.
    Confirm {
        /// Who says so, for the record.
        by: String,
    },
    /// Go back to the last good site.
    Revert {
        /// Who says so, for the record.
        by: String,
    },
    /// What would change in the kernel now.
    Diff {},
    /// How the network is: [`super::state::State`].
    Status {},
}

/// Asks netd at `socket`.
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    control::ask(SERVICE, socket, request, None)
}

/// Answers at `socket` on a thread of its own; `answer` is called for one request at a time.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(
    socket: &Path,
    answer: impl Fn(Request) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    control::start(SERVICE, socket, move |asked: control::Asked<Request>| {
        answer(asked.request)
    })
}
