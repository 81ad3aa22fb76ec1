//! CloudEvents 1.0 in JSON, as agents post them: parsed with limits, because what comes from an instrument is
//! hostile until proven otherwise.
//!
//! Invariants of an [`Event`]: its `id` is 1–256 bytes without control characters; its JSON is one object on one
//! line without a byte below 0x20; `source` is the port's, not the agent's; attributes whose names begin with `rap`
//! are ours alone.
//! Rules: CloudEvents 1.0.2 §3.1 (attributes), JSON format 1.0.2 §3 and §4 (batch).

use serde_json::{Map, Value};

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
        let mut parts = text.split(';').map(str::trim);
        let format = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/cloudevents+json" => Self::Single,
            "application/cloudevents-batch+json" => Self::Batch,
            _ => return None,
        };
        let utf8 = parts.all(|parameter| {
            let parameter = parameter.to_ascii_lowercase();
            !parameter.starts_with("charset=") || parameter.trim_matches('"').ends_with("utf-8")
        });
        utf8.then_some(format)
    }
}

/// One report, checked and ready for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, unique within its source.
    pub id: String,
    /// Its lane.
    pub lane: Lane,
    /// The event as one JSON object, `source` set by the port.
    pub json: Vec<u8>,
}

/// Why a body is not what it should be. Each is the agent's mistake and answered with 400 or 413.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Too many bytes.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The most allowed.
        limit: usize,
    },
    /// Too many events in one batch.
    #[error("the batch has {found} events, at most {limit} are allowed")]
    TooMany {
        /// How many there were.
        found: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Nested too deep.
    #[error("the body nests deeper than {limit} levels")]
    TooDeep {
        /// The most allowed.
        limit: usize,
    },
    /// Not JSON at all.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON of the wrong shape.
    #[error("the body is {found}, expected {expected}")]
    WrongShape {
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A batch without events.
    #[error("the batch is empty, expected at least one event")]
    Empty,
    /// One attribute is missing or wrong.
    #[error("event {position}: attribute \"{name}\" is {found}, expected {expected}")]
    Attribute {
        /// Which event of the batch, from 1.
        position: usize,
        /// The attribute.
        name: String,
        /// What was found.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The same id twice in one batch.
    #[error("event {position}: id \"{id}\" occurs twice in the batch")]
    Twice {
        /// Which event of the batch, from 1.
        position: usize,
        /// The id.
        id: String,
    },
}

/// Reads a body and sets `source` on each event.
///
/// # Errors
/// The first mistake found; nothing of a batch with a mistake is taken.
pub fn parse(body: &[u8], format: Format, source: &str, limits: &Limits) -> Result<Vec<Event>, EventError> {
    if body.len() > limits.body {
        return Err(EventError::TooLarge { limit: limits.body });
    }
    if deeper_than(body, limits.depth) {
        return Err(EventError::TooDeep { limit: limits.depth });
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| EventError::NotJson(e.to_string()))?;
    let values = match (format, value) {
        (Format::Single, value @ Value::Object(_)) => vec![value],
        (Format::Batch, Value::Array(values)) => values,
        (Format::Single, other) => return Err(wrong_shape(&other, "one JSON object (a CloudEvent)")),
        (Format::Batch, other) => return Err(wrong_shape(&other, "a JSON array of CloudEvents")),
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
    let mut seen = std::collections::HashSet::new();
    let mut events = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let position = index + 1;
        let Value::Object(attributes) = value else {
            return Err(wrong_shape(&value, "a JSON array of CloudEvents, each an object"));
        };
        let event = check(attributes, position, source)?;
        if !seen.insert(event.id.clone()) {
            return Err(EventError::Twice {
                position,
                id: event.id,
            });
        }
        events.push(event);
    }
    Ok(events)
}

fn check(mut attributes: Map<String, Value>, position: usize, source: &str) -> Result<Event, EventError> {
    let wrong = |name: &str, found: Option<&Value>, expected| EventError::Attribute {
        position,
        name: shortened(name),
        found: found.map_or_else(|| "missing".to_owned(), |v| shortened(&v.to_string())),
        expected,
    };
    if attributes.get("specversion").and_then(Value::as_str) != Some("1.0") {
        return Err(wrong("specversion", attributes.get("specversion"), "\"1.0\""));
    }
    let id = match attributes.get("id").and_then(Value::as_str) {
        Some(id) if (1..=256).contains(&id.len()) && !id.chars().any(char::is_control) => id.to_owned(),
        _ => {
            return Err(wrong(
                "id",
                attributes.get("id"),
                "a string of 1 to 256 bytes without control characters",
            ));
        }
    };
    match attributes.get("type").and_then(Value::as_str) {
        Some(kind) if !kind.is_empty() => {}
        _ => {
            return Err(wrong(
                "type",
                attributes.get("type"),
                "a string that is not empty",
            ));
        }
    }
    let lane = match attributes.get("priority").map(|v| (v, v.as_str())) {
        None | Some((_, Some("routine"))) => Lane::Routine,
        Some((_, Some("alert"))) => Lane::Alert,
        Some((found, _)) => return Err(wrong("priority", Some(found), "\"alert\" or \"routine\"")),
    };
    if let Some(name) = attributes.keys().find(|name| !is_attribute_name(name)) {
        let found = attributes.get(name);
        return Err(wrong(
            name,
            found,
            "a name of a-z and 0-9 only (CloudEvents 1.0 §3)",
        ));
    }
    attributes.retain(|name, _| !name.starts_with("rap"));
    attributes.insert("source".to_owned(), Value::from(source));
    let json = Value::Object(attributes).to_string().into_bytes();
    Ok(Event { id, lane, json })
}

/// CloudEvents 1.0 §3 allows a-z and 0-9; the JSON format adds `data_base64`.
fn is_attribute_name(name: &str) -> bool {
    name == "data_base64"
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

fn wrong_shape(value: &Value, expected: &'static str) -> EventError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    EventError::WrongShape { found, expected }
}

fn shortened(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if clean.len() < text.len() {
        format!("{clean}…")
    } else {
        clean
    }
}

/// Whether brackets nest deeper than `limit`: counted before parsing, so that depth costs no memory.
fn deeper_than(body: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
