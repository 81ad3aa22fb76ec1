//! `Content-Type` (RFC 9110 §8.3), as far as it decides how a body is read.

/// A media type and what its character set says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// `type/subtype` in lower case.
    pub(super) name: String,
    /// Whether the text is UTF-8 or a part of it, or nothing else was said.
    pub(super) is_utf8: bool,
}

impl Media {
    /// Reads the field's value. Parameters other than the character set do not matter.
    pub(super) fn of(text: &str) -> Self {
        let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
        let name = parts.next().unwrap_or_default();
        let is_utf8 = parts.all(|parameter| match parameter.strip_prefix("charset=") {
            None => true,
            Some(set) => ["utf-8", "us-ascii"].contains(&set.trim_matches('"')),
        });
        Self { name, is_utf8 }
    }

    /// CloudEvents 1.0.2 §3.1: `…/json` and `…/…+json` (RFC 6839 §3.1).
    pub(super) fn is_json(&self) -> bool {
        self.name
            .split_once('/')
            .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
    }
}
