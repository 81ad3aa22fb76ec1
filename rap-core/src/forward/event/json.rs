//! JSON as instruments send it. serde_json says what is JSON; here are the rules beyond it, and parts of a document as
//! they were written.
//!
//! What passes [`compact`] is RFC 8259 JSON in UTF-8 without white space between its tokens, with each name once in its
//! object: RFC 8259 §4 leaves that open and parsers differ, so two of them would see two reports. Numbers and texts stay
//! as they were written, digit by digit: nothing is rounded.
//!
//! Invariants: the output has no byte below 0x20 and is never longer than the input; nesting is counted before anything
//! is parsed. [`members`], [`elements`], [`text`] and [`find`] find nothing in what is no JSON, and do not panic.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why bytes are not such JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("byte {at} is not UTF-8")]
    NotUtf8 {
        /// The first byte that is not, from 0.
        at: usize,
    },
    /// Arrays and objects within each other.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The most allowed.
        limit: usize,
    },
    /// A name used twice in one object.
    #[error("the name \"{name}\" occurs twice in its object")]
    Twice {
        /// The name, shortened.
        name: String,
    },
    /// No JSON, half a surrogate pair, or a number beyond a 64-bit float, in serde_json's words.
    #[error("{0}")]
    Invalid(String),
}

/// Checks one JSON value and returns it without white space between its tokens.
///
/// # Errors
/// The first rule that is broken.
pub fn compact(bytes: &[u8], depth: usize) -> Result<String, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::NotUtf8 { at: e.valid_up_to() })?;
    let outline = Outline::of(bytes);
    if outline.depth > depth {
        return Err(JsonError::TooDeep { limit: depth });
    }
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = EachNameOnce(&twice)
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    match (read, twice.into_inner()) {
        (Ok(()), _) if outline.spaced => Ok(without_space(text)),
        (Ok(()), _) => Ok(text.to_owned()),
        (Err(_), Some(name)) => Err(JsonError::Twice { name }),
        (Err(error), None) => Err(JsonError::Invalid(error.to_string())),
    }
}

/// The members of an object, each value as it is written; nothing for another value.
pub fn members(object: &str) -> BTreeMap<String, &str> {
    let found: BTreeMap<String, &RawValue> = serde_json::from_str(object).unwrap_or_default();
    found
        .into_iter()
        .map(|(name, value)| (name, value.get()))
        .collect()
}

/// The elements of an array, each as it is written; nothing for another value.
pub fn elements(array: &str) -> Vec<&str> {
    let found: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    found.into_iter().map(RawValue::get).collect()
}

/// What a string says; `None` for another value.
pub fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// The value at a JSON pointer (RFC 6901 §4), its tokens without their escapes.
pub fn find<'a>(value: &'a str, tokens: &[String]) -> Option<&'a str> {
    tokens.iter().try_fold(value, |value, token| {
        if value.starts_with('{') {
            members(value).get(token).copied()
        } else {
            // RFC 6901 §4: no leading zeros.
            let index = token
                .parse::<usize>()
                .ok()
                .filter(|index| index.to_string() == *token)?;
            elements(value).get(index).copied()
        }
    })
}

/// Reads any value and builds nothing; a name that comes twice is left in the cell.
#[derive(Clone, Copy)]
struct EachNameOnce<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for EachNameOnce<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EachNameOnce<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(name) = object.next_key_seed(Name)? {
            if let Err(twice) = names.add(name) {
                self.0.replace(Some(super::shortened(&twice)));
                return Err(A::Error::custom("a name twice"));
            }
            object.next_value_seed(self)?;
        }
        Ok(())
    }
}

/// A name, which is only copied where it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(name.into())
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(name.to_owned().into())
    }
}

/// The names of an object so far. A few are found sooner in a list; of many each must still cost the same.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    /// Adds a name, or gives it back when it is there.
    fn add(&mut self, name: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        if self.few.contains(&name) || self.many.contains(&name) {
            return Err(name);
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        Ok(())
    }
}

/// What one look at a text tells that may not be JSON.
struct Outline {
    /// How deep brackets nest: counted before parsing, so that depth costs no memory.
    depth: usize,
    /// Whether there is white space outside strings.
    spaced: bool,
}

impl Outline {
    fn of(body: &[u8]) -> Self {
        let (mut depth, mut deepest, mut spaced) = (0_usize, 0, false);
        outside_strings(body, |_, byte| match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => spaced = true,
            _ => {}
        });
        Self {
            depth: deepest,
            spaced,
        }
    }
}

/// Valid JSON without the white space outside its strings.
fn without_space(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    outside_strings(text.as_bytes(), |at, byte| {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            kept.push_str(&text[from..at]);
            from = at + 1;
        }
    });
    kept.push_str(&text[from..]);
    kept
}

/// Calls `see` with each byte outside strings, and where it is.
fn outside_strings(text: &[u8], mut see: impl FnMut(usize, u8)) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte != b'"' {
            see(at, byte);
            at += 1;
            continue;
        }
        at += 1;
        // To behind the quote that ends the string; a backslash hides what follows it.
        while let Some(&byte) = text.get(at) {
            at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
