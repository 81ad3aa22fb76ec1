//! The messages of SOCKS 5 (RFC 1928) with user and password (RFC 1929), as a client needs them.
//!
//! ```text
//! greeting   05 count methods…              → 05 method
//! password   01 length user length password → 01 status
//! request    05 01 00 address port          → 05 reply 00 address port
//! address    01 IPv4 (4 bytes) | 03 length name | 04 IPv6 (16 bytes)
//! ```
//!
//! Names are always sent as names: the proxy resolves them. Parsing is by prefixes: `Ok(None)` asks for more bytes,
//! and never for more than [`MOST_REPLY`].

use std::net::IpAddr;

use netfw::model::Host;

use super::Malformed;
use crate::site::Target;

/// The longest reply, in bytes: one to a name of 255.
pub(super) const MOST_REPLY: usize = 4 + 1 + 255 + 2;

const VERSION: u8 = 5;
/// RFC 1929 §2: the version of the sub-negotiation.
const PASSWORD_VERSION: u8 = 1;

/// How a proxy wants to know who asks (RFC 1928 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// X'00'.
    Nothing,
    /// X'02'.
    Password,
    /// X'FF': none of those we offered.
    Unacceptable,
}

/// Our first message. With a user both ways are offered: a proxy that needs no password says so.
pub(super) fn greeting(with_user: bool) -> &'static [u8] {
    if with_user {
        &[VERSION, 2, 0, 2]
    } else {
        &[VERSION, 1, 0]
    }
}

/// Reads the proxy's choice; any but those offered is malformed.
pub(super) fn parse_method(bytes: &[u8], with_user: bool) -> Result<Option<(Method, usize)>, Malformed> {
    match (bytes, with_user) {
        ([] | [VERSION], _) => Ok(None),
        ([VERSION, 0, ..], _) => Ok(Some((Method::Nothing, 2))),
        ([VERSION, 2, ..], true) => Ok(Some((Method::Password, 2))),
        ([VERSION, 0xff, ..], _) => Ok(Some((Method::Unacceptable, 2))),
        _ => Err(Malformed),
    }
}

/// User and password; `None` when one of them is empty or longer than 255 bytes.
pub(super) fn password(user: &str, password: &[u8]) -> Option<Vec<u8>> {
    let mut message = vec![PASSWORD_VERSION];
    for part in [user.as_bytes(), password] {
        message.push(u8::try_from(part.len()).ok().filter(|length| *length > 0)?);
        message.extend_from_slice(part);
    }
    Some(message)
}

/// Reads whether user and password are right. Some proxies answer with the version of SOCKS.
pub(super) fn parse_verdict(bytes: &[u8]) -> Result<Option<(bool, usize)>, Malformed> {
    match bytes {
        [] | [PASSWORD_VERSION | VERSION] => Ok(None),
        [PASSWORD_VERSION | VERSION, status, ..] => Ok(Some((*status == 0, 2))),
        _ => Err(Malformed),
    }
}

/// The request to connect to `target`; `None` when its name is too long.
pub(super) fn request(target: &Target) -> Option<Vec<u8>> {
    let mut message = vec![VERSION, 1, 0];
    match &target.host {
        Host::Ip(IpAddr::V4(address)) => {
            message.push(1);
            message.extend_from_slice(&address.octets());
        }
        Host::Ip(IpAddr::V6(address)) => {
            message.push(4);
            message.extend_from_slice(&address.octets());
        }
        Host::Name(name) => {
            message.extend_from_slice(&[3, u8::try_from(name.len()).ok()?]);
            message.extend_from_slice(name.as_bytes());
        }
    }
    message.extend_from_slice(&target.port.to_be_bytes());
    Some(message)
}

/// Reads the reply's code (RFC 1928 §6), 0 for success, and the reply's length. A failure is told as soon as its code
/// is there: not every proxy sends the rest.
pub(super) fn parse_reply(bytes: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    let address = match bytes {
        [] | [VERSION] => return Ok(None),
        [VERSION, code, ..] if *code != 0 => return Ok(Some((*code, bytes.len().min(MOST_REPLY)))),
        [VERSION, 0] | [VERSION, 0, _] | [VERSION, 0, _, 3] => return Ok(None),
        [VERSION, 0, _, 1, ..] => 4,
        [VERSION, 0, _, 4, ..] => 16,
        [VERSION, 0, _, 3, length, ..] => 1 + usize::from(*length),
        _ => return Err(Malformed),
    };
    let whole = 4 + address + 2;
    Ok((bytes.len() >= whole).then_some((0, whole)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_as_the_rfcs_write_them() {
        assert_eq!(greeting(false), b"\x05\x01\x00");
        assert_eq!(greeting(true), b"\x05\x02\x00\x02");
        assert_eq!(password("rap", b"pw").unwrap(), b"\x01\x03rap\x02pw");
        assert!(password("", b"pw").is_none() && password("rap", b"").is_none());
        assert!(password("rap", &[b'x'; 256]).is_none());
        let target = |text| request(&Target::parse(text, None).unwrap()).unwrap();
        assert_eq!(
            target("centre.test:8443"),
            b"\x05\x01\x00\x03\x0bcentre.test\x20\xfb"
        );
        assert_eq!(
            target("10.9.0.10:443"),
            b"\x05\x01\x00\x01\x0a\x09\x00\x0a\x01\xbb"
        );
        assert_eq!(target("[::1]:1").len(), 4 + 16 + 2);
    }

    #[test]
    fn the_proxys_choice() {
        assert_eq!(parse_method(b"", true), Ok(None));
        assert_eq!(parse_method(b"\x05", true), Ok(None));
        assert_eq!(parse_method(b"\x05\x00", true), Ok(Some((Method::Nothing, 2))));
        assert_eq!(parse_method(b"\x05\x02x", true), Ok(Some((Method::Password, 2))));
        // It was not offered.
        assert_eq!(parse_method(b"\x05\x02", false), Err(Malformed));
        assert_eq!(
            parse_method(b"\x05\xff", false),
            Ok(Some((Method::Unacceptable, 2)))
        );
        for wrong in [&b"\x04"[..], b"\x05\x01", b"HT", b"\x00\x5a"] {
            assert_eq!(parse_method(wrong, true), Err(Malformed));
        }
    }

    #[test]
    fn the_verdict() {
        assert_eq!(parse_verdict(b"\x01"), Ok(None));
        assert_eq!(parse_verdict(b"\x01\x00"), Ok(Some((true, 2))));
        assert_eq!(parse_verdict(b"\x05\x00"), Ok(Some((true, 2))));
        assert_eq!(parse_verdict(b"\x01\x02"), Ok(Some((false, 2))));
        assert_eq!(parse_verdict(b"H"), Err(Malformed));
    }

    #[test]
    fn a_reply_is_read_at_its_last_byte_and_not_before() {
        for reply in [
            b"\x05\x00\x00\x01\x0a\x09\x00\x0a\x01\xbb".to_vec(),
            b"\x05\x00\x00\x03\x03abc\x01\xbb".to_vec(),
            [&b"\x05\x00\x00\x04"[..], &[0; 18]].concat(),
            [&b"\x05\x00\x00\x03\xff"[..], &[b'a'; 257]].concat(),
        ] {
            for end in 0..reply.len() {
                assert_eq!(parse_reply(&reply[..end]), Ok(None), "{end} of {reply:?}");
            }
            assert!(reply.len() <= MOST_REPLY);
            let more = [&reply[..], b"first bytes"].concat();
            assert_eq!(parse_reply(&more), Ok(Some((0, reply.len()))));
        }
        assert_eq!(parse_reply(b"\x05\x05"), Ok(Some((5, 2))));
        assert_eq!(parse_reply(b"\x05\x00\x00\x02"), Err(Malformed));
        assert_eq!(parse_reply(b"\x04\x00"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn noise_never_panics_and_is_never_longer_than_it_is(bytes: Vec<u8>, five: bool) {
            let bytes = if five { [&b"\x05\x00\x00"[..], &bytes].concat() } else { bytes };
            for used in [
                parse_method(&bytes, true).ok().flatten().map(|(_, used)| used),
                parse_verdict(&bytes).ok().flatten().map(|(_, used)| used),
                parse_reply(&bytes).ok().flatten().map(|(_, used)| used),
            ]
            .into_iter()
            .flatten()
            {
                prop_assert!(used <= bytes.len() && used <= MOST_REPLY);
            }
        }
    }
}
