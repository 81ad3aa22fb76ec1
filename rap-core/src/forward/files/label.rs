//! What an agent says of a file besides its bytes: a name for people, and a media type. Neither ever names anything on
//! the box's disk.

use std::fmt;
use std::str::FromStr;

/// Bytes of a name.
const NAME: usize = 255;
/// Bytes of a media type with its parameters.
const MEDIA: usize = 127;

/// A file's name: 1 to 255 bytes of UTF-8 that no system takes for a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName(String);

/// A text that is no name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to 255 bytes of UTF-8, percent-encoded (RFC 3986 §2.1), without / and \\, without control \
     characters and such that change the direction of text, not \".\" or \"..\", no space at either end"
)]
pub struct NoName;

impl FileName {
    /// Takes a name as it is.
    ///
    /// # Errors
    /// When it is longer than 255 bytes, or would be a path, or would not show as what it is.
    pub fn new(text: String) -> Result<Self, NoName> {
        let fits = (1..=NAME).contains(&text.len()) && text.trim().len() == text.len();
        if fits && text != "." && text != ".." && !text.chars().any(is_forbidden) {
            Ok(Self(text))
        } else {
            Err(NoName)
        }
    }

    /// Reads the value of a header field, percent-encoded.
    ///
    /// # Errors
    /// As [`FileName::new`], and for a wrong encoding.
    pub fn from_header(value: &[u8]) -> Result<Self, NoName> {
        // Each byte may be written as three.
        if value.len() > 3 * NAME {
            return Err(NoName);
        }
        let mut bytes = Vec::with_capacity(value.len());
        let mut rest = value;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            bytes.push(match (byte, after) {
                (b'%', [high, low, after @ ..]) => {
                    rest = after;
                    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NoName);
                    u8::try_from(digit(*high)? << 4 | digit(*low)?).map_err(|_| NoName)?
                }
                (b'%', _) | (..b' ' | 0x7f.., _) => return Err(NoName),
                (byte, _) => byte,
            });
        }
        Self::new(String::from_utf8(bytes).map_err(|_| NoName)?)
    }

    /// The value of a header field: everything but RFC 3986 §2.3's unreserved characters is percent-encoded.
    #[must_use]
    pub fn to_header(&self) -> String {
        use fmt::Write as _;
        self.0.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
                // Writing to a String cannot fail.
                _ => drop(write!(text, "%{byte:02X}")),
            }
            text
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Separators of any system, what a terminal obeys, and Unicode's bidirectional controls (UAX #9 §2), by which
/// `gpj.exe` shows as `exe.jpg`.
fn is_forbidden(c: char) -> bool {
    matches!(
        c,
        '/' | '\\' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    ) || c.is_control()
}

/// A media type as `Content-Type` has it (RFC 9110 §8.3), at most 127 bytes of visible ASCII and spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType(String);

/// A text that is no media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected TYPE/SUBTYPE, perhaps with parameters, in at most 127 bytes of ASCII")]
pub struct NoMediaType;

impl MediaType {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `application/octet-stream`: nobody said.
impl Default for MediaType {
    fn default() -> Self {
        Self("application/octet-stream".to_owned())
    }
}

impl FromStr for MediaType {
    type Err = NoMediaType;

    fn from_str(text: &str) -> Result<Self, NoMediaType> {
        // RFC 9110 §5.6.2.
        let is_token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let kind = text.split(';').next().unwrap_or_default().trim_end();
        let (kind, subtype) = kind.split_once('/').ok_or(NoMediaType)?;
        let clean = text.bytes().all(|b| (b' '..0x7f).contains(&b));
        if clean && text.len() <= MEDIA && is_token(kind) && is_token(subtype) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoMediaType)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_through_a_header_unchanged() {
        for name in [
            "run 7.csv",
            "Ergebnis-µ€😀.tar.gz",
            "100%",
            "-rf",
            "a:b*c?\"",
            &"n".repeat(255),
        ] {
            let name = FileName::new(name.to_owned()).unwrap();
            let header = name.to_header();
            assert!(header.bytes().all(|b| b.is_ascii_graphic()), "{header}");
            assert_eq!(FileName::from_header(header.as_bytes()), Ok(name));
        }
        assert_eq!(FileName::from_header(b"a b%2b%2B").unwrap().as_str(), "a b++");
    }

    #[test]
    fn paths_and_what_hides_are_no_names() {
        for header in [
            &b""[..],
            b".",
            b"..",
            b"%2e%2E",
            b"../etc/passwd",
            b"..%2fetc",
            b"a%5cb",
            b"a%00b",
            b"a%0ab",
            b"a\tb",
            b"%",
            b"%2",
            b"%2x",
            b"%ff",
            b"\xc3\xa4",
            b" a",
            b"a%20",
            b"%E2%80%AEgpj.exe",
            &[b'n'; 256],
            "%6e".repeat(256).as_bytes(),
        ] {
            let shown = String::from_utf8_lossy(header);
            assert_eq!(FileName::from_header(header), Err(NoName), "{shown}");
        }
    }

    #[test]
    fn media_types_are_short_and_plain() {
        for text in ["text/csv", "text/csv; charset=utf-8", "application/vnd.x+json"] {
            assert_eq!(text.parse::<MediaType>().unwrap().as_str(), text);
        }
        let long = format!("text/{}", "x".repeat(123));
        for text in [
            "",
            "text",
            "text/",
            "/csv",
            "text/c sv",
            "text/csv;\u{e4}",
            "a/b/c",
            &long,
        ] {
            assert!(text.parse::<MediaType>().is_err(), "{text}");
        }
    }
}
