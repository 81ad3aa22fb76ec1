//! Packets as they are written onto a cable and read from it, each with the number of its case in it.
//!
//! The number, [`tag`], stands where whoever answers must repeat it: in TCP's sequence and acknowledgement numbers, in
//! an echo's identifier, at the start of every payload. So an answer, a refusal that quotes the packet and the packet
//! itself wherever it turns up all name the case they belong to.

mod heard;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use heard::{Heard, Sound, read, read_transport};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// The upper 12 bits of a tag; 16 bits of case and 4 for counting on follow.
const MAGIC: u32 = 0xa7c0_0000;

/// What stands in the packets of case `number`.
pub(crate) fn tag(number: u16) -> u32 {
    MAGIC | (u32::from(number) << 4)
}

/// The cases whose packets are listened for; a number outside is a coincidence, or late.
pub(crate) type Live = std::ops::Range<u16>;

/// One IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) body: Body,
    pub(crate) shape: Shape,
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Tcp {
        from: u16,
        to: u16,
        flags: u8,
    },
    Udp {
        from: u16,
        to: u16,
    },
    Echo,
    EchoReply,
    /// Another ICMP or ICMPv6 message; the tag follows `payload`, as an option of neighbour discovery (RFC 4861).
    Icmp {
        kind: u8,
        code: u8,
        rest: [u8; 4],
        payload: Vec<u8>,
    },
    /// An ICMP error about a packet.
    Error {
        kind: u8,
        code: u8,
        rest: [u8; 4],
        about: Box<Packet>,
    },
    /// Another protocol, by its number.
    Other(u8),
}

/// How a packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In one piece.
    Whole,
    /// In two fragments.
    Split,
    /// The first of two fragments, and never the second.
    Torn,
    /// With an option that asks for another way (loose source route, RFC 791 §3.1).
    Routed,
}

/// Stands after the tag in a datagram that answers another.
pub(crate) const ANSWER: u8 = b'R';

impl Packet {
    pub(crate) fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, body: Body) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            body,
            shape: Shape::Whole,
        }
    }

    pub(crate) fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// What whoever gets this packet answers, in addresses and ports.
    pub(crate) fn reversed(&self) -> Self {
        let body = match &self.body {
            Body::Tcp { from, to, .. } => Body::Tcp {
                from: *to,
                to: *from,
                flags: SYN | ACK,
            },
            Body::Udp { from, to } => Body::Udp { from: *to, to: *from },
            other => other.clone(),
        };
        Self::new(self.destination, self.source, body)
    }

    /// The IP packets of case `number`, in the order they are sent.
    pub(crate) fn bytes(&self, number: u16) -> Vec<Vec<u8>> {
        self.encode(number, None, false)
    }

    /// A segment within a connection: its sequence number and what it acknowledges.
    pub(crate) fn segment(&self, number: u16, numbers: (u32, u32)) -> Vec<Vec<u8>> {
        self.encode(number, Some(numbers), false)
    }

    /// The same without anything in it.
    pub(crate) fn bare_segment(&self, number: u16, numbers: (u32, u32)) -> Vec<Vec<u8>> {
        self.encode(number, Some(numbers), true)
    }

    /// What a host answers to `heard`, when it answers at all.
    pub(crate) fn answer(heard: &Heard) -> Option<Vec<Vec<u8>>> {
        let reply = |body| Self::new(heard.destination, heard.source, body);
        match heard.sound {
            Sound::Tcp {
                from,
                to,
                flags,
                sequence,
                ..
            } if flags & (SYN | ACK | RST) == SYN => {
                let body = Body::Tcp {
                    from: to,
                    to: from,
                    flags: SYN | ACK,
                };
                Some(reply(body).segment(heard.case, (tag(heard.case) + 8, sequence.wrapping_add(1))))
            }
            Sound::Udp {
                from,
                to,
                answer: false,
            } => Some(reply(Body::Udp { from: to, to: from }).encode(heard.case, None, true)),
            Sound::Echo => Some(reply(Body::EchoReply).bytes(heard.case)),
            _ => None,
        }
    }

    /// The reset of a host that never asked for the connection `heard` accepts.
    pub(crate) fn hang_up(heard: &Heard) -> Option<Vec<Vec<u8>>> {
        let Sound::Tcp {
            from,
            to,
            flags,
            acknowledged,
            ..
        } = heard.sound
        else {
            return None;
        };
        let body = Body::Tcp {
            from: to,
            to: from,
            flags: RST,
        };
        (flags & (SYN | ACK) == SYN | ACK)
            .then(|| Self::new(heard.destination, heard.source, body).segment(heard.case, (acknowledged, 0)))
    }

    fn encode(&self, number: u16, numbers: Option<(u32, u32)>, answer: bool) -> Vec<Vec<u8>> {
        let (protocol, body) = self.transport(number, numbers, answer);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ipv4(source, destination, protocol, number, &body, self.shape)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => vec![ipv6(source, destination, protocol, &body)],
            _ => panic!("one packet, two versions of IP: {self}"),
        }
    }

    fn transport(&self, number: u16, numbers: Option<(u32, u32)>, answer: bool) -> (u8, Vec<u8>) {
        let tag = tag(number);
        let mut payload = tag.to_be_bytes().to_vec();
        payload.extend([if answer { ANSWER } else { b'Q' }; 28]);
        let icmp = if self.source.is_ipv4() { 1 } else { 58 };
        let (protocol, mut bytes, checksum) = match &self.body {
            Body::Tcp { from, to, flags } => {
                let (sequence, acknowledged) =
                    numbers.unwrap_or((tag, if flags & ACK == 0 { 0 } else { tag }));
                let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
                bytes.extend([sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat());
                bytes.extend([0x50, *flags, 0x20, 0, 0, 0, 0, 0]);
                if numbers.is_some() && flags & (SYN | RST) == 0 && !answer {
                    // Short, so that what acknowledges it still names the case.
                    bytes.extend(&payload[..8]);
                }
                (6, bytes, Some(16))
            }
            Body::Udp { from, to } => {
                let length = u16::try_from(payload.len() + 8).unwrap();
                let mut bytes = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
                bytes.extend(payload);
                (17, bytes, Some(6))
            }
            Body::Echo | Body::EchoReply => {
                let kind = match (icmp, &self.body) {
                    (1, Body::Echo) => 8,
                    (1, _) => 0,
                    (_, Body::Echo) => 128,
                    _ => 129,
                };
                let mut bytes = vec![kind, 0, 0, 0];
                bytes.extend(tag.to_be_bytes());
                bytes.extend(payload);
                (icmp, bytes, Some(2))
            }
            Body::Icmp {
                kind,
                code,
                rest,
                payload,
            } => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(rest);
                bytes.extend(payload);
                // A nonce (RFC 3971 §5.3.2), which whoever does not know it skips.
                bytes.extend([14, 1]);
                bytes.extend(tag.to_be_bytes());
                bytes.extend([0, 0]);
                (icmp, bytes, Some(2))
            }
            Body::Error {
                kind,
                code,
                rest,
                about,
            } => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(rest);
                bytes.extend(&about.bytes(number)[0]);
                (icmp, bytes, Some(2))
            }
            Body::Other(protocol) => (*protocol, payload, None),
        };
        if let Some(at) = checksum {
            let sum = match self.source {
                IpAddr::V4(_) if protocol == 1 => sum_of(&bytes, 0),
                _ => sum_of(
                    &bytes,
                    pseudo_header(self.source, self.destination, protocol, bytes.len()),
                ),
            };
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        (protocol, bytes)
    }
}

fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    number: u16,
    body: &[u8],
    shape: Shape,
) -> Vec<Vec<u8>> {
    const MORE: u16 = 0x2000;
    let options: &[u8] = if shape == Shape::Routed {
        // Loose source route of one address, its pointer before it; a no-op first (RFC 791 §3.1).
        &[1, 131, 7, 4, 192, 0, 2, 1]
    } else {
        &[]
    };
    let piece = |body: &[u8], fragment: u16| {
        let words = 5 + u8::try_from(options.len() / 4).unwrap();
        let length = u16::try_from(body.len() + usize::from(words) * 4).unwrap();
        let mut bytes = vec![0x40 | words, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes.extend(options);
        let sum = sum_of(&bytes, 0);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    // The first fragment holds TCP's whole header.
    let cut = 24.min(body.len() / 8 * 8);
    match shape {
        Shape::Whole | Shape::Routed => vec![piece(body, 0)],
        Shape::Split => vec![
            piece(&body[..cut], MORE),
            piece(&body[cut..], u16::try_from(cut / 8).unwrap()),
        ],
        Shape::Torn => vec![piece(&body[..cut], MORE)],
    }
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    // Neighbour discovery is believed with the highest hop limit only (RFC 4861 §6.1).
    bytes.extend([protocol, 255]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(body);
    bytes
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u32 {
    let mut bytes = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    words.sum::<u32>() + u32::from(protocol) + u32::try_from(length).unwrap()
}

/// The Internet checksum (RFC 1071), begun with `sum`.
fn sum_of(bytes: &[u8], mut sum: u32) -> u16 {
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.source, self.destination);
        match &self.body {
            Body::Tcp {
                from: sport,
                to: dport,
                flags,
            } => {
                let names = [(SYN, "SYN"), (ACK, "ACK"), (FIN, "FIN"), (RST, "RST")];
                let set: Vec<_> = names
                    .iter()
                    .filter(|(bit, _)| flags & bit != 0)
                    .map(|(_, name)| *name)
                    .collect();
                let set = if set.is_empty() {
                    "no flags".to_owned()
                } else {
                    set.join("+")
                };
                write!(f, "TCP {set} {from}:{sport} > {to}:{dport}")?;
            }
            Body::Udp {
                from: sport,
                to: dport,
            } => write!(f, "UDP {from}:{sport} > {to}:{dport}")?,
            Body::Echo => write!(f, "echo request {from} > {to}")?,
            Body::EchoReply => write!(f, "echo reply {from} > {to}")?,
            Body::Icmp { kind, code, .. } => write!(f, "ICMP {kind}/{code} {from} > {to}")?,
            Body::Error {
                kind, code, about, ..
            } => write!(f, "ICMP {kind}/{code} {from} > {to} about {about}")?,
            Body::Other(protocol) => write!(f, "protocol {protocol} {from} > {to}")?,
        }
        match self.shape {
            Shape::Whole => Ok(()),
            Shape::Split => f.write_str(", in two fragments"),
            Shape::Torn => f.write_str(", first fragment alone"),
            Shape::Routed => f.write_str(", with a source route"),
        }
    }
}
