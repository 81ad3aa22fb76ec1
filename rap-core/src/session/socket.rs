//! Sockets between the services of a box, for others than root: a line of JSON in, a line out, then the connection is
//! closed.
//!
//! Invariants: only root and the named users are answered (`SO_PEERCRED`, unix(7)), and whoever answers knows who asks;
//! what is read is bounded in size and time; one request is answered at a time.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::sockopt::socket_peercred;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest request or answer, in bytes.
const LIMIT: u64 = 1 << 20;
/// How long a request and the reading of its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody who asks waits.
const WAIT: Duration = Duration::from_secs(20);

/// The answer: done, with what is to be told; or refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It was done.
    Done(Value),
    /// It was not done, and why.
    Refused(String),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) user: u32,
}

/// Asks at `socket`.
///
/// # Errors
/// When nobody is there or does not answer.
pub(crate) fn ask<Q: Serialize>(socket: &Path, request: &Q) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(&stream).take(LIMIT).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Answers at `socket` on a thread of its own. Besides root, `users` may ask; the socket itself is `group`'s.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn start<Q: DeserializeOwned>(
    socket: &Path,
    users: Vec<u32>,
    group: Option<u32>,
    answer: impl Fn(Q, Peer) -> Reply + Send + 'static,
) -> anyhow::Result<()> {
    // One that an earlier process left.
    let _ = std::fs::remove_file(socket);
    let listen = || -> io::Result<UnixListener> {
        let listener = UnixListener::bind(socket)?;
        std::os::unix::fs::chown(socket, None, group)?;
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
        Ok(listener)
    };
    let listener = listen().with_context(|| format!("cannot listen at {}", socket.display()))?;
    let name = socket.display().to_string();
    let serve = move || {
        for connection in listener.incoming() {
            let served = connection.and_then(|stream| serve(&stream, &users, &answer));
            if let Err(error) = served {
                log::warn!("{name}: {error}");
            }
        }
    };
    let thread = std::thread::Builder::new().name("socket".to_owned());
    thread
        .spawn(serve)
        .context("cannot start the thread of a socket")?;
    Ok(())
}

fn serve<Q: DeserializeOwned>(
    stream: &UnixStream,
    users: &[u32],
    answer: &impl Fn(Q, Peer) -> Reply,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let user = socket_peercred(stream)?.uid;
    let reply = if user.is_root() || users.contains(&user.as_raw()) {
        let mut line = String::new();
        BufReader::new(stream).take(LIMIT).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(request) => answer(request, Peer { user: user.as_raw() }),
            Err(error) => Reply::Refused(format!("this is no request: {error}")),
        }
    } else {
        log::warn!("refused user {}", user.as_raw());
        Reply::Refused("this user may not ask here".to_owned())
    };
    let mut stream = stream;
    stream.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_and_its_asker_known() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s.sock");
        let me = rustix::process::geteuid().as_raw();
        start(&socket, vec![me], None, |n: u32, peer| {
            Reply::Done(serde_json::json!([n + 1, peer.user]))
        })
        .unwrap();
        let answer = ask(&socket, &7_u32).unwrap();
        assert_eq!(answer, Reply::Done(serde_json::json!([8, me])));
        let Reply::Refused(why) = ask(&socket, &"seven").unwrap() else {
            panic!("not refused")
        };
        assert!(why.starts_with("this is no request"), "{why}");
        assert!(ask(&folder.path().join("none"), &7_u32).is_err());
    }
}
