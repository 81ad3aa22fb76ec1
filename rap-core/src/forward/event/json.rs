//! JSON as instruments send it: checked strictly and made compact, without ever building a tree of it.
//!
//! What passes [`compact`] is RFC 8259 JSON in UTF-8 without white space between its tokens, with each name once in
//! its object (RFC 8259 §4 leaves that open; parsers differ, so two of them would see two reports), no lone surrogate
//! and no number beyond a 64-bit float (RFC 7493 §2.1, §2.2: a receiver may refuse those). Numbers and texts stay as
//! they were written, digit by digit: nothing is rounded.
//!
//! Invariants: the output has no byte below 0x20 and is never longer than the input; recursion is bounded by `depth`.
//! [`members`], [`elements`], [`text`] and [`find`] expect such output; on anything else they find less, and do not
//! panic.

use std::borrow::Cow;
use std::collections::HashSet;

/// Why bytes are not such JSON. Positions are bytes from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("byte {at} is not UTF-8")]
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },
    /// Something else stands where a token must.
    #[error("byte {at}: expected {expected}")]
    Syntax {
        /// Where.
        at: usize,
        /// What JSON wants there.
        expected: &'static str,
    },
    /// Arrays and objects within each other.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The most allowed.
        limit: usize,
    },
    /// A name used twice in one object.
    #[error("byte {at}: the name \"{name}\" occurs twice in its object")]
    Twice {
        /// Where the second one stands.
        at: usize,
        /// The name, shortened.
        name: String,
    },
    /// Half a UTF-16 pair in an escape.
    #[error("byte {at}: half a surrogate pair")]
    LoneSurrogate {
        /// Where the escape begins.
        at: usize,
    },
    /// A number no 64-bit float can hold.
    #[error("byte {at}: the number is beyond a 64-bit float")]
    TooLarge {
        /// Where it begins.
        at: usize,
    },
}

/// Checks one JSON value and returns it without white space between its tokens.
///
/// # Errors
/// The first rule that is broken.
pub fn compact(bytes: &[u8], depth: usize) -> Result<String, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::NotUtf8 { at: e.valid_up_to() })?;
    let mut scanner = Scanner {
        text,
        at: 0,
        depth,
        limit: depth,
        out: String::with_capacity(text.len()),
    };
    scanner.value()?;
    scanner.space();
    if scanner.peek().is_some() {
        return Err(scanner.expected("the end: one JSON value is all there may be"));
    }
    Ok(scanner.out)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Levels that may still be opened.
    depth: usize,
    limit: usize,
    out: String,
}

impl<'a> Scanner<'a> {
    fn value(&mut self) -> Result<(), JsonError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.literal(),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        let Some(left) = self.depth.checked_sub(1) else {
            return Err(JsonError::TooDeep { limit: self.limit });
        };
        self.depth = left;
        inner(self)?;
        self.depth += 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonError> {
        let mut names: HashSet<Cow<'a, str>> = HashSet::new();
        self.take();
        self.space();
        if self.peek() == Some(b'}') {
            self.take();
            return Ok(());
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a name in double quotes"));
            }
            let name = unescaped(self.string()?);
            if let Some(twice) = names.replace(name) {
                let name = super::shortened(&twice);
                return Err(JsonError::Twice { at, name });
            }
            self.space();
            self.expect(b':', "a colon after the name")?;
            self.value()?;
            self.space();
            match self.peek() {
                Some(b',') => self.take(),
                Some(b'}') => {
                    self.take();
                    return Ok(());
                }
                _ => return Err(self.expected("a comma or the object's end")),
            }
        }
    }

    fn array(&mut self) -> Result<(), JsonError> {
        self.take();
        self.space();
        if self.peek() == Some(b']') {
            self.take();
            return Ok(());
        }
        loop {
            self.value()?;
            self.space();
            match self.peek() {
                Some(b',') => self.take(),
                Some(b']') => {
                    self.take();
                    return Ok(());
                }
                _ => return Err(self.expected("a comma or the array's end")),
            }
        }
    }

    /// Takes a string and returns what is between its quotes, escapes and all.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.expected("no bare control character in a text")),
                Some(_) => self.at += 1,
                None => return Err(self.expected("the text's closing quote")),
            }
        }
        self.at += 1;
        debug_assert!(bytes[start] == b'"');
        let text = &self.text[start..self.at];
        self.out.push_str(text);
        Ok(&text[1..text.len() - 1])
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let first = self.unit()?;
                let paired = match first {
                    0xd800..=0xdbff => {
                        let follows = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                        self.at += usize::from(follows);
                        follows && (0xdc00..=0xdfff).contains(&self.unit()?)
                    }
                    0xdc00..=0xdfff => false,
                    _ => true,
                };
                if !paired {
                    return Err(JsonError::LoneSurrogate { at: start });
                }
            }
            _ => return Err(self.expected("an escape that JSON knows")),
        }
        Ok(())
    }

    /// `uXXXX`
    fn unit(&mut self) -> Result<u16, JsonError> {
        self.at += 1;
        match hexadecimal(self.text.as_bytes().get(self.at..self.at + 4)) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => Err(self.expected("four hexadecimal digits")),
        }
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut exponent = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            exponent = true;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        // 1.8e308 is the largest: fewer digits than that cannot be beyond it.
        if (exponent || text.len() > 300) && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(JsonError::TooLarge { at: start });
        }
        self.out.push_str(text);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        let rest = &self.text[self.at..];
        let Some(literal) = ["true", "false", "null"]
            .into_iter()
            .find(|l| rest.starts_with(l))
        else {
            return Err(self.expected("a JSON value"));
        };
        self.at += literal.len();
        self.out.push_str(literal);
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.take();
        Ok(())
    }

    /// Copies one byte of punctuation.
    fn take(&mut self) {
        if let Some(byte) = self.peek() {
            self.out.push(char::from(byte));
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax {
            at: self.at,
            expected,
        }
    }
}

/// The members of a compact object, names without escapes; nothing for another value.
pub fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let inner = object.strip_prefix('{').and_then(|o| o.strip_suffix('}'));
    pieces(inner.unwrap_or_default(), b',').filter_map(|member| {
        let mut halves = pieces(member, b':');
        Some((text(halves.next()?)?, halves.next()?))
    })
}

/// The elements of a compact array; nothing for another value.
pub fn elements(array: &str) -> impl Iterator<Item = &str> {
    let inner = array.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    pieces(inner.unwrap_or_default(), b',')
}

/// What a compact string says; `None` for another value.
#[must_use]
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    if value.len() < 2 {
        return None;
    }
    Some(unescaped(value.strip_prefix('"')?.strip_suffix('"')?))
}

/// The value at a JSON pointer (RFC 6901 §4), its tokens without their escapes.
#[must_use]
pub fn find<'a>(value: &'a str, tokens: &[String]) -> Option<&'a str> {
    tokens.iter().try_fold(value, |value, token| {
        if value.starts_with('[') {
            // RFC 6901 §4: no leading zeros, no sign.
            let index = token.parse::<usize>().ok().filter(|i| i.to_string() == *token)?;
            return elements(value).nth(index);
        }
        members(value)
            .find(|(name, _)| *name == *token)
            .map(|(_, value)| value)
    })
}

/// `text` cut at each `separator` that stands outside strings, arrays and objects.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = (!text.is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ if byte == separator && depth == 0 => {
                    rest = text.get(at + 1..);
                    return text.get(..at);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

/// The text an escaped one stands for; what is no escape stays as it is.
fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        let after = rest.get(at + 1..).unwrap_or_default();
        let (unit, length) = match after.as_bytes().first() {
            Some(b'b') => (8, 1),
            Some(b'f') => (12, 1),
            Some(b'n') => (10, 1),
            Some(b'r') => (13, 1),
            Some(b't') => (9, 1),
            Some(b'u') => (hexadecimal(after.as_bytes().get(1..5)).unwrap_or(0xfffd), 5),
            Some(byte) if byte.is_ascii() => (u16::from(*byte), 1),
            _ => (u16::from(b'\\'), 0),
        };
        units.push(unit);
        rest = after.get(length..).unwrap_or_default();
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u16> {
    digits?.iter().try_fold(0_u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests;
