//! From `[[trigger]]` tables to [`Trigger`]s, every mistake noted.

use std::ops::Range;
use std::time::Duration;

use netfw::model::PortName;
use toml::Spanned;
use toml::de::DeValue;

use super::{Comparison, LONGEST_FOR, LONGEST_PER, MOST, Number, Pointer, Trigger, Wanted};
use crate::site::mistake::Fault;
use crate::site::read::{At, Reader, Section, join};

const FIELDS: [&str; 11] = [
    "name",
    "ports",
    "type",
    "field",
    "above",
    "below",
    "equals",
    "differs",
    "hysteresis",
    "for",
    "per",
];
/// Anything shorter is nothing.
const SHORTEST: Duration = Duration::from_secs(1);
const COMPARISONS: [&str; 4] = ["above", "below", "equals", "differs"];

/// Decodes the tables `[[trigger]]`, which may be absent.
pub(in crate::site) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Vec<Trigger> {
    let Some(value) = root.table.get("trigger") else {
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        let fix = "write [[trigger]] (two brackets) for each rule";
        reader.wrong_type(value, "trigger", "a list of tables [[trigger]]", fix);
        return Vec::new();
    };
    if array.len() > MOST {
        let (at, found) = (value.span().start, format!("{} rules", array.len()));
        let expected = format!("at most {MOST}");
        reader.note(
            Fault::Invalid,
            at,
            "trigger",
            found,
            expected,
            "remove the ones not needed",
        );
    }
    let ports = port_names(root);
    let mut names: Vec<At<String>> = Vec::new();
    let mut triggers = Vec::new();
    for (i, item) in array.iter().enumerate() {
        let path = format!("trigger[{}]", i + 1);
        let Some(table) = reader.section_of(item, &path) else {
            continue;
        };
        let name = name(reader, table, &path, &names);
        names.extend(name.clone());
        triggers.extend(trigger(reader, table, &path, ports.as_deref(), name));
    }
    triggers
}

fn trigger(
    reader: &mut Reader<'_>,
    table: Section<'_>,
    path: &str,
    ports: Option<&[PortName]>,
    name: Option<At<String>>,
) -> Option<Trigger> {
    reader.refuse_unknown(table, path, &FIELDS);
    let ports = of_ports(reader, table, path, ports);
    let kind = reader.required(table, path, "type", "\"instrument.status\"");
    let kind = kind.and_then(|kind| {
        let fits = (1..=256).contains(&kind.value.len()) && !kind.value.chars().any(char::is_control);
        if !fits {
            let expected = "the type of the reports, 1 to 256 bytes without control characters";
            reader.invalid(
                &kind,
                expected,
                "write the CloudEvents type the instrument's agent uses",
            );
        }
        fits.then_some(kind.value)
    });
    let field = reader.required(table, path, "field", "\"/temperature\"");
    let field = field.and_then(|text| {
        let fix = "write \"/\" and the name in the report's data, such as \"/temperature\"; a name with / or ~ in it has ~1 or ~0 there";
        reader.parse::<Pointer>(&text, "a JSON pointer (RFC 6901) of at most 256 bytes", fix)
    });
    let comparison = comparison(reader, table, path);
    let ordered = !matches!(comparison, Some(Comparison::Equals(_) | Comparison::Differs(_)));
    let hysteresis = hysteresis(reader, table, path, ordered);
    let hold = reader.duration(table, path, "for", "\"10m\"", SHORTEST..=LONGEST_FOR);
    let per = reader.duration(table, path, "per", "\"1h\"", SHORTEST..=LONGEST_PER);
    if let (Some(_), Some(value), false) = (&per, table.table.get("per"), ordered) {
        unordered(reader, value.span(), path, "per");
    }
    Some(Trigger {
        name: name?.value,
        ports,
        kind: kind?,
        field: field?.value,
        comparison: comparison?,
        hysteresis,
        hold: hold.unwrap_or_default(),
        per,
    })
}

fn name(
    reader: &mut Reader<'_>,
    table: Section<'_>,
    path: &str,
    others: &[At<String>],
) -> Option<At<String>> {
    let name = reader.required(table, path, "name", "\"freezer-warm\"")?;
    let clean = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=63).contains(&name.value.len()) || !name.value.chars().all(clean) {
        let fix = "write a short name such as \"freezer-warm\"";
        reader.invalid(&name, "1 to 63 of a-z, 0-9 and -", fix);
        return None;
    }
    if let Some(first) = others.iter().find(|other| other.value == name.value) {
        let expected = format!("a name of its own: {} has this one", first.field);
        let (at, found) = (name.span.start, format!("\"{}\"", name.value));
        reader.note(
            Fault::Duplicate,
            at,
            &name.field,
            found,
            expected,
            "rename one of the two",
        );
    }
    Some(name)
}

/// The names of the site's ports; `None` when one of them has none that is valid, which is a mistake of its own.
fn port_names(root: Section<'_>) -> Option<Vec<PortName>> {
    let ports = root.table.get("port")?.get_ref().as_array()?;
    let name = |port: &Spanned<DeValue<'_>>| {
        let name = port.get_ref().as_table()?.get("name")?;
        name.get_ref().as_str()?.parse().ok()
    };
    ports.iter().map(name).collect()
}

/// The ports named, which must be the site's; empty when none is named.
fn of_ports(
    reader: &mut Reader<'_>,
    table: Section<'_>,
    path: &str,
    ports: Option<&[PortName]>,
) -> Vec<PortName> {
    let texts = reader.list(table, path, "ports", "[\"port1\"]");
    let Some(ports) = ports else {
        return Vec::new();
    };
    let known: Vec<_> = ports
        .iter()
        .map(|port| format!("\"{}\"", port.as_str()))
        .collect();
    let mut named = Vec::new();
    for text in texts {
        match ports.iter().find(|port| port.as_str() == text.value) {
            Some(port) => named.push(port.clone()),
            None => {
                let expected = format!("the name of a [[port]]: one of {}", known.join(", "));
                let fix = "write a port's name, or remove ports: the rule then is for all";
                let (at, found) = (text.span.start, format!("\"{}\"", text.value.escape_debug()));
                reader.note(Fault::Conflict, at, &text.field, found, expected, fix);
            }
        }
    }
    named
}

/// Exactly one of the four.
fn comparison(reader: &mut Reader<'_>, table: Section<'_>, path: &str) -> Option<Comparison> {
    let there: Vec<_> = COMPARISONS
        .into_iter()
        .filter(|key| table.table.contains_key(*key))
        .collect();
    let expected = "exactly one of above, below, equals, differs";
    match there[..] {
        [] => {
            let fix = "add what the value is compared with, such as above = 30.0";
            reader.note(Fault::Missing, table.start, path, "no comparison", expected, fix);
            None
        }
        [key] => {
            let value = table.table.get(key)?;
            let field = join(path, key);
            match key {
                "above" => number(reader, value, &field).map(Comparison::Above),
                "below" => number(reader, value, &field).map(Comparison::Below),
                "equals" => wanted(reader, value, &field).map(Comparison::Equals),
                _ => wanted(reader, value, &field).map(Comparison::Differs),
            }
        }
        [_, second, ..] => {
            let at = table
                .table
                .get(second)
                .map_or(table.start, |value| value.span().start);
            let fix = "keep one, and write a second [[trigger]] for the other";
            reader.note(
                Fault::Conflict,
                at,
                &join(path, second),
                there.join(" and "),
                expected,
                fix,
            );
            None
        }
    }
}

fn number(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, field: &str) -> Option<Number> {
    let text = match value.get_ref() {
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        _ => {
            reader.wrong_type(value, field, "a number", "write a number such as 30 or -60.5");
            return None;
        }
    };
    let number = text.parse().ok().and_then(Number::new);
    if number.is_none() {
        let (at, fix) = (value.span().start, "write a decimal number such as 30 or -60.5");
        reader.note(Fault::Invalid, at, field, text, "a finite decimal number", fix);
    }
    number
}

fn wanted(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, field: &str) -> Option<Wanted> {
    match value.get_ref() {
        DeValue::String(text) => Some(Wanted::Text(text.clone().into_owned())),
        DeValue::Boolean(truth) => Some(Wanted::Truth(*truth)),
        DeValue::Integer(_) | DeValue::Float(_) => number(reader, value, field).map(Wanted::Number),
        _ => {
            let fix = "write the value, such as \"error\", true or 3";
            reader.wrong_type(value, field, "a text, a number or a truth value", fix);
            None
        }
    }
}

fn hysteresis(reader: &mut Reader<'_>, table: Section<'_>, path: &str, ordered: bool) -> Number {
    let Some(value) = table.table.get("hysteresis") else {
        return Number::ZERO;
    };
    if !ordered {
        unordered(reader, value.span(), path, "hysteresis");
    }
    let field = join(path, "hysteresis");
    match number(reader, value, &field) {
        Some(number) if number.value() >= 0.0 => number,
        Some(number) => {
            let fix = "write how far behind the threshold the value must go before the alert is over";
            reader.note(
                Fault::Invalid,
                value.span().start,
                &field,
                number,
                "0 or more",
                fix,
            );
            Number::ZERO
        }
        None => Number::ZERO,
    }
}

/// Notes that `key` makes no sense beside a comparison without an order.
fn unordered(reader: &mut Reader<'_>, at: Range<usize>, path: &str, key: &str) {
    let found = format!("{key} beside equals or differs");
    let expected = format!("{key} beside above or below only");
    let fix = format!("remove {key}, or compare with above or below");
    reader.note(Fault::Conflict, at.start, &join(path, key), found, expected, fix);
}
