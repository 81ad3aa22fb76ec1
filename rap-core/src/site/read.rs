//! Walks a TOML document and remembers every mistake, where serde would stop at the first.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Fault, Mistake};

/// A value and where it stands in the text, in bytes.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    /// The field's full name, such as `port[2].address`.
    pub(super) field: String,
}

/// One table of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) table: &'a DeTable<'a>,
    /// Where the table begins.
    pub(super) start: usize,
}

/// The text being read and the mistakes found so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<(usize, Mistake)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            mistakes: Vec::new(),
        }
    }

    /// The mistakes in the order of the text.
    pub(super) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|(at, _)| *at);
        self.mistakes.into_iter().map(|(_, mistake)| mistake).collect()
    }

    pub(super) fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Whether a mistake was noted of this very field, or of one in it.
    pub(super) fn has_mistake(&self, field: &str) -> bool {
        let is_in = |found: &str| {
            found
                .strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.mistakes.iter().any(|(_, mistake)| is_in(&mistake.field))
    }

    /// Remembers a mistake at byte `at`.
    pub(super) fn note(
        &mut self,
        fault: Fault,
        at: usize,
        field: &str,
        found: impl Display,
        expected: impl Display,
        fix: impl Display,
    ) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let mistake = Mistake {
            fault,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            field: field.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
            fix: fix.to_string(),
        };
        self.mistakes.push((at, mistake));
    }

    /// Notes every field of `section` that is not in `known`.
    pub(super) fn refuse_unknown(&mut self, section: Section<'_>, path: &str, known: &[&str]) {
        for key in section.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let fix = match nearest(name, known) {
                Some(near) => format!("did you mean {near}? otherwise remove it"),
                None => "remove it".to_owned(),
            };
            let expected = format!("one of {}", known.join(", "));
            self.note(
                Fault::Unknown,
                key.span().start,
                &join(path, name),
                "a field that nobody reads",
                expected,
                fix,
            );
        }
    }

    /// The text of a field that must be there.
    pub(super) fn required(
        &mut self,
        section: Section<'_>,
        path: &str,
        key: &str,
        example: &str,
    ) -> Option<At<String>> {
        if !section.table.contains_key(key) {
            self.note(
                Fault::Missing,
                section.start,
                &join(path, key),
                "nothing",
                "a value",
                format!("add {key} = {example}"),
            );
        }
        self.optional(section, path, key, example)
    }

    /// The text of a field that may be there.
    pub(super) fn optional(
        &mut self,
        section: Section<'_>,
        path: &str,
        key: &str,
        example: &str,
    ) -> Option<At<String>> {
        let value = section.table.get(key)?;
        self.text_of(value, &join(path, key), &format!("write {key} = {example}"))
    }

    /// The texts of a list that may be there.
    pub(super) fn list(
        &mut self,
        section: Section<'_>,
        path: &str,
        key: &str,
        example: &str,
    ) -> Vec<At<String>> {
        let Some(value) = section.table.get(key) else {
            return Vec::new();
        };
        let fix = format!("write {key} = {example}");
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, &join(path, key), "a list of texts", &fix);
            return Vec::new();
        };
        let items = array.iter().enumerate();
        items
            .filter_map(|(i, item)| self.text_of(item, &format!("{}[{}]", join(path, key), i + 1), &fix))
            .collect()
    }

    /// The whole number of a field that may be there.
    pub(super) fn integer(
        &mut self,
        section: Section<'_>,
        path: &str,
        key: &str,
        expected: &str,
        fix: &str,
    ) -> Option<At<i64>> {
        let value = section.table.get(key)?;
        let field = join(path, key);
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(value, &field, expected, fix);
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix());
        Some(At {
            // Beyond 64 bits it is beyond every field's range.
            value: number.unwrap_or(i64::MAX),
            span: value.span(),
            field,
        })
    }

    /// The time of a field that may be there: a whole number and a unit, such as `"90s"`, `"10m"`, `"2h"`, `"1d"`.
    pub(super) fn duration(
        &mut self,
        section: Section<'_>,
        path: &str,
        key: &str,
        example: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.optional(section, path, key, example)?;
        let seconds = UNITS.into_iter().find_map(|(unit, seconds)| {
            let digits = text.value.strip_suffix(unit)?;
            let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
            digits.parse::<u64>().ok()?.checked_mul(seconds)
        });
        let found = seconds
            .map(Duration::from_secs)
            .filter(|time| range.contains(time));
        if found.is_none() {
            let expected = format!("a time from {} to {}", unit(range.start()), unit(range.end()));
            let fix = format!("write a whole number and s, m, h or d, such as {example}");
            self.invalid(&text, &expected, &fix);
        }
        found
    }

    /// Notes that a number is not one of its field's.
    pub(super) fn out_of_range(&mut self, number: &At<i64>, expected: &str, fix: &str) {
        let (at, found) = (number.span.start, number.value);
        self.note(Fault::Invalid, at, &number.field, found, expected, fix);
    }

    /// The truth value of a field, or `default`.
    pub(super) fn boolean(&mut self, section: Section<'_>, path: &str, key: &str, default: bool) -> bool {
        let Some(value) = section.table.get(key) else {
            return default;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            let fix = format!("write {key} = true or {key} = false");
            self.wrong_type(value, &join(path, key), "true or false", &fix);
            default
        })
    }

    /// The sub-table of a field that must be there.
    pub(super) fn table(&mut self, section: Section<'a>, key: &str) -> Option<Section<'a>> {
        let Some(value) = section.table.get(key) else {
            let (expected, fix) = (format!("a table [{key}]"), format!("add a table [{key}]"));
            self.note(Fault::Missing, section.start, key, "nothing", expected, fix);
            return None;
        };
        self.section_of(value, key)
    }

    /// `value` as a table.
    pub(super) fn section_of(&mut self, value: &'a Spanned<DeValue<'a>>, field: &str) -> Option<Section<'a>> {
        let start = value.span().start;
        let section = value.get_ref().as_table().map(|table| Section { table, start });
        if section.is_none() {
            self.wrong_type(value, field, "a table", &format!("write it as a table [{field}]"));
        }
        section
    }

    /// Turns a text into a value of `T`; what is wrong is said by `expected`.
    pub(super) fn parse<T: FromStr>(
        &mut self,
        text: &At<String>,
        expected: &str,
        fix: &str,
    ) -> Option<At<T>> {
        match text.value.parse() {
            Ok(value) => Some(text.with(value)),
            Err(_) => {
                self.invalid(text, expected, fix);
                None
            }
        }
    }

    /// Notes that a text breaks its field's rule.
    pub(super) fn invalid(&mut self, text: &At<String>, expected: &str, fix: &str) {
        let found = format!("\"{}\"", text.value.escape_debug());
        self.note(Fault::Invalid, text.span.start, &text.field, found, expected, fix);
    }

    pub(super) fn wrong_type(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        field: &str,
        expected: &str,
        fix: &str,
    ) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.note(Fault::Type, value.span().start, field, found, expected, fix);
    }

    fn text_of(&mut self, value: &Spanned<DeValue<'_>>, field: &str, fix: &str) -> Option<At<String>> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, field, "a text in quotes", fix);
            return None;
        };
        Some(At {
            value: text.to_owned(),
            span: value.span(),
            field: field.to_owned(),
        })
    }
}

impl<T> At<T> {
    pub(super) fn with<U>(&self, value: U) -> At<U> {
        At {
            value,
            span: self.span.clone(),
            field: self.field.clone(),
        }
    }
}

/// The units of times, and how many seconds each is.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// A time in the largest unit of which it is a whole number.
fn unit(time: &Duration) -> String {
    let seconds = time.as_secs();
    let fits = UNITS.iter().rev().find(|(_, unit)| seconds.is_multiple_of(*unit));
    fits.map_or_else(String::new, |(name, unit)| format!("{}{name}", seconds / unit))
}

/// `path.key`, or `key` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The known name nearest to `name`, if it is near enough to be a slip.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|k| (distance(name, k), *k)).min()?;
    (near.0 <= 2.max(near.1.len() / 3)).then_some(near.1)
}

/// Levenshtein's distance, in one row. Long names are cut: no known name is long.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
