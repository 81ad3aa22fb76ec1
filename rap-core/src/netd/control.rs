//! netd's control socket: a line of JSON in, a line out, then the connection is closed.
//!
//! `{"do":"try","file":"site.toml","site":"…"}`, `{"do":"confirm","by":"…"}`, `{"do":"revert","by":"…"}`,
//! `{"do":"diff"}`, `{"do":"status"}`; answered by `{"done":…}` or `{"refused":"why"}`.
//!
//! Invariants: only root is answered (`SO_PEERCRED`, unix(7)); what is read is bounded in size and time.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit;

/// The longest request, in bytes; a site of 256 KiB fits with every character escaped.
const LIMIT: u64 = 2 << 20;
/// How long a request and the reading of its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody who asks waits: a new network is applied before the answer comes.
const WAIT: Duration = Duration::from_secs(90);

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

/// What netd answers: done, with what is to be told; or refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done.
    Done(Value),
    /// It was not done, and why.
    Refused(String),
}

/// Why netd could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No netd, or not root.
    #[error("cannot ask netd at {path}; is this the box, does netd run, and are you root?")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not answer.
    #[error("netd did not answer")]
    Answer(#[source] io::Error),
}

/// Asks netd at `socket`.
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|source| AskError::Connect {
        path: socket.display().to_string(),
        source,
    })?;
    let mut exchange = || {
        stream.set_read_timeout(Some(WAIT))?;
        stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
        let mut line = String::new();
        BufReader::new(&stream).take(LIMIT).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange().map_err(AskError::Answer)
}

/// Answers at `socket` on a thread of its own; `answer` is called for one request at a time.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(
    socket: &Path,
    answer: impl Fn(Request) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    // One that an earlier netd left.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)
        .and_then(|listener| {
            std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })
        .with_context(|| format!("cannot listen at {}", socket.display()))?;
    let serve = move || {
        for connection in listener.incoming() {
            let served = connection.and_then(|stream| serve(&stream, &answer));
            if let Err(error) = served {
                log::warn!("control socket: {error}");
            }
        }
    };
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(serve)
        .context("cannot start the thread of the control socket")?;
    Ok(())
}

fn serve(stream: &UnixStream, answer: &impl Fn(Request) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = socket_peercred(stream)?;
    let reply = if peer.uid.is_root() {
        let mut line = String::new();
        BufReader::new(stream).take(LIMIT).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(request) => answer(request),
            Err(error) => Answer::Refused(format!("this is no request: {error}")),
        }
    } else {
        log::warn!("control socket: refused user {}", peer.uid.as_raw());
        audit::tell(
            audit::Event::new(audit::Kind::RequestRefused, "somebody who may not asked netd")
                .with("user", peer.uid.as_raw()),
        );
        Answer::Refused("only root may ask netd".to_owned())
    };
    let mut stream = stream;
    stream.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("netd.sock");
        start(&socket, |request| match request {
            Request::Diff {} => Answer::Done(serde_json::json!({ "changes": [] })),
            other => Answer::Refused(format!("{other:?}")),
        })
        .unwrap();
        (directory, socket)
    }

    #[test]
    fn a_request_is_answered() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let (_directory, socket) = echo();
        assert_eq!(
            ask(&socket, &Request::Diff {}).unwrap(),
            Answer::Done(serde_json::json!({ "changes": [] }))
        );
        let long = "\"\n".repeat(128 * 1024);
        let tried = Request::Try {
            file: "f".to_owned(),
            site: long.clone(),
        };
        let Answer::Refused(text) = ask(&socket, &tried).unwrap() else {
            panic!("not refused")
        };
        assert!(text.len() > long.len());
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let (_directory, socket) = echo();
        for wrong in [
            "{\"do\":\"explode\"}\n",
            "\n",
            "{\"do\":\"diff\",\"and\":1}\n",
            "hello\n",
        ] {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(wrong.as_bytes()).unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            assert!(
                line.starts_with("{\"refused\":\"this is no request"),
                "{wrong}: {line}"
            );
        }
    }

    #[test]
    fn nobody_there_is_said_with_the_place() {
        let error = ask(Path::new("/nonexistent/netd.sock"), &Request::Diff {}).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/netd.sock"), "{error}");
    }
}
