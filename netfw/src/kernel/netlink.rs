//! Netlink, plainly: a question, and the whole answer or an error, on a socket that belongs to one namespace.
//!
//! Invariant: an answer is whole. A dump that the kernel says was interrupted by a change (`NLM_F_DUMP_INTR`, netlink(7))
//! or of which it lost a part (`ENOBUFS`) is thrown away and asked for again, on a new socket.

use std::io;

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkDeserializable as _, NetlinkHeader,
    NetlinkSerializable as _,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::io::Errno;

use crate::netns::{self, Namespace};

/// How often a question is asked before its answer counts as not to be had.
const ATTEMPTS: usize = 10;
/// `struct nlmsghdr`: length, type, flags, sequence, sender.
const HEADER: usize = 16;

/// What a question is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nftables, and tracked connections.
    Netfilter,
}

/// A socket into one namespace, whichever thread uses it.
pub(super) struct Socket {
    namespace: Namespace,
    family: Family,
    socket: rtnetlink::sys::Socket,
    sequence: u32,
}

/// One message of an answer: its type and what follows its header.
pub(super) type Message = (u16, Vec<u8>);

impl Socket {
    /// Opens a socket that belongs to `namespace`.
    pub(super) fn open(namespace: &Namespace, family: Family) -> Result<Self, netns::Error> {
        Ok(Self {
            namespace: namespace.clone(),
            family,
            socket: connect(namespace, family)?,
            sequence: 0,
        })
    }

    /// Everything the kernel answers to a question about all of something.
    pub(super) fn dump_raw(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        let mut attempt = 1;
        loop {
            let answer = self.exchange(kind, NLM_F_DUMP, body);
            let incomplete = answer.as_ref().err().is_some_and(is_incomplete);
            if !incomplete || attempt == ATTEMPTS {
                return answer;
            }
            attempt += 1;
            // What is left of the broken dump dies with its socket.
            self.socket = connect(&self.namespace, self.family).map_err(io::Error::other)?;
        }
    }

    /// Has the kernel change something, in a family of its own.
    pub(super) fn change_raw(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.exchange(kind, NLM_F_ACK, body).map(drop)
    }

    /// As [`Self::dump_raw`], for the routing family.
    pub(super) fn dump(&mut self, question: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let answer = self.dump_raw(question.message_type(), &bytes(question))?;
        answer.iter().map(parse).collect()
    }

    /// Has the kernel change something that is there.
    pub(super) fn change(&mut self, request: &RouteNetlinkMessage) -> io::Result<()> {
        self.change_raw(request.message_type(), &bytes(request))
    }

    /// Has the kernel make something that is not there yet.
    pub(super) fn add(&mut self, request: &RouteNetlinkMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.exchange(request.message_type(), flags, &bytes(request))
            .map(drop)
    }

    /// Has the kernel make something, in the place of what is there.
    pub(super) fn replace(&mut self, request: &RouteNetlinkMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.exchange(request.message_type(), flags, &bytes(request))
            .map(drop)
    }

    fn exchange(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message(kind, flags | NLM_F_REQUEST, self.sequence, body)?;
        self.socket.send(&request, 0)?;
        let mut answer = Answer::new(self.sequence);
        loop {
            let (packet, _) = self.socket.recv_from_full()?;
            if answer.take(&packet)? {
                return Ok(answer.messages);
            }
        }
    }
}

fn connect(namespace: &Namespace, family: Family) -> Result<rtnetlink::sys::Socket, netns::Error> {
    let protocol = match family {
        Family::Route => NETLINK_ROUTE,
        Family::Netfilter => NETLINK_NETFILTER,
    };
    let open = || {
        let mut socket = rtnetlink::sys::Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&rtnetlink::sys::SocketAddr::new(0, 0))?;
        Ok(socket)
    };
    let failed = |error| netns::Error::Socket(namespace.name().to_owned(), error);
    namespace.run(open)?.map_err(failed)
}

/// An answer as it comes in, packet by packet.
struct Answer {
    sequence: u32,
    messages: Vec<Message>,
    interrupted: bool,
}

impl Answer {
    fn new(sequence: u32) -> Self {
        Self {
            sequence,
            messages: Vec::new(),
            interrupted: false,
        }
    }

    /// Takes a packet in; true when the answer ends with it.
    fn take(&mut self, mut packet: &[u8]) -> io::Result<bool> {
        while packet.len() >= HEADER {
            let length = u32_at(packet, 0) as usize;
            if length < HEADER || length > packet.len() {
                return Err(garbled());
            }
            let (kind, flags) = (u16_at(packet, 4), u16_at(packet, 6));
            let (ours, body) = (u32_at(packet, 8) == self.sequence, &packet[HEADER..length]);
            packet = &packet[length.next_multiple_of(4).min(packet.len())..];
            if ours && self.take_one(kind, flags, body)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_one(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<bool> {
        self.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            NLMSG_NOOP => Ok(false),
            NLMSG_OVERRUN => Err(Errno::NOBUFS.into()),
            // Both carry an error number, negative or zero; the acknowledgement of a change is the error zero.
            NLMSG_ERROR | NLMSG_DONE => match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                Some(0) | None if self.interrupted => Err(Errno::INTR.into()),
                Some(0) | None => Ok(true),
                Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            },
            _ => {
                self.messages.push((kind, body.to_vec()));
                Ok(false)
            }
        }
    }
}

fn is_incomplete(error: &io::Error) -> bool {
    [Errno::INTR, Errno::NOBUFS, Errno::AGAIN, Errno::BUSY]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    Ok(message)
}

fn bytes(message: &RouteNetlinkMessage) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn parse((kind, body): &Message) -> io::Result<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = *kind;
    RouteNetlinkMessage::deserialize(&header, body)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message longer than its packet")
}

/// `at` is within a header that was checked to be there.
fn u32_at(packet: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

fn u16_at(packet: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([packet[at], packet[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `linux/rtnetlink.h` numbers it.
    const RTM_NEWLINK: u16 = 16;

    fn packet(messages: &[(u16, u16, u32, &[u8])]) -> Vec<u8> {
        let written = messages
            .iter()
            .map(|(kind, flags, sequence, body)| message(*kind, *flags, *sequence, body).unwrap());
        written.collect::<Vec<_>>().concat()
    }

    #[test]
    fn an_answer_ends_with_done_and_leaves_out_what_belongs_to_another_question() {
        let mut answer = Answer::new(7);
        let first = packet(&[(RTM_NEWLINK, 2, 6, b"old!"), (RTM_NEWLINK, 2, 7, b"link")]);
        assert!(!answer.take(&first).unwrap());
        assert!(answer.take(&packet(&[(NLMSG_DONE, 2, 7, &[0; 4])])).unwrap());
        assert_eq!(answer.messages, [(RTM_NEWLINK, b"link".to_vec())]);
    }

    #[test]
    fn a_dump_that_was_interrupted_anywhere_is_no_answer() {
        let mut answer = Answer::new(1);
        let interrupted = packet(&[(RTM_NEWLINK, 2 | NLM_F_DUMP_INTR, 1, b"link")]);
        assert!(!answer.take(&interrupted).unwrap());
        let error = answer.take(&packet(&[(NLMSG_DONE, 2, 1, &[0; 4])])).unwrap_err();
        assert!(is_incomplete(&error), "{error}");
    }

    #[test]
    fn the_kernels_refusal_is_an_error_and_its_acknowledgement_is_none() {
        let refusal = packet(&[(NLMSG_ERROR, 0, 1, &(-19_i32).to_ne_bytes())]);
        let error = Answer::new(1).take(&refusal).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19));
        assert!(!is_incomplete(&error));
        assert!(
            Answer::new(1)
                .take(&packet(&[(NLMSG_ERROR, 0, 1, &[0; 4])]))
                .unwrap()
        );
    }

    #[test]
    fn a_length_beyond_the_packet_is_refused() {
        let mut broken = packet(&[(RTM_NEWLINK, 2, 1, b"link")]);
        broken[0] = 200;
        assert!(Answer::new(1).take(&broken).is_err());
        broken[0] = 4;
        assert!(Answer::new(1).take(&broken).is_err());
    }
}
