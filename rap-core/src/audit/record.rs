//! A record as a line of RFC 5424, written and read again.
//!
//! Invariants: a line has no control character and is at most [`LONGEST`] bytes; what [`Record::parse`] takes is exactly
//! what [`Record::line`] writes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

use super::event::Event;

/// The longest line, in bytes: the bound of events, every character escaped, and the header.
pub(crate) const LONGEST: usize = 8192;
/// RFC 5612: for examples.
const ENTERPRISE: &str = "32473";
/// Facility 13, log audit (RFC 5424 §6.2.1), times 8.
const FACILITY: u8 = 13 * 8;

/// A place in the chain: the number of the next record, and the digest of the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) before: Sha256,
}

impl Link {
    /// Of the first record ever.
    pub(crate) fn first() -> Self {
        Self {
            number: 1,
            before: Sha256::of(b""),
        }
    }

    /// After `line`, which has this link's number.
    pub(crate) fn after(self, line: &[u8]) -> Self {
        Self {
            // What a disk says may be any number.
            number: self.number.saturating_add(1),
            before: Sha256::of(line),
        }
    }
}

/// Who tells it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The wall clock, RFC 3339.
    pub(crate) wall: String,
    /// The box, as its site names it.
    pub(crate) host: String,
    /// The service, by the kernel's word.
    pub(crate) service: String,
}

/// A line, and what of it is needed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) link: Link,
    pub(crate) origin: Origin,
    pub(crate) kind: String,
    pub(crate) about: Vec<(String, String)>,
    pub(crate) text: String,
    severity: u8,
}

impl Record {
    /// `event` at `link`.
    pub(crate) fn new(link: Link, origin: Origin, event: Event) -> Self {
        let event = event.bounded();
        Self {
            link,
            origin: Origin {
                wall: word(&origin.wall, 32),
                host: word(&origin.host, 255),
                service: word(&origin.service, 48),
            },
            kind: event.kind.id().to_owned(),
            severity: event.severity(),
            about: event
                .about
                .into_iter()
                .map(|(name, value)| (name, clean(&value)))
                .collect(),
            text: clean(&event.text),
        }
    }

    /// As a line, without its end.
    pub(crate) fn line(&self) -> String {
        let Link { number, before } = self.link;
        let Origin { wall, host, service } = &self.origin;
        let mut line = format!(
            "<{}>1 {wall} {host} {service} - {} [rap@{ENTERPRISE} seq=\"{number}\" prev=\"{before}\"]",
            FACILITY + self.severity,
            self.kind,
        );
        if !self.about.is_empty() {
            let _ = write!(line, "[event@{ENTERPRISE}");
            for (name, value) in &self.about {
                let _ = write!(line, " {name}=\"{}\"", escape(value));
            }
            line.push(']');
        }
        if !self.text.is_empty() {
            line.push(' ');
            line.push_str(&self.text);
        }
        line
    }

    /// What [`Self::line`] wrote; `None` for anything else.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        if line.len() > LONGEST || line.chars().any(char::is_control) {
            return None;
        }
        let mut fields = line.splitn(7, ' ');
        let priority = fields.next()?.strip_prefix('<')?.strip_suffix(">1")?;
        let severity = priority.parse::<u8>().ok()?.checked_sub(FACILITY)?;
        let mut next = || fields.next().map(str::to_owned);
        let (wall, host, service) = (next()?, next()?, next()?);
        (next()? == "-").then_some(())?;
        let kind = next()?;
        let rest = fields.next()?;
        let (chain, rest) = element(rest, "rap")?;
        let [(seq, number), (prev, before)] = &chain[..] else {
            return None;
        };
        (seq == "seq" && prev == "prev").then_some(())?;
        let (about, rest) = if rest.starts_with('[') {
            element(rest, "event")?
        } else {
            (Vec::new(), rest)
        };
        let text = match rest {
            "" => "",
            rest => rest.strip_prefix(' ')?,
        };
        let record = Self {
            link: Link {
                number: number.parse().ok()?,
                before: before.parse().ok()?,
            },
            origin: Origin { wall, host, service },
            kind,
            about,
            text: text.to_owned(),
            severity,
        };
        (record.line() == line).then_some(record)
    }

    /// A parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.about.iter().find(|(known, _)| known == name)?;
        Some(value)
    }
}

/// A structured element (RFC 5424 §6.3) at the beginning of `text`, and what comes after it.
fn element<'a>(text: &'a str, id: &str) -> Option<(Vec<(String, String)>, &'a str)> {
    let mut rest = text
        .strip_prefix('[')?
        .strip_prefix(id)?
        .strip_prefix('@')?
        .strip_prefix(ENTERPRISE)?;
    let mut parameters = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return Some((parameters, after));
        }
        let (name, value) = rest.strip_prefix(' ')?.split_once("=\"")?;
        let (value, after) = unescape(value)?;
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

/// RFC 5424 §6.3.3.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A value up to its closing quote, and what comes after that.
fn unescape(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, text.get(at + 1..)?)),
            (_, '\\') => value.push(chars.next()?.1),
            (_, c) => value.push(c),
        }
    }
}

/// Printable ASCII: text outside of it would need a byte order mark (RFC 5424 §6.4).
fn clean(text: &str) -> String {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.trim().chars().map(printable).collect()
}

/// A field of the header: printable, without spaces, at least `-` (RFC 5424 §6.2).
fn word(text: &str, longest: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let word: String = text.chars().take(longest).map(printable).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// For the fuzzer: whatever is a record is written as it was read.
pub fn fuzz(line: &str) {
    if let Some(record) = Record::parse(line) {
        assert_eq!(record.line(), line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::event::Kind;
    use super::*;

    fn origin() -> Origin {
        Origin {
            wall: "2026-11-28T18:00:00Z".to_owned(),
            host: "box1".to_owned(),
            service: "netd".to_owned(),
        }
    }

    #[test]
    fn a_record_is_a_line_of_rfc_5424() {
        let event = Event::new(Kind::SiteKept, "the site was kept").with("by", "a \"b\" ]\\");
        let record = Record::new(Link::first(), origin(), event);
        let empty = Sha256::of(b"");
        assert_eq!(
            record.line(),
            format!(
                "<109>1 2026-11-28T18:00:00Z box1 netd - SITE-KEPT [rap@32473 seq=\"1\" prev=\"{empty}\"]\
                 [event@32473 by=\"a \\\"b\\\" \\]\\\\\"] the site was kept"
            )
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in ".{0,600}", name in "[a-z-]{1,40}", value in ".{0,400}", number in 1_u64..) {
            let event = Event::new(Kind::CallRefused, text).with(&name, value).with("second", "]\"");
            let link = Link { number, before: Sha256::of(b"x") };
            let record = Record::new(link, origin(), event);
            let line = record.line();
            prop_assert!(line.len() <= LONGEST && !line.contains('\n'));
            prop_assert_eq!(Record::parse(&line), Some(record));
        }

        #[test]
        fn what_is_no_record_is_refused_and_nothing_panics(line in ".{0,200}", at in 0_usize..200, c in any::<char>()) {
            fuzz(&line);
            let record = Record::new(Link::first(), origin(), Event::new(Kind::Boot, "x").with("a", "b")).line();
            let changed: String = record.chars().enumerate().map(|(i, old)| if i == at { c } else { old }).collect();
            fuzz(&changed);
        }
    }
}
