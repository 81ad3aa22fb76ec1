//! What the updater is asked at its control socket ([`crate::control`]).
//!
//! `{"do":"status"}`, `{"do":"check"}`, `{"do":"install","by":"…"}` with or without a bundle's file,
//! `{"do":"confirm","by":"…"}`, `{"do":"rollback","by":"…"}`, `{"do":"scrub"}`.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::control::{self, Guest};
pub(crate) use crate::control::{Answer, AskError, Asked};

const SERVICE: &str = "the updater";

/// What the updater is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How it is: [`super::status::Status`] with the history.
    Status {},
    /// Look for a release now.
    Check {},
    /// Install what is on offer, or what is in the bundle that comes with the request, without waiting for a window.
    Install {
        /// Who says so, for the record.
        by: String,
    },
    /// Keep the image on trial.
    Confirm {
        /// Who says so, for the record.
        by: String,
    },
    /// Go back to the image in the other slot.
    Rollback {
        /// Who says so, for the record.
        by: String,
    },
    /// Hold both slots against what they should be.
    Scrub {},
}

/// What a guest may ask, at a socket of its own: the session service, for the service centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum GuestRequest {
    /// Look for a release now.
    Check {},
}

/// Asks the updater to look for a release, at the guest's socket.
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask_to_check(socket: &Path) -> Result<Answer, AskError> {
    control::ask(SERVICE, socket, &GuestRequest::Check {}, None)
}

/// Asks the updater at `socket`; a bundle goes with an [`Request::Install`].
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask(socket: &Path, request: &Request, bundle: Option<&File>) -> Result<Answer, AskError> {
    let bundle = bundle.map(|file| file.as_fd());
    control::ask(SERVICE, socket, request, bundle)
}

/// Answers at `socket` on a thread of its own; `answer` is called for one request at a time.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(
    socket: &Path,
    answer: impl Fn(Asked<Request>) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    control::start(SERVICE, socket, answer)
}

/// Answers `guest` at `socket`, likewise: all it can ask is [`Request::Check`].
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start_for_guest(
    socket: &Path,
    guest: Option<Guest>,
    answer: impl Fn(Asked<Request>) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    control::start_for(SERVICE, socket, guest, move |asked: Asked<GuestRequest>| {
        let Asked { request, user, .. } = asked;
        let GuestRequest::Check {} = request;
        answer(Asked {
            request: Request::Check {},
            user,
            file: None,
        })
    })
}
