//! What a station asks, read from bytes that may be anything.
//!
//! Read here and not by dhcproto, whose decoder asserts lengths that the sender chose: a wrong option would end the
//! service.
//!
//! ```text
//! 0 op  1 htype  2 hlen  3 hops  4 xid(4)  8 secs(2)  10 flags(2)  12 ciaddr(4)  16 yiaddr(4)  20 siaddr(4)
//! 24 giaddr(4)  28 chaddr(16)  44 sname(64)  108 file(128)  236 cookie(4)  240 options: code, length, value …
//! ```

use std::net::Ipv4Addr;

/// RFC 2132 §2.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The largest message that is looked at: one Ethernet frame.
const LONGEST: usize = 1500;

/// A request of a station on an Ethernet link without a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// Option 53.
    pub(super) kind: u8,
    /// What the answer must repeat.
    pub(super) xid: u32,
    /// What the answer must repeat.
    pub(super) flags: u16,
    /// The station's present address, or 0.0.0.0.
    pub(super) ciaddr: Ipv4Addr,
    /// The station.
    pub(super) station: [u8; 6],
    /// Option 50.
    pub(super) requested: Option<Ipv4Addr>,
    /// Option 54.
    pub(super) server: Option<Ipv4Addr>,
}

impl Question {
    /// Reads a `BOOTREQUEST` (RFC 2131 §2); none when anything about it is not as it must be.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let request = packet.starts_with(&[1, 1, 6]);
        let direct = array::<4>(packet, 24)? == [0; 4];
        let cookie = array::<4>(packet, 236)? == COOKIE;
        if !request || !direct || !cookie || packet.len() > LONGEST {
            return None;
        }
        let mut question = Self {
            kind: 0,
            xid: u32::from_be_bytes(array(packet, 4)?),
            flags: u16::from_be_bytes(array(packet, 10)?),
            ciaddr: array::<4>(packet, 12)?.into(),
            station: array(packet, 28)?,
            requested: None,
            server: None,
        };
        question.read_options(packet.get(240..)?)?;
        (question.kind != 0).then_some(question)
    }

    /// RFC 2132 §2: code, length, value; 0 pads and 255 ends. Unknown options are passed over.
    fn read_options(&mut self, mut rest: &[u8]) -> Option<()> {
        loop {
            let (code, after) = rest.split_first()?;
            match code {
                0 => rest = after,
                255 => return Some(()),
                _ => {
                    let (length, after) = after.split_first()?;
                    let (value, after) = after.split_at_checked(usize::from(*length))?;
                    self.take(*code, value)?;
                    rest = after;
                }
            }
        }
    }

    /// An option of the wrong length makes the whole message wrong.
    fn take(&mut self, code: u8, value: &[u8]) -> Option<()> {
        match code {
            50 => self.requested = Some(<[u8; 4]>::try_from(value).ok()?.into()),
            53 => [self.kind] = value.try_into().ok()?,
            54 => self.server = Some(<[u8; 4]>::try_from(value).ok()?.into()),
            _ => {}
        }
        Some(())
    }
}

fn array<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..)?.first_chunk().copied()
}
