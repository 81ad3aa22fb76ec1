//! The texts in a directive, bounded and fit to be shown and logged.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found \"{found}\", expected {expected}")]
pub struct NoWord {
    found: String,
    expected: &'static str,
}

impl NoWord {
    fn new(text: &str, expected: &'static str) -> Self {
        let clean = text.chars().filter(|c| !is_forbidden(*c));
        Self {
            found: clean.take(60).collect(),
            expected,
        }
    }
}

/// The name of a session: 1 to 64 of a-z, 0-9 and -.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = NoWord;

    fn from_str(text: &str) -> Result<Self, NoWord> {
        let clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(clean) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoWord::new(
                text,
                "the name of a session, 1 to 64 of a-z, 0-9 and -",
            ))
        }
    }
}

/// A text for people: 1 to 200 bytes, one line, nothing a terminal obeys or that changes the direction of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Words(String);

impl Words {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Words {
    type Err = NoWord;

    fn from_str(text: &str) -> Result<Self, NoWord> {
        let fits = (1..=200).contains(&text.len()) && text.trim().len() == text.len();
        if fits && !text.chars().any(is_forbidden) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoWord::new(
                text,
                "one line of 1 to 200 bytes, without control characters and such that change the direction of text, \
                 no space at either end",
            ))
        }
    }
}

/// Unicode's bidirectional controls (UAX #9 §2), line separators and control characters.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NoWord;

            fn try_from(text: String) -> Result<Self, NoWord> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

as_text!(SessionId);
as_text!(Words);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_words_are_bounded_and_plain() {
        for good in ["a", "s-1", &"x".repeat(64)] {
            assert_eq!(good.parse::<SessionId>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "../x", &"x".repeat(65)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
        for good in ["x", "Müller, look at the pump", &"x".repeat(200)] {
            assert_eq!(good.parse::<Words>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " x",
            "x ",
            "a\nb",
            "a\u{202e}b",
            "\u{1b}[2J",
            &"x".repeat(201),
        ] {
            let error = bad.parse::<Words>().unwrap_err().to_string();
            assert!(
                error.contains("expected one line") && error.len() < 300,
                "{error}"
            );
        }
    }
}
