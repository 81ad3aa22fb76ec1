//! The few frames by which an instrument is asked, and those that answer: ARP (RFC 826), ICMP echo (RFC 792), a first
//! segment of TCP (RFC 9293) over IPv4 without options (RFC 791), over Ethernet. Pure.
//!
//! What is read is hostile: each length is looked at before what it promises, and what does not fit is nobody's.

use std::net::Ipv4Addr;

/// An Ethernet address.
pub(super) type Station = [u8; 6];

const EVERYBODY: Station = [0xff; 6];
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const ICMP: u8 = 1;
const TCP: u8 = 6;
/// The shortest frame without its check sequence (IEEE 802.3).
const SHORTEST: usize = 60;

/// TCP's flags (RFC 9293 §3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Both ends of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The box's station and address.
    pub(super) here: (Station, Ipv4Addr),
    /// The instrument's.
    pub(super) there: (Station, Ipv4Addr),
}

/// A frame that may be an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Somebody has this address.
    Has([u8; 6], Ipv4Addr),
    /// An echo's reply: from whom, to whom, the asker's number, and the echo's.
    Echo(Ipv4Addr, Ipv4Addr, u16, u16),
    /// A segment of TCP.
    Segment {
        /// From whom, and its port.
        from: (Ipv4Addr, u16),
        /// To whom, and its port.
        to: (Ipv4Addr, u16),
        /// What it acknowledges.
        acknowledged: u32,
        /// Whether it takes the connection; otherwise it refuses it.
        takes: bool,
    },
}

/// Asks who has an address.
pub(super) fn who_has(here: (Station, Ipv4Addr), address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(EVERYBODY, here.0, ARP);
    // Ethernet, IPv4, lengths 6 and 4, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(here.0);
    frame.extend(here.1.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    padded(frame)
}

/// An echo request with these numbers.
pub(super) fn echo(ends: &Ends, asker: u16, number: u16) -> Vec<u8> {
    let mut body = vec![8, 0, 0, 0];
    body.extend(asker.to_be_bytes());
    body.extend(number.to_be_bytes());
    body.extend(*b"rap looks at you");
    let check = checksum(&[&body]);
    body[2..4].copy_from_slice(&check);
    ipv4(ends, ICMP, &body)
}

/// The first segment of a connection.
pub(super) fn open(ends: &Ends, ports: (u16, u16), sequence: u32) -> Vec<u8> {
    segment(ends, ports, sequence, SYN)
}

/// The end of one that was taken.
pub(super) fn reset(ends: &Ends, ports: (u16, u16), sequence: u32) -> Vec<u8> {
    segment(ends, ports, sequence, RST)
}

/// Reads a frame; nothing where it is none of these.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<Heard> {
    let (kind, body) = (frame.get(12..14)?, frame.get(14..)?);
    if kind == ARP {
        let fits = body.get(..8)? == [0, 1, 8, 0, 6, 4, 0, 2];
        return fits.then_some(Heard::Has(body.get(8..14)?.try_into().ok()?, address(body, 14)?));
    }
    let first = *body.first()?;
    // A fragment is nobody's answer; its offset and the flag that more follow stand in these bits.
    let is_fragment = number(body, 6)? & 0x3fff != 0;
    if kind != IPV4 || first >> 4 != 4 || is_fragment {
        return None;
    }
    let head = usize::from(first & 0x0f) * 4;
    let total = usize::from(number(body, 2)?);
    if head < 20 {
        return None;
    }
    let inner = body.get(head..total)?;
    let (from, to) = (address(body, 12)?, address(body, 16)?);
    match *body.get(9)? {
        ICMP if inner.get(..2)? == [0, 0] => {
            Some(Heard::Echo(from, to, number(inner, 4)?, number(inner, 6)?))
        }
        TCP => {
            let flags = *inner.get(13)?;
            let takes = flags & (SYN | ACK | RST) == SYN | ACK;
            let refuses = flags & (SYN | RST) == RST;
            let acknowledged = u32::from_be_bytes(inner.get(8..12)?.try_into().ok()?);
            (takes || refuses).then_some(Heard::Segment {
                from: (from, number(inner, 0)?),
                to: (to, number(inner, 2)?),
                acknowledged,
                takes,
            })
        }
        _ => None,
    }
}

/// As people write it.
pub(super) fn text(station: Station) -> String {
    station.map(|byte| format!("{byte:02x}")).join(":")
}

fn ethernet(to: Station, from: Station, kind: [u8; 2]) -> Vec<u8> {
    [&to[..], &from, &kind].concat()
}

fn ipv4(ends: &Ends, protocol: u8, body: &[u8]) -> Vec<u8> {
    // What is made here is short.
    let total = u16::try_from(20 + body.len()).unwrap_or(u16::MAX).to_be_bytes();
    // Version 4, 20 bytes of head, do not fragment, 64 hops.
    let mut head = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    head.extend(ends.here.1.octets());
    head.extend(ends.there.1.octets());
    let check = checksum(&[&head]);
    head[10..12].copy_from_slice(&check);
    let mut frame = ethernet(ends.there.0, ends.here.0, IPV4);
    frame.extend(head);
    frame.extend(body);
    padded(frame)
}

fn segment(ends: &Ends, ports: (u16, u16), sequence: u32, flags: u8) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ports.0.to_be_bytes());
    body.extend(ports.1.to_be_bytes());
    body.extend(sequence.to_be_bytes());
    body.extend([0; 4]);
    // 20 bytes of head, the flags, a window of 1 KiB.
    body.extend([0x50, flags, 4, 0, 0, 0, 0, 0]);
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let pseudo = [0, TCP, length[0], length[1]];
    let check = checksum(&[&ends.here.1.octets(), &ends.there.1.octets(), &pseudo, &body]);
    body[16..18].copy_from_slice(&check);
    ipv4(ends, TCP, &body)
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = pairs
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [.., high, low] = (!folded).to_be_bytes();
    [high, low]
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        here: ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 168, 1, 1)),
        there: ([2, 0, 0, 0, 0, 2], Ipv4Addr::new(192, 168, 1, 50)),
    };

    /// The answer that a frame of ours would be, had the other end sent it.
    fn turned(change: impl Fn(&mut Vec<u8>), mut frame: Vec<u8>) -> Option<Heard> {
        change(&mut frame);
        parse(&frame)
    }

    #[test]
    fn what_is_asked_is_well_formed_and_no_answer_itself() {
        let frames = [
            who_has(ENDS.here, ENDS.there.1),
            echo(&ENDS, 7, 3),
            open(&ENDS, (50_000, 5900), 9),
        ];
        for frame in &frames {
            assert!(frame.len() == SHORTEST || frame.len() < 80, "{}", frame.len());
            assert_eq!(parse(frame), None, "{frame:?}");
        }
        // A checksum over what carries its own is zero (RFC 1071 §1).
        assert_eq!(checksum(&[&frames[1][14..34]]), [0, 0]);
        assert_eq!(checksum(&[&frames[1][34..58]]), [0, 0]);
        let pseudo = [&frames[2][26..34], &[0, TCP, 0, 20]].concat();
        assert_eq!(checksum(&[&pseudo, &frames[2][34..54]]), [0, 0]);
    }

    #[test]
    fn answers_are_read() {
        let (here, there) = (ENDS.here.1, ENDS.there.1);
        let arp = turned(|frame| frame[21] = 2, who_has(ENDS.here, there));
        assert_eq!(arp, Some(Heard::Has(ENDS.here.0, here)));
        let echo = turned(|frame| frame[34] = 0, echo(&ENDS, 7, 3));
        assert_eq!(echo, Some(Heard::Echo(here, there, 7, 3)));
        let segment = |flags| turned(|frame| frame[47] = flags, open(&ENDS, (50_000, 5900), 9));
        let heard = |takes| {
            Some(Heard::Segment {
                from: (here, 50_000),
                to: (there, 5900),
                acknowledged: 0,
                takes,
            })
        };
        assert_eq!(segment(SYN | ACK), heard(true));
        assert_eq!(segment(RST | ACK), heard(false));
        assert_eq!((segment(ACK), segment(SYN | ACK | RST)), (None, None));
    }

    #[test]
    fn what_is_short_torn_or_in_pieces_is_nobodys() {
        let answer = {
            let mut frame = open(&ENDS, (1, 2), 9);
            frame[47] = SYN | ACK;
            frame
        };
        assert!(parse(&answer).is_some());
        for length in 0..54 {
            assert_eq!(parse(&answer[..length]), None, "{length}");
        }
        for (at, value) in [(14, 0x44), (14, 0x65), (20, 0x20), (21, 1), (17, 10), (12, 0x86)] {
            let mut frame = answer.clone();
            frame[at] = value;
            assert_eq!(parse(&frame), None, "{at}");
        }
        // A head shorter than any: what would be its flags says yes.
        let mut frame = answer;
        (frame[14], frame[43]) = (0x44, SYN | ACK);
        assert_eq!(parse(&frame), None);
        assert_eq!(text([0, 0x1a, 0xff, 1, 2, 3]), "00:1a:ff:01:02:03");
    }
}
