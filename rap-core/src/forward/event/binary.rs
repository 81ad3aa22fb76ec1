//! CloudEvents in HTTP's binary mode: attributes in `ce-` headers, the body as `data`.
//!
//! Rules: HTTP binding 1.0.2 §3.1. The event becomes the same JSON that a structured one is: data that is JSON stays
//! JSON, UTF-8 text becomes a string, anything else `data_base64` (JSON format 1.0.2 §3.1.1).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::borrow::Cow;

use super::json;
use super::mistake::shortened;
use super::{Attributes, Event, EventError, Limits, quoted};

const DECODED: &str =
    "UTF-8 without control characters, percent-encoded (CloudEvents HTTP binding 1.0.2 §3.1.3.2)";

/// Reads one event. `headers` are all of the request's; those that do not begin with `ce-` are not looked at.
///
/// # Errors
/// The first mistake found.
pub fn parse<'h>(
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    content_type: Option<&str>,
    body: &[u8],
    source: &str,
    limits: &Limits,
) -> Result<Event, EventError> {
    if body.len() > limits.body {
        return Err(EventError::TooLarge { limit: limits.body });
    }
    let mut attributes = Attributes::new();
    for (name, value) in headers {
        let Some(name) = name.strip_prefix("ce-") else {
            continue;
        };
        let wrong = |found: Cow<'_, str>, expected| EventError::Header {
            name: shortened(name),
            found: shortened(&found),
            expected,
        };
        if ["data", "data_base64", "datacontenttype"].contains(&name) {
            let expected = "the body as data and Content-Type as its type";
            return Err(wrong("there".into(), expected));
        }
        let Some(text) = decoded(value) else {
            return Err(wrong(String::from_utf8_lossy(value), DECODED));
        };
        if attributes.insert(name.to_owned(), quoted(&text).into()).is_some() {
            return Err(wrong("there twice".into(), "one header an attribute"));
        }
    }
    if let Some(kind) = content_type {
        attributes.insert("datacontenttype".to_owned(), quoted(kind).into());
    }
    if !body.is_empty() {
        let (name, value) = data(content_type, body, limits)?;
        attributes.insert(name.to_owned(), value.into());
    }
    super::check(attributes, 1, source)
}

/// The attribute the body becomes, and its JSON.
fn data(
    content_type: Option<&str>,
    body: &[u8],
    limits: &Limits,
) -> Result<(&'static str, String), EventError> {
    let media = content_type.map(super::media::Media::of);
    if let Some(media) = &media
        && media.is_utf8
    {
        if media.is_json() {
            // One level is the event's own.
            let value = json::compact(body, limits.depth.saturating_sub(1)).map_err(EventError::Json)?;
            return Ok(("data", value));
        }
        if media.name.starts_with("text/")
            && let Ok(text) = std::str::from_utf8(body)
        {
            return Ok(("data", quoted(text)));
        }
    }
    Ok(("data_base64", quoted(&BASE64_STANDARD.encode(body))))
}

/// HTTP binding 1.0.2 §3.1.3.2: quotes first (RFC 9110 §5.6.4), then one round of percent-decoding. `None` when that
/// gives no UTF-8, or control characters, which no attribute may contain (CloudEvents 1.0.2 §2.1).
fn decoded(value: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let plain = unquoted(value);
    let mut rest = &*plain;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?
            }
            (b'%', _) => return None,
            (byte, _) => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    match value {
        [b'"', inner @ .., b'"'] => {
            let mut bytes = inner.iter().copied();
            let mut plain = Vec::with_capacity(inner.len());
            while let Some(byte) = bytes.next() {
                plain.push(if byte == b'\\' {
                    bytes.next().unwrap_or(byte)
                } else {
                    byte
                });
            }
            plain.into()
        }
        plain => plain.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(headers: &[(&str, &str)], kind: Option<&str>, body: &[u8]) -> Result<Value, String> {
        let required = [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-type", "t"),
            ("host", "x"),
        ];
        let headers = required
            .iter()
            .chain(headers)
            .map(|(name, value)| (*name, value.as_bytes()));
        parse(headers, kind, body, "/lab/port1", &Limits::default())
            .map(|event| serde_json::from_slice(&event.json).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn headers_become_attributes_and_the_body_data() {
        let found = event(
            &[
                ("ce-source", "/lie"),
                ("ce-subject", "Euro%20%E2%82%AC%20%f0%9f%98%80"),
                ("ce-rapx", "1"),
            ],
            Some("application/json; charset=utf-8"),
            b" {\"t\": 1.50}",
        );
        let expected = json!({"specversion": "1.0", "id": "7", "type": "t", "source": "/lab/port1",
            "subject": "Euro € 😀", "datacontenttype": "application/json; charset=utf-8", "data": {"t": 1.5}});
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn the_body_is_json_text_or_bytes_by_its_type() {
        for (kind, body, name, value) in [
            (Some("application/vnd.x+json"), &b"[1]"[..], "data", json!([1])),
            (Some("text/csv"), b"a;b\n", "data", json!("a;b\n")),
            (Some("text/csv"), b"\xe4", "data_base64", json!("5A==")),
            (
                Some("text/plain; charset=latin1"),
                b"a",
                "data_base64",
                json!("YQ=="),
            ),
            (
                Some("application/json;charset=utf-16"),
                b"a",
                "data_base64",
                json!("YQ=="),
            ),
            (
                Some("application/octet-stream"),
                b"\0",
                "data_base64",
                json!("AA=="),
            ),
            (None, b"1", "data_base64", json!("MQ==")),
        ] {
            let found = event(&[], kind, body).unwrap();
            assert_eq!(found[name], value, "{kind:?}");
            assert_eq!(found.get("datacontenttype").and_then(Value::as_str), kind);
        }
        let found = event(&[], Some("application/json"), b"").unwrap();
        assert!(found.get("data").is_none() && found.get("data_base64").is_none());
    }

    #[test]
    fn quoted_values_are_unquoted_before_percent_decoding() {
        let found = event(&[("ce-subject", r#""a \"b\" %2541 \%42""#)], None, b"").unwrap();
        assert_eq!(found["subject"], "a \"b\" %41 B");
    }

    #[test]
    fn each_mistake_is_named() {
        for (headers, body, message) in [
            (
                &[("ce-subject", "%C0%A0")][..],
                &b""[..],
                "header \"ce-subject\" is %C0%A0, expected UTF-8",
            ),
            (
                &[("ce-subject", "%0")],
                b"",
                "header \"ce-subject\" is %0, expected UTF-8",
            ),
            (
                &[("ce-subject", "%0g")],
                b"",
                "header \"ce-subject\" is %0g, expected UTF-8",
            ),
            (&[("ce-subject", "a%0Ab")], b"", "without control characters"),
            (
                &[("ce-id", "8")],
                b"",
                "header \"ce-id\" is there twice, expected one header an attribute",
            ),
            (
                &[("ce-data", "8")],
                b"",
                "header \"ce-data\" is there, expected the body as data",
            ),
            (
                &[("ce-datacontenttype", "a/b")],
                b"",
                "header \"ce-datacontenttype\" is there",
            ),
            (&[("ce-my_attribute", "8")], b"", "attribute \"my_attribute\""),
            (
                &[("ce-priority", "high")],
                b"",
                "attribute \"priority\" is \"high\"",
            ),
            (&[], b"{\"a\":1,\"a\":2}", "the name \"a\" occurs twice"),
        ] {
            let error = event(headers, Some("application/json"), body).unwrap_err();
            assert!(error.contains(message), "{headers:?}: {error}");
        }
        let missing = parse(std::iter::empty(), None, b"", "/", &Limits::default());
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("\"specversion\" is missing")
        );
    }
}
