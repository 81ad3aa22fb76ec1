//! Control sockets: how a person, or another program of the box, asks a service. A line of JSON in, a line out, then the
//! connection is closed. Beside the line one open file may come (`SCM_RIGHTS`, unix(7)).
//!
//! `{"do":"WHAT",…}` is answered by `{"done":…}` or `{"refused":"why"}`; what can be asked is the service's own enum.
//!
//! Invariants: only root is answered, and whom a service names besides (`SO_PEERCRED`, unix(7)); what is read is bounded in
//! size and time; a service answers one request at a time.

use std::io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::audit;
use anyhow::Context as _;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest request, in bytes; a site of 256 KiB fits with every character escaped.
const LIMIT: u64 = 2 << 20;
/// How long a request and the reading of its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody who asks waits: a new network is applied before the answer comes.
const WAIT: Duration = Duration::from_secs(90);

/// What a service answers: done, with what is to be told; or refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done.
    Done(Value),
    /// It was not done, and why.
    Refused(String),
}

/// What a service was asked, by which user, and the file that came with it.
#[derive(Debug)]
pub(crate) struct Asked<Q> {
    pub(crate) request: Q,
    pub(crate) user: u32,
    pub(crate) file: Option<OwnedFd>,
}

/// Who may ask besides root: a service's user, and its group reaches the socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Why a service could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It is not there, or whoever asks is not root.
    #[error("cannot ask {service} at {path}; is this the box, does {service} run, and are you root?")]
    Connect {
        /// Which.
        service: &'static str,
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not answer.
    #[error("{service} did not answer")]
    Answer {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Asks `service` at `socket`.
///
/// # Errors
/// When it is not there or does not answer.
pub(crate) fn ask<Q: Serialize>(
    service: &'static str,
    socket: &Path,
    request: &Q,
    file: Option<BorrowedFd<'_>>,
) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|source| AskError::Connect {
        service,
        path: socket.display().to_string(),
        source,
    })?;
    let mut exchange = || {
        stream.set_read_timeout(Some(WAIT))?;
        let line = format!("{}\n", serde_json::to_string(request)?);
        let sent = send_first(&stream, line.as_bytes(), file)?;
        stream.write_all(&line.as_bytes()[sent..])?;
        let mut line = String::new();
        BufReader::new(&stream).take(LIMIT).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange().map_err(|source| AskError::Answer { service, source })
}

/// Answers root for `service` at `socket` on a thread of its own; `answer` is called for one request at a time.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn start<Q: DeserializeOwned>(
    service: &'static str,
    socket: &Path,
    answer: impl Fn(Asked<Q>) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    start_for(service, socket, None, answer)
}

/// As [`start`], for a guest too.
///
/// # Errors
/// As there.
pub(crate) fn start_for<Q: DeserializeOwned>(
    service: &'static str,
    socket: &Path,
    guest: Option<Guest>,
    answer: impl Fn(Asked<Q>) -> Answer + Send + 'static,
) -> anyhow::Result<()> {
    // One that an earlier process left.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)
        .and_then(|listener| {
            let mode = if guest.is_some() { 0o660 } else { 0o600 };
            // In a folder whose group is the guest's the socket has it already; only root could give it.
            let group = guest.map(|guest| guest.group);
            if group.is_some_and(|group| group != std::fs::metadata(socket).map_or(0, |of| of.gid())) {
                std::os::unix::fs::chown(socket, None, group)?;
            }
            std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
            Ok(listener)
        })
        .with_context(|| format!("cannot listen at {}", socket.display()))?;
    let serve = move || {
        for connection in listener.incoming() {
            let served = connection.and_then(|stream| serve(service, &stream, guest, &answer));
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

fn serve<Q: DeserializeOwned>(
    service: &str,
    stream: &UnixStream,
    guest: Option<Guest>,
    answer: &impl Fn(Asked<Q>) -> Answer,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let user = socket_peercred(stream)?.uid.as_raw();
    let reply = if user == 0 || guest.is_some_and(|guest| guest.user == user) {
        let (line, file) = receive(stream)?;
        match serde_json::from_slice(&line) {
            Ok(request) => answer(Asked { request, user, file }),
            Err(error) => Answer::Refused(format!("this is no request: {error}")),
        }
    } else {
        log::warn!("control socket: refused user {user}");
        audit::tell(
            audit::Event::new(audit::Kind::RequestRefused, "somebody who may not asked")
                .with("asked", service)
                .with("user", user),
        );
        Answer::Refused(format!("this user may not ask {service}"))
    };
    let mut stream = stream;
    stream.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes())
}

/// Sends as much of `bytes` as goes at once, with the file; says how much went.
fn send_first(stream: &UnixStream, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let file = file.map(|file| [file]);
    if let Some(files) = &file {
        // There is room: the space above is for one descriptor.
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let sent = rustix::net::sendmsg(
        stream.as_fd(),
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(sent)
}

/// A line, and the file that came with its first bytes.
fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut first = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut first)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let mut line = first[..received.bytes].to_vec();
    if !line.is_empty() && !line.contains(&b'\n') {
        BufReader::new(stream).take(LIMIT).read_until(b'\n', &mut line)?;
    }
    Ok((line, file))
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
    enum Request {
        Echo { text: String },
        Read {},
    }

    fn echo() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("echo.sock");
        start("echo", &socket, |asked: Asked<Request>| match asked.request {
            Request::Echo { text } => Answer::Refused(text),
            Request::Read {} => {
                let mut text = String::new();
                if let Some(file) = asked.file {
                    std::fs::File::from(file).read_to_string(&mut text).unwrap();
                }
                Answer::Done(text.into())
            }
        })
        .unwrap();
        (directory, socket)
    }

    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            println!("skipped: needs root");
        }
        root
    }

    #[test]
    fn a_long_request_and_its_answer_arrive_whole() {
        if !is_root() {
            return;
        }
        let (_directory, socket) = echo();
        let long = "\"\n".repeat(128 * 1024);
        let asked = Request::Echo { text: long.clone() };
        assert_eq!(ask("echo", &socket, &asked, None).unwrap(), Answer::Refused(long));
    }

    #[test]
    fn a_file_comes_with_a_request() {
        if !is_root() {
            return;
        }
        let (_directory, socket) = echo();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"in the file").unwrap();
        file.rewind().unwrap();
        let answer = ask("echo", &socket, &Request::Read {}, Some(file.as_fd())).unwrap();
        assert_eq!(answer, Answer::Done("in the file".into()));
        let without = ask("echo", &socket, &Request::Read {}, None).unwrap();
        assert_eq!(without, Answer::Done("".into()));
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        if !is_root() {
            return;
        }
        let (_directory, socket) = echo();
        for wrong in [
            "{\"do\":\"explode\"}\n",
            "\n",
            "{\"do\":\"read\",\"and\":1}\n",
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
        let nowhere = Path::new("/nonexistent/netd.sock");
        let error = ask("netd", nowhere, &Request::Read {}, None).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/netd.sock"), "{error}");
    }
}
