//! From `[update]` to [`Updates`], every mistake noted.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{CHECK_EVERY, Install, Repository, Updates, Window};
use crate::site::mistake::Fault;
use crate::site::read::{At, Reader, Section};
use crate::site::{BitRate, Target};

const FIELDS: [&str; 5] = ["url", "install", "window", "rate-limit", "check-every"];
const EVERY: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(30 * 24);
/// More windows than a person can mean.
const MOST_WINDOWS: usize = 16;
/// Bytes of the path of a repository, at most.
const PATH: usize = 200;
const WINDOW_EXAMPLE: &str = "\"02:00-04:30\"";

/// Decodes the table, which may be absent.
pub(in crate::site) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Option<Updates> {
    let value = root.table.get("update")?;
    let table = reader.section_of(value, "update")?;
    reader.refuse_unknown(table, "update", &FIELDS);
    let url = reader.required(table, "update", "url", "\"https://updates.example/rap\"");
    let repository = url.and_then(|url| repository(reader, &url));
    let install = install(reader, table);
    let windows = windows(reader, table);
    let rate_limit = reader.optional(table, "update", "rate-limit", "\"512 kbit/s\"");
    let rate_limit = rate_limit.and_then(|text| {
        let expected = "a whole number from \"8 kbit/s\" to \"1000 Mbit/s\"";
        let fix = "write what updates may take of the line, such as \"512 kbit/s\"; leave it out where there is no limit";
        reader.parse::<BitRate>(&text, expected, fix)
    });
    let check_every = reader.duration(table, "update", "check-every", "\"6h\"", EVERY);
    Some(Updates {
        repository: repository?,
        windows,
        install,
        rate_limit: rate_limit.map(|rate| rate.value),
        check_every: check_every.unwrap_or(CHECK_EVERY),
    })
}

/// RFC 3986 §3, cut down: https, a host, a port, and a path of plain names.
fn repository(reader: &mut Reader<'_>, url: &At<String>) -> Option<Repository> {
    let parsed = url.value.strip_prefix("https://").and_then(|rest| {
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.strip_suffix('/').unwrap_or(path);
        let target = Target::parse(host, Some(443))?;
        is_path(path).then(|| Repository {
            target,
            path: path.to_owned(),
        })
    });
    if parsed.is_none() {
        let fix = "write \"https://\", the name or address of who has the repository, :PORT if it is not 443, and the \
                   folder there";
        reader.invalid(url, "https://HOST/FOLDER or https://HOST:PORT/FOLDER", fix);
    }
    parsed
}

fn is_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
    let part = |part: &str| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
    let mut parts = path.split('/');
    // What is before the first slash.
    parts.next() == Some("") && path.len() <= PATH && parts.all(part)
}

fn install(reader: &mut Reader<'_>, table: Section<'_>) -> Install {
    let Some(text) = reader.optional(table, "update", "install", "\"automatic\"") else {
        return Install::Automatic;
    };
    match text.value.as_str() {
        "automatic" => Install::Automatic,
        "ask" => Install::Ask,
        "manual" => Install::Manual,
        _ => {
            let fix = "write \"automatic\"; \"ask\" to be asked before each; \"manual\" where the box is not even to look";
            reader.invalid(&text, "\"automatic\", \"ask\" or \"manual\"", fix);
            Install::Automatic
        }
    }
}

/// One window, or a list of them.
fn windows(reader: &mut Reader<'_>, table: Section<'_>) -> Vec<Window> {
    let texts = match table.table.get("window") {
        Some(value) if value.get_ref().is_array() => {
            let list = reader.list(table, "update", "window", "[\"02:00-04:30\"]");
            if list.len() > MOST_WINDOWS {
                let (at, found) = (value.span().start, format!("{} windows", list.len()));
                let expected = format!("at most {MOST_WINDOWS}");
                let fix = "write fewer, larger ones";
                reader.note(Fault::Invalid, at, "update.window", found, expected, fix);
            }
            list
        }
        _ => reader
            .optional(table, "update", "window", WINDOW_EXAMPLE)
            .into_iter()
            .collect(),
    };
    let parse = |text: &At<String>| {
        let expected =
            "HH:MM-HH:MM in UTC, 30 minutes or more, with days before it if need be: \"Sat,Sun 22:00-05:00\"";
        let fix = "write when the box may restart, such as \"02:00-04:30\" or \"Mon-Fri 02:00-04:30\"";
        Some(reader.parse::<Window>(text, expected, fix)?.value)
    };
    texts.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::tests::mistakes;
    use crate::site::{EXAMPLE, Site};

    fn site(from: &str, to: &str) -> Site {
        assert!(EXAMPLE.contains(from), "the example has no {from}");
        Site::parse(&EXAMPLE.replacen(from, to, 1), Path::new("site.toml")).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn every_field_is_read() {
        let updates = site("version", "version").updates.unwrap();
        assert_eq!(
            updates.repository.to_string(),
            "https://updates.vendor.example:443/rap"
        );
        assert_eq!(updates.windows.len(), 2);
        assert_eq!(updates.install, Install::Automatic);
        assert_eq!(updates.rate_limit.unwrap().to_string(), "512 kbit/s");
        assert_eq!(updates.check_every, CHECK_EVERY);
        let one = "window = \"23:00-01:00\"\n#";
        assert_eq!(site("window = ", one).updates.unwrap().windows.len(), 1);
    }

    #[test]
    fn without_the_table_there_is_no_repository_and_no_way_to_one() {
        let (front, _) = EXAMPLE.split_once("# Where updates come from").unwrap();
        let site = Site::parse(front, Path::new("site.toml")).unwrap();
        assert_eq!((site.updates.clone(), site.destinations().len()), (None, 1));
    }

    #[test]
    fn the_repository_is_a_destination_unless_the_centre_has_it() {
        let destinations = site("version", "version").destinations();
        assert_eq!(destinations[1].target.to_string(), "updates.vendor.example:443");
        let url = "url = \"https://updates.vendor.example/rap\"";
        let same = site(url, "url = \"https://10.9.0.10:8443/updates\"");
        assert_eq!(same.destinations().len(), 1);
    }

    /// Expects exactly one mistake, in `field`, with these words.
    fn check(from: &str, to: &str, fault: Fault, field: &str, expected: &str, fix: &str) {
        let found = mistakes(from, to);
        assert_eq!(found.list.len(), 1, "{found}");
        let mistake = &found.list[0];
        assert_eq!((mistake.fault, mistake.field.as_str()), (fault, field), "{found}");
        assert!(mistake.line > 70, "{found}");
        assert!(mistake.expected.contains(expected), "{found}");
        assert!(mistake.fix.contains(fix), "{found}");
    }

    #[test]
    fn one_mistake_a_field() {
        let (invalid, url) = (Fault::Invalid, "https://updates.vendor.example/rap");
        for wrong in [
            "http://updates.example/rap",
            "https://",
            "https:///rap",
            "https://a/../b",
            "https://a//b",
            "https://a/b?c",
            "https://user@a/b",
        ] {
            check(url, wrong, invalid, "update.url", "https://HOST/FOLDER", ":PORT");
        }
        check(
            "url = \"https://updates.vendor.example/rap\"",
            "",
            Fault::Missing,
            "update.url",
            "a value",
            "add url",
        );
        check(
            "\"automatic\"",
            "\"always\"",
            invalid,
            "update.install",
            "\"ask\"",
            "not even to look",
        );
        check(
            "\"Mon-Fri 02",
            "\"Mo-Fri 02",
            invalid,
            "update.window[1]",
            "HH:MM-HH:MM",
            "\"02:00-04:30\"",
        );
        check(
            "window = [",
            "window = 7 # [",
            Fault::Type,
            "update.window",
            "a text",
            "02:00",
        );
        check(
            "512 kbit/s",
            "512",
            invalid,
            "update.rate-limit",
            "8 kbit/s",
            "512 kbit/s",
        );
        check(
            "\"6h\"",
            "\"59s\"",
            invalid,
            "update.check-every",
            "from 1m to 30d",
            "such as \"6h\"",
        );
        check(
            "check-every",
            "check-evry",
            Fault::Unknown,
            "update.check-evry",
            "one of url",
            "did you mean check-every",
        );
    }
}
