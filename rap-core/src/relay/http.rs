//! The heads of HTTP CONNECT (RFC 9110 §9.3.6, RFC 9112): what our clients ask, and what proxies answer.
//!
//! Parsing is by prefixes: `Ok(None)` asks for more bytes, and never for more than [`MOST_HEAD`].

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Malformed;
use crate::site::Target;

/// The longest head taken, in bytes.
pub(super) const MOST_HEAD: usize = 16 * 1024;
/// The longest reason that is passed on or kept, in characters.
const MOST_REASON: usize = 400;

/// What a proxy answered, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The reason phrase: printable ASCII, cut where it is long.
    pub(super) reason: String,
    /// The schemes of all `Proxy-Authenticate` fields, such as `Basic`.
    pub(super) schemes: Vec<String>,
    /// Squid's own word for what went wrong, such as `ERR_DNS_FAIL`.
    pub(super) squid: Option<String>,
}

/// Reads a client's request: where it wants to go, and how many bytes the head has.
pub(super) fn parse_request(bytes: &[u8]) -> Result<Option<(Target, usize)>, Malformed> {
    let Some((head, used)) = head(bytes)? else {
        return Ok(None);
    };
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let parts = (words.next(), words.next(), words.next(), words.next());
    let (Some("CONNECT"), Some(authority), Some("HTTP/1.1" | "HTTP/1.0"), None) = parts else {
        return Err(Malformed);
    };
    let target = Target::parse(authority, None).ok_or(Malformed)?;
    Ok(Some((target, used)))
}

/// Reads a proxy's answer and how many bytes its head has. What is no HTTP is told at its first wrong byte, so that
/// a server which waits for us to speak on does not hold us up.
pub(super) fn parse_answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Malformed> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    if bytes.iter().zip(BEGINNING).any(|(found, wanted)| found != wanted) {
        return Err(Malformed);
    }
    let Some((head, used)) = head(bytes)? else {
        return Ok(None);
    };
    let mut lines = head.lines();
    let (status, reason) = status_line(lines.next().unwrap_or_default()).ok_or(Malformed)?;
    let mut answer = Answer {
        status,
        reason: printable(reason),
        schemes: Vec::new(),
        squid: None,
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let first = || value.split_whitespace().next().map(printable);
        if name.eq_ignore_ascii_case("proxy-authenticate") {
            answer.schemes.extend(first());
        } else if name.eq_ignore_ascii_case("x-squid-error") {
            answer.squid = first();
        }
    }
    Ok(Some((answer, used)))
}

/// The request to a proxy. `credentials` is a user and a password, sent as RFC 7617 says.
pub(super) fn request(target: &Target, credentials: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut text = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = credentials {
        let pair = [user.as_bytes(), b":", password].concat();
        // Writing to a String cannot fail.
        let _ = write!(text, "Proxy-Authorization: Basic {}\r\n", base64(&pair));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// What a client is answered when it has its tunnel.
pub(super) const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What a client is answered when it gets none: the reason stands in the status line and in the body.
pub(super) fn refusal(status: u16, reason: &str) -> Vec<u8> {
    let reason = printable(reason);
    let length = reason.len() + 1;
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n\
         {reason}\n"
    )
    .into_bytes()
}

/// The head at the beginning of `bytes` without its empty line, and its length with it.
fn head(bytes: &[u8]) -> Result<Option<(Cow<'_, str>, usize)>, Malformed> {
    let window = &bytes[..bytes.len().min(MOST_HEAD)];
    // Some answer with bare line feeds (RFC 9112 §2.2 lets us take them).
    let end = window.iter().enumerate().find_map(|(at, byte)| {
        let rest = &window[at..];
        let length = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"]
            .into_iter()
            .find(|end| rest.starts_with(end))
            .map(<[u8]>::len)?;
        (*byte == b'\r' || *byte == b'\n').then_some((at, at + length))
    });
    match end {
        // A realm may be in any character set.
        Some((end, used)) => Ok(Some((String::from_utf8_lossy(&window[..end]), used))),
        None if bytes.len() >= MOST_HEAD => Err(Malformed),
        None => Ok(None),
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]` (RFC 9112 §4).
fn status_line(line: &str) -> Option<(u16, &str)> {
    let rest = line.strip_prefix("HTTP/1.")?;
    let (minor, rest) = rest.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(minor, 1) || !digits(code, 3) {
        return None;
    }
    let code = code.parse().ok().filter(|code| (100..=599).contains(code))?;
    Some((code, reason))
}

/// Nothing but printable ASCII may stand in a status line, and nothing longer than a line in a log.
fn printable(text: &str) -> String {
    let keep = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(MOST_REASON).map(keep).collect()
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            if place > chunk.len() {
                text.push('=');
            } else {
                // Six bits: always inside the alphabet.
                let index = (bits >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &[u8] = b"CONNECT centre.test:8443 HTTP/1.1\r\nHost: centre.test:8443\r\n\r\n";
    const DENIED: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nServer: squid/5.7\r\n\
        X-Squid-Error: ERR_CACHE_ACCESS_DENIED 0\r\nproxy-authenticate: Negotiate\r\n\
        Proxy-Authenticate: Basic realm=\"x\"\r\n\r\n";

    #[test]
    fn a_request_is_read_at_its_last_byte_and_not_before() {
        for end in 0..REQUEST.len() {
            assert_eq!(parse_request(&REQUEST[..end]), Ok(None), "{end}");
        }
        let (target, used) = parse_request(&[REQUEST, b"\x16\x03\x01"].concat())
            .unwrap()
            .unwrap();
        assert_eq!(
            (target.to_string().as_str(), used),
            ("centre.test:8443", REQUEST.len())
        );
        // What OpenVPN sends.
        let old = b"CONNECT 10.9.0.10:1194 HTTP/1.0\r\n\r\n";
        assert!(parse_request(old).unwrap().is_some());
    }

    #[test]
    fn what_is_no_connect_is_refused() {
        for text in [
            "GET http://centre.test/ HTTP/1.1\r\n\r\n",
            "CONNECT centre.test HTTP/1.1\r\n\r\n",
            "CONNECT centre.test:0 HTTP/1.1\r\n\r\n",
            "CONNECT centre.test:443\r\n\r\n",
            "CONNECT centre.test:443 HTTP/2\r\n\r\n",
            "CONNECT centre.test:443 HTTP/1.1 x\r\n\r\n",
            "CONNECT user@centre.test:443 HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(parse_request(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        assert_eq!(parse_request(&[b'a'; MOST_HEAD]), Err(Malformed));
    }

    #[test]
    fn an_answer_is_read_at_its_last_byte_and_not_before() {
        for end in 0..DENIED.len() {
            assert_eq!(parse_answer(&DENIED[..end]), Ok(None), "{end}");
        }
        let (answer, used) = parse_answer(DENIED).unwrap().unwrap();
        assert_eq!(used, DENIED.len());
        assert_eq!(answer.status, 407);
        assert_eq!(answer.schemes, ["Negotiate", "Basic"]);
        assert_eq!(answer.squid.as_deref(), Some("ERR_CACHE_ACCESS_DENIED"));
        let (answer, used) = parse_answer(b"HTTP/1.0 200\n\nrest").unwrap().unwrap();
        assert_eq!((answer.status, used), (200, 14));
    }

    #[test]
    fn what_is_no_http_is_told_at_once() {
        for text in [
            "SSH-2.0-OpenSSH\r\n",
            "\x15\x03\x01",
            "HTTP/2",
            "\x05\x01",
            "220 mail",
        ] {
            assert_eq!(parse_answer(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        for line in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 999 x",
            "HTTP/1.x 200 OK",
            "HTTP/1.1200 OK",
        ] {
            assert_eq!(
                parse_answer(format!("{line}\r\n\r\n").as_bytes()),
                Err(Malformed),
                "{line}"
            );
        }
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; MOST_HEAD]].concat();
        assert_eq!(parse_answer(&endless), Err(Malformed));
    }

    #[test]
    fn a_refusal_cannot_smuggle_a_line_and_reads_back() {
        let text = refusal(502, "no\r\nSet: x \u{e4}");
        let (answer, used) = parse_answer(&text).unwrap().unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (502, "no??Set: x ?"));
        assert_eq!(&text[used..], b"no??Set: x ?\n");
    }

    #[test]
    fn a_request_to_a_proxy_carries_basic_credentials() {
        let target = Target::parse("centre.test:443", None).unwrap();
        let text = String::from_utf8(request(&target, Some(("Aladdin", b"open sesame")))).unwrap();
        // The example of RFC 7617 §2.
        assert!(text.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
        assert_eq!(parse_request(text.as_bytes()).unwrap().unwrap().0, target);
        // RFC 4648 §10.
        let encoded = ["", "f", "fo", "foo", "foob", "fooba"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE="]);
    }

    proptest! {
        #[test]
        fn noise_never_panics_and_is_never_longer_than_it_is(bytes: Vec<u8>, front in 0_usize..4) {
            let front = [&b""[..], b"HTTP/1.1 200 OK\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"HTTP/1."][front];
            let bytes = [front, &bytes].concat();
            if let Ok(Some((_, used))) = parse_answer(&bytes) {
                prop_assert!(used <= bytes.len());
            }
            if let Ok(Some((_, used))) = parse_request(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
