//! How a service talks to init: readiness, heartbeat, and sockets to keep. The protocol is in ARCHITECTURE.md.
//!
//! One message a packet of a `SOCK_SEQPACKET` pair, at most [`PACKET_LIMIT`] bytes of UTF-8 text:
//! `READY=1`, `RELOADING=1`, `ALIVE=1`, `STATUS=text`, `RESTART=why`, `FORGET=name`, or `STORE=name` with one descriptor attached
//! (`SCM_RIGHTS`, unix(7)).
//! Invariants: neither end ever blocks on the other; a descriptor that comes with any other message is closed.

use std::fmt::Write as _;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::sys;

/// The environment variable that carries the descriptor of the notify socket.
pub const NOTIFY_FD: &str = "RAP_NOTIFY_FD";
/// The environment variable that lists inherited sockets: `name=fd,name=fd`.
pub const SOCKETS: &str = "RAP_SOCKETS";
/// The longest packet, in bytes.
pub const PACKET_LIMIT: usize = 512;

/// A service's end of the notify socket. Without one (started by hand) every call does nothing.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<OwnedFd>,
}

impl Notifier {
    /// Takes the socket that init left in the environment. Only the first call in a process finds it.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = std::env::var(NOTIFY_FD).ok().and_then(|text| text.parse().ok());
        Self {
            socket: number.and_then(sys::inherited_socket),
        }
    }

    /// Talks over `socket`, the second half of [`Channel::pair`]; for tests and services in the same process.
    #[must_use]
    pub fn over(socket: OwnedFd) -> Self {
        Self { socket: Some(socket) }
    }

    /// Says that the service does its work now.
    pub fn ready(&self) {
        self.send("READY=1", None);
    }

    /// Says that what the service gives to others changes now: those that come after it are restarted once it is ready
    /// again.
    pub fn reloading(&self) {
        self.send("RELOADING=1", None);
    }

    /// Says that the service is alive; to be called at least every 10 s.
    pub fn alive(&self) {
        self.send("ALIVE=1", None);
    }

    /// Says in a few words what the service is doing. Cut to what fits a packet.
    pub fn status(&self, text: &str) {
        let mut message = format!("STATUS={text}");
        message.truncate(message.floor_char_boundary(PACKET_LIMIT));
        self.send(&message, None);
    }

    /// Gives init a socket to keep under `name` and to hand to whoever needs it.
    ///
    /// A name that is empty or holds `,`, `=` or a control character is refused with an error in the log.
    pub fn store(&self, name: &str, socket: BorrowedFd<'_>) {
        if is_name(name) {
            self.send(&format!("STORE={name}"), Some(socket));
        } else {
            log::error!(
                "cannot keep a socket under the name \"{name}\": expected text without , = or control characters"
            );
        }
    }

    /// Has init close the socket it keeps under `name`; one that it does not keep is forgotten.
    pub fn forget(&self, name: &str) {
        self.send(&format!("FORGET={name}"), None);
    }

    /// Asks init to restart the box, and says why. Only a service whose place in init's table says so is heard.
    pub fn restart(&self, why: &str) {
        let mut message = format!("RESTART={why}");
        message.truncate(message.floor_char_boundary(PACKET_LIMIT));
        self.send(&message, None);
    }

    fn send(&self, text: &str, attached: Option<BorrowedFd<'_>>) {
        let Some(socket) = &self.socket else { return };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let attached = attached.map(|fd| [fd]);
        if let Some(fds) = &attached {
            // There is room: the space above is for one descriptor.
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let packet = [IoSlice::new(text.as_bytes())];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if let Err(error) = rustix::net::sendmsg(socket, &packet, &mut control, flags) {
            log::warn!("init did not take \"{text}\": {error}");
        }
    }
}

/// Takes the sockets that init handed down, by name. Only the first call in a process finds them.
#[must_use]
pub fn inherited_sockets() -> Vec<(String, OwnedFd)> {
    let list = std::env::var(SOCKETS).unwrap_or_default();
    parse_sockets(&list)
        .into_iter()
        .filter_map(|(name, number)| Some((name, sys::inherited_socket(number)?)))
        .collect()
}

/// The value of [`SOCKETS`] for these sockets.
#[must_use]
pub fn socket_list<'a>(sockets: impl IntoIterator<Item = (&'a str, RawFd)>) -> String {
    let mut list = String::new();
    for (name, number) in sockets {
        let comma = if list.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(list, "{comma}{name}={number}");
    }
    list
}

fn parse_sockets(list: &str) -> Vec<(String, RawFd)> {
    list.split(',')
        .filter_map(|entry| {
            let (name, number) = entry.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    let clean = name.chars().all(|c| !c.is_control() && c != ',' && c != '=');
    !name.is_empty() && name.len() <= 64 && clean
}

/// What a service said.
#[derive(Debug)]
pub enum Message {
    /// It does its work now.
    Ready,
    /// What it gives to others changes until it says that it is ready.
    Reloading,
    /// It is alive.
    Alive,
    /// What it is doing, in a few words.
    Status(String),
    /// It wants the box restarted, for this reason.
    Restart(String),
    /// A socket to keep.
    Store {
        /// Under which name.
        name: String,
        /// The socket.
        socket: OwnedFd,
    },
    /// A socket that need not be kept any more.
    Forget {
        /// Under which name it was.
        name: String,
    },
}

/// Why there is no [`Message`].
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The service closed its end, or has gone.
    #[error("the service closed its notify socket")]
    Closed,
    /// A packet that is none of the protocol's.
    #[error(
        "the service sent \"{found}\", expected READY=1, RELOADING=1, ALIVE=1, STATUS=text, RESTART=why, FORGET=name, \
         or STORE=name with a descriptor"
    )]
    Malformed {
        /// The packet as text.
        found: String,
    },
    /// The kernel would not.
    #[error("cannot read a notify socket")]
    Receive {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Init's end of the notify socket.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Makes both ends; the second goes to the service. Both are closed on exec and neither blocks.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self { socket }, other))
    }

    /// The next message, `None` when nothing waits.
    ///
    /// # Errors
    /// See [`ReceiveError`]; after `Malformed` the next call goes on with the next packet.
    pub fn receive(&self) -> Result<Option<Message>, ReceiveError> {
        let mut packet = [0_u8; PACKET_LIMIT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut packet)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let received = match received {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(Errno::CONNRESET | Errno::PIPE) => return Err(ReceiveError::Closed),
            Err(error) => {
                return Err(ReceiveError::Receive { source: error.into() });
            }
        };
        if received.bytes == 0 {
            return Err(ReceiveError::Closed);
        }
        let attached = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let text = String::from_utf8_lossy(&packet[..received.bytes.min(PACKET_LIMIT)]).into_owned();
        let whole = !received.flags.contains(ReturnFlags::TRUNC);
        match Message::new(&text, attached) {
            Some(message) if whole => Ok(Some(message)),
            _ => Err(ReceiveError::Malformed { found: text }),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Message {
    fn new(text: &str, attached: Option<OwnedFd>) -> Option<Self> {
        match (text.split_once('=')?, attached) {
            (("READY", "1"), _) => Some(Self::Ready),
            (("RELOADING", "1"), _) => Some(Self::Reloading),
            (("ALIVE", "1"), _) => Some(Self::Alive),
            (("FORGET", name), _) => Some(Self::Forget {
                name: name.to_owned(),
            }),
            (("STATUS", words), _) => Some(Self::Status(words.to_owned())),
            (("RESTART", why), _) => Some(Self::Restart(why.to_owned())),
            (("STORE", name), Some(socket)) if is_name(name) => Some(Self::Store {
                name: name.to_owned(),
                socket,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_in_order() {
        let (channel, other) = Channel::pair().unwrap();
        let notifier = Notifier::over(other);
        assert!(channel.receive().unwrap().is_none());
        notifier.status("läuft");
        notifier.ready();
        notifier.alive();
        notifier.reloading();
        notifier.forget("ingest@port1");
        notifier.restart("an update");
        assert!(matches!(channel.receive(), Ok(Some(Message::Status(text))) if text == "läuft"));
        assert!(matches!(channel.receive(), Ok(Some(Message::Ready))));
        assert!(matches!(channel.receive(), Ok(Some(Message::Alive))));
        assert!(matches!(channel.receive(), Ok(Some(Message::Reloading))));
        assert!(matches!(channel.receive(), Ok(Some(Message::Forget { name })) if name == "ingest@port1"));
        assert!(matches!(channel.receive(), Ok(Some(Message::Restart(why))) if why == "an update"));
        drop(notifier);
        assert!(matches!(channel.receive(), Err(ReceiveError::Closed)));
    }

    #[test]
    fn a_stored_socket_is_the_same_socket() {
        let (channel, other) = Channel::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Notifier::over(other).store("ingest@port1", listener.as_fd());
        let Ok(Some(Message::Store { name, socket })) = channel.receive() else {
            panic!("no STORE")
        };
        assert_eq!(name, "ingest@port1");
        let address = std::net::TcpListener::from(socket).local_addr().unwrap();
        assert_eq!(address, listener.local_addr().unwrap());
    }

    #[test]
    fn what_is_no_message_is_refused_and_the_next_one_read() {
        let (channel, other) = Channel::pair().unwrap();
        for wrong in ["", "READY=2", "STORE=ingest", "HELLO", "STATUS"] {
            if !wrong.is_empty() {
                rustix::net::send(&other, wrong.as_bytes(), SendFlags::empty()).unwrap();
                let error = channel.receive().unwrap_err();
                assert!(
                    matches!(&error, ReceiveError::Malformed { found } if found == wrong),
                    "{error}"
                );
            }
        }
        rustix::net::send(&other, &[b'x'; PACKET_LIMIT + 1], SendFlags::empty()).unwrap();
        assert!(matches!(channel.receive(), Err(ReceiveError::Malformed { .. })));
        Notifier::over(other).ready();
        assert!(matches!(channel.receive(), Ok(Some(Message::Ready))));
    }

    #[test]
    fn a_long_status_is_cut_between_characters() {
        let (channel, other) = Channel::pair().unwrap();
        Notifier::over(other).status(&"ü".repeat(PACKET_LIMIT));
        let Ok(Some(Message::Status(text))) = channel.receive() else {
            panic!("no STATUS")
        };
        assert!(text.len() > 500 && text.chars().all(|c| c == 'ü'));
    }

    #[test]
    fn the_list_of_sockets_reads_back() {
        let list = socket_list([("ingest@port1", 7), ("ingest@port2", 8)]);
        assert_eq!(list, "ingest@port1=7,ingest@port2=8");
        let expected = vec![("ingest@port1".to_owned(), 7), ("ingest@port2".to_owned(), 8)];
        assert_eq!(parse_sockets(&list), expected);
        assert!(parse_sockets("").is_empty());
    }
}
