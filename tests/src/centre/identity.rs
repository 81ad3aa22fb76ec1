//! The centre's word on a certificate that a box shows it before it uses it: `GET /v1/identity`.
//!
//! Which ones it does not take is a file beside its database, read at each question, so that another process may change it.

use std::path::{Path, PathBuf};

use hyper::StatusCode;

use super::server::{Answer, respond};

/// Where it is asked.
pub(super) const PATH: &str = "/v1/identity";

/// The file with the SHA-256 of each certificate that is not taken, one a line, beside the centre's `database`.
#[must_use]
pub fn refused_file(database: &Path) -> PathBuf {
    database.with_extension("refused")
}

pub(super) fn answer(device: &str, refused: &Path) -> Answer {
    let list = std::fs::read_to_string(refused).unwrap_or_default();
    if list.lines().any(|line| line == device) {
        respond(
            StatusCode::FORBIDDEN,
            "text/plain",
            "this certificate is revoked\n",
        )
    } else {
        respond(StatusCode::NO_CONTENT, "text/plain", "")
    }
}
