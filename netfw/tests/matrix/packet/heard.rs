//! Packets as they are heard: which case they belong to, and what they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ANSWER, Live, MAGIC};

/// A packet of a case, heard somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) case: u16,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) sound: Sound,
}

/// What a heard packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sound {
    Tcp {
        from: u16,
        to: u16,
        flags: u8,
        sequence: u32,
        acknowledged: u32,
    },
    Udp {
        from: u16,
        to: u16,
        answer: bool,
    },
    Echo,
    EchoReply,
    Icmp {
        kind: u8,
        code: u8,
    },
    Other(u8),
}

/// Reads an IP packet; none if it belongs to no case that is alive.
pub(crate) fn read(bytes: &[u8], live: &Live) -> Option<Heard> {
    match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 15) * 4;
            let address = |at: usize| -> Option<IpAddr> {
                Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into())
            };
            read_transport(address(12)?, address(16)?, bytes[9], bytes.get(header..)?, live)
        }
        6 => {
            let address = |at: usize| -> Option<IpAddr> {
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into())
            };
            read_transport(address(8)?, address(24)?, *bytes.get(6)?, bytes.get(40..)?, live)
        }
        _ => None,
    }
}

/// Reads what an IP packet carries.
pub(crate) fn read_transport(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    body: &[u8],
    live: &Live,
) -> Option<Heard> {
    let short = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let anywhere = |from: usize| (from..body.len()).find_map(|at| case_of(long(at)?, live));
    let (case, sound) = match protocol {
        6 => {
            let (sequence, acknowledged) = (long(4)?, long(8)?);
            let sound = Sound::Tcp {
                from: short(0)?,
                to: short(2)?,
                flags: *body.get(13)?,
                sequence,
                acknowledged,
            };
            (
                case_of(acknowledged, live).or_else(|| case_of(sequence, live))?,
                sound,
            )
        }
        17 => {
            let answer = body.get(12) == Some(&ANSWER);
            (
                anywhere(8)?,
                Sound::Udp {
                    from: short(0)?,
                    to: short(2)?,
                    answer,
                },
            )
        }
        1 | 58 => {
            let sound = match (protocol, body.first()?) {
                (1, 8) | (58, 128) => Sound::Echo,
                (1, 0) | (58, 129) => Sound::EchoReply,
                (_, kind) => Sound::Icmp {
                    kind: *kind,
                    code: *body.get(1)?,
                },
            };
            // An error names the case in what it quotes, whose header may hold a tag by chance.
            let quoted = body
                .get(8..)
                .and_then(|quoted| read(quoted, live))
                .map(|quoted| quoted.case);
            (quoted.or_else(|| anywhere(4))?, sound)
        }
        other => (anywhere(0)?, Sound::Other(other)),
    };
    Some(Heard {
        case,
        source,
        destination,
        sound,
    })
}

fn case_of(value: u32, live: &Live) -> Option<u16> {
    let number = u16::try_from((value >> 4) & 0xffff).ok()?;
    (value & 0xfff0_0000 == MAGIC && live.contains(&number)).then_some(number)
}
