//! CloudEvents 1.0 as agents post them, in structured, batched and binary mode: parsed with limits, because what comes
//! from an instrument is hostile until proven otherwise.
//!
//! Invariants of an [`Event`]: its `id` is 1–256 bytes without control characters; its JSON is one object on one
//! line without a byte below 0x20, its attributes sorted by name, each there once; `source` is the port's, not the
//! agent's; attributes whose names begin with `rap` are ours alone; numbers stand as the agent wrote them.
//! Rules: CloudEvents 1.0.2 §3.1 (attributes), JSON format 1.0.2 §3 and §4 (batch); [`json`] and [`binary`] have theirs.

pub mod binary;
pub mod json;
mod media;
mod mistake;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use self::media::Media;
pub use self::mistake::EventError;
use self::mistake::shortened;
use super::lane::Lane;

/// What an agent may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request's body.
    pub body: usize,
    /// Levels of arrays and objects within each other.
    pub depth: usize,
    /// Events in one batch.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            depth: 32,
            events: 256,
        }
    }
}

/// How the body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/cloudevents+json`: one event.
    Single,
    /// `application/cloudevents-batch+json`: an array of events.
    Batch,
}

impl Format {
    /// Reads a `Content-Type` (RFC 9110 §8.3): parameters other than another character set do not matter.
    #[must_use]
    pub fn of_content_type(text: &str) -> Option<Self> {
        let media = Media::of(text);
        let format = match media.name.as_str() {
            "application/cloudevents+json" => Self::Single,
            "application/cloudevents-batch+json" => Self::Batch,
            _ => return None,
        };
        media.is_utf8.then_some(format)
    }
}

/// One report, checked and ready for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, unique within its source.
    pub id: String,
    /// Its `type`.
    pub kind: String,
    /// Its lane.
    pub lane: Lane,
    /// The event as one JSON object, `source` set by the port.
    pub json: Vec<u8>,
}

/// An event's attributes by name, each with its compact JSON.
type Attributes<'a> = BTreeMap<String, Cow<'a, str>>;

/// Reads a body and sets `source` on each event.
///
/// # Errors
/// The first mistake found; nothing of a batch with a mistake is taken.
pub fn parse(body: &[u8], format: Format, source: &str, limits: &Limits) -> Result<Vec<Event>, EventError> {
    if body.len() > limits.body {
        return Err(EventError::TooLarge { limit: limits.body });
    }
    let body = json::compact(body, limits.depth).map_err(EventError::Json)?;
    let values = match (format, body.as_bytes().first()) {
        (Format::Single, Some(b'{')) => vec![body.as_str()],
        (Format::Batch, Some(b'[')) => json::elements(&body),
        (Format::Single, _) => return Err(wrong_shape(&body, 0, "one JSON object (a CloudEvent)")),
        (Format::Batch, _) => return Err(wrong_shape(&body, 0, "a JSON array of CloudEvents")),
    };
    if values.is_empty() {
        return Err(EventError::Empty);
    }
    if values.len() > limits.events {
        return Err(EventError::TooMany {
            found: values.len(),
            limit: limits.events,
        });
    }
    let mut seen = HashSet::new();
    let mut events = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let position = index + 1;
        if !value.starts_with('{') {
            return Err(wrong_shape(
                value,
                position,
                "a JSON array of CloudEvents, each an object",
            ));
        }
        let attributes = json::members(value).into_iter();
        let attributes = attributes.map(|(name, value)| (name, value.into())).collect();
        let event = check(attributes, position, source)?;
        if !seen.insert(event.id.clone()) {
            let id = event.id;
            return Err(EventError::Twice { position, id });
        }
        events.push(event);
    }
    Ok(events)
}

/// Holds `attributes` against the rules and makes them an event of `source`.
fn check(mut attributes: Attributes<'_>, position: usize, source: &str) -> Result<Event, EventError> {
    let wrong = |name: &str, expected| EventError::Attribute {
        position,
        name: shortened(name),
        found: attributes
            .get(name)
            .map_or_else(|| "missing".to_owned(), |v| shortened(v)),
        expected,
    };
    let text = |name| attributes.get(name).and_then(|value| json::text(value));
    if text("specversion").as_deref() != Some("1.0") {
        return Err(wrong("specversion", "\"1.0\""));
    }
    let id = match text("id") {
        Some(id) if (1..=256).contains(&id.len()) && !id.chars().any(char::is_control) => id,
        _ => {
            return Err(wrong(
                "id",
                "a string of 1 to 256 bytes without control characters",
            ));
        }
    };
    let kind = match text("type") {
        Some(kind) if !kind.is_empty() => kind,
        _ => return Err(wrong("type", "a string that is not empty")),
    };
    let lane = match (attributes.contains_key("priority"), text("priority").as_deref()) {
        (false, _) | (_, Some("routine")) => Lane::Routine,
        (_, Some("alert")) => Lane::Alert,
        _ => return Err(wrong("priority", "\"alert\" or \"routine\"")),
    };
    if let Some(name) = attributes.keys().find(|name| !is_attribute_name(name)) {
        return Err(wrong(name, "a name of a-z and 0-9 only (CloudEvents 1.0 §3)"));
    }
    if attributes.contains_key("data_base64") {
        if attributes.contains_key("data") {
            return Err(wrong(
                "data_base64",
                "either data or data_base64 (JSON format 1.0.2 §3.1)",
            ));
        }
        if text("data_base64").is_none_or(|data| BASE64_STANDARD.decode(data).is_err()) {
            return Err(wrong(
                "data_base64",
                "a string of base64 with padding (RFC 4648 §4)",
            ));
        }
    }
    attributes.retain(|name, _| !name.starts_with("rap"));
    attributes.insert("source".to_owned(), quoted(source).into());
    let json = object(&attributes).into_bytes();
    Ok(Event { id, kind, lane, json })
}

/// The attributes as one JSON object; their names need no escapes.
fn object(attributes: &Attributes<'_>) -> String {
    let mut json = String::from("{");
    for (index, (name, value)) in attributes.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push('"');
        json.push_str(name);
        json.push_str("\":");
        json.push_str(value);
    }
    json.push('}');
    json
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// CloudEvents 1.0 §3 allows a-z and 0-9; the JSON format adds `data_base64`.
fn is_attribute_name(name: &str) -> bool {
    name == "data_base64"
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

fn wrong_shape(value: &str, position: usize, expected: &'static str) -> EventError {
    let found = match value.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    };
    EventError::WrongShape {
        found,
        expected,
        position,
    }
}

#[cfg(test)]
mod tests;
