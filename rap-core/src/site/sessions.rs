//! `[sessions]`: whether remote sessions may be, and what the hospital asks of them.

use std::time::Duration;

use ipnet::Ipv4Net;

use super::mistake::Fault;
use super::read::{Reader, Section};
use super::{BitRate, Target};
use crate::directive::COMMANDS;
use crate::provision::SESSION_FILES;

/// The longest session when nothing is said, and the longest at all.
const LONGEST: [Duration; 2] = [Duration::from_hours(2), Duration::from_hours(8)];
/// A shorter one is of no use.
const SHORTEST: Duration = Duration::from_mins(1);

/// `[sessions]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// `prefix = "100.64.7.0/24"`: where instruments take the addresses from by which they are reached.
    pub prefix: Ipv4Net,
    /// `tunnel = "vpn.vendor.example:443"`: the service centre's OpenVPN server. Without one nobody gets in.
    pub tunnel: Option<Target>,
    /// `require-pin = true`: a yes needs the PIN of the identity.
    pub require_pin: bool,
    /// `forbid = ["put-settings"]`: what the service centre may not ask, of [`COMMANDS`].
    pub forbid: Vec<&'static str>,
    /// `longest = "2h"`: no session is longer, whoever says yes.
    pub longest: Duration,
    /// `rate-limit = "96 kbit/s"`: no more than this goes through the tunnel, each way.
    pub rate_limit: Option<BitRate>,
}

impl Sessions {
    /// What of [`SESSION_FILES`] the identity needs for them.
    #[must_use]
    pub fn identity_files(&self) -> Vec<&'static str> {
        let needed = |file: &&str| match *file {
            "consent.pin" => self.require_pin,
            _ => self.tunnel.is_some(),
        };
        SESSION_FILES.into_iter().filter(needed).collect()
    }

    /// Whether the hospital forbids this command.
    #[must_use]
    pub fn forbids(&self, command: &str) -> bool {
        self.forbid.contains(&command)
    }
}

/// Decodes the table, if it is there.
pub(super) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Option<Sessions> {
    let value = root.table.get("sessions")?;
    let table = reader.section_of(value, "sessions")?;
    let known = [
        "prefix",
        "tunnel",
        "require-pin",
        "forbid",
        "longest",
        "rate-limit",
    ];
    reader.refuse_unknown(table, "sessions", &known);
    let tunnel = reader.optional(table, "sessions", "tunnel", "\"vpn.vendor.example:443\"");
    let tunnel = tunnel.and_then(|text| {
        let target = Target::parse(&text.value, None);
        if target.is_none() {
            let fix = "write the name or address of the OpenVPN server and its TCP port, such as \"vpn.vendor.example:443\"";
            reader.invalid(&text, "HOST:PORT", fix);
        }
        target
    });
    let require_pin = reader.boolean(table, "sessions", "require-pin", false);
    let forbid = forbid(reader, table);
    let longest = reader.duration(table, "sessions", "longest", "\"2h\"", SHORTEST..=LONGEST[1]);
    let rate_limit = reader.optional(table, "sessions", "rate-limit", "\"96 kbit/s\"");
    let rate_limit = rate_limit.and_then(|text| {
        let expected = "a whole number from \"8 kbit/s\" to \"1000 Mbit/s\"";
        let fix = "write what a session may take of the line, such as \"96 kbit/s\"; leave it out where there is no limit";
        Some(reader.parse::<BitRate>(&text, expected, fix)?.value)
    });
    let text = reader.required(table, "sessions", "prefix", "\"100.64.7.0/24\"")?;
    let expected = "an IPv4 network from /16 to /30";
    let fix = "write a network nothing else uses, such as \"100.64.7.0/24\"";
    Some(Sessions {
        prefix: reader.parse::<Ipv4Net>(&text, expected, fix)?.value,
        tunnel,
        require_pin,
        forbid,
        longest: longest.unwrap_or(LONGEST[0]),
        rate_limit,
    })
}

fn forbid(reader: &mut Reader<'_>, table: Section<'_>) -> Vec<&'static str> {
    let mut forbidden = Vec::new();
    for text in reader.list(table, "sessions", "forbid", "[\"put-settings\"]") {
        match COMMANDS.iter().find(|command| **command == text.value) {
            Some(command) => forbidden.push(*command),
            None => {
                let expected = format!("one of {}", COMMANDS.join(", "));
                let (at, found) = (text.span.start, format!("\"{}\"", text.value));
                let fix = "write what the service centre may not ask, or remove it";
                reader.note(Fault::Invalid, at, &text.field, found, expected, fix);
            }
        }
    }
    forbidden
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::{EXAMPLE, Site};

    use super::*;

    const PREFIX: &str = "prefix = \"100.64.7.0/24\"\n";

    fn sessions(more: &str) -> Result<Site, crate::site::Mistakes> {
        let text = EXAMPLE.replace(PREFIX, &format!("{PREFIX}{more}\n"));
        Site::parse(&text, Path::new("site.toml"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let found = sessions("").unwrap().sessions.unwrap();
        assert_eq!((found.tunnel, found.require_pin), (None, false));
        assert_eq!((found.longest, found.forbid.len()), (LONGEST[0], 0));
    }

    #[test]
    fn the_example_is_as_its_comments_say() {
        let lines = EXAMPLE[EXAMPLE.find(PREFIX).unwrap() + PREFIX.len()..].lines();
        let lines: Vec<_> = lines.map_while(|line| line.strip_prefix("# ")).collect();
        let site = sessions(&lines.join("\n")).unwrap();
        assert!(site.destinations().iter().any(|to| to.name == "tunnel"));
        let found = site.sessions.unwrap();
        assert_eq!(
            found.tunnel.as_ref().unwrap().to_string(),
            "vpn.vendor.example:443"
        );
        assert!(found.require_pin && found.forbids("put-settings") && !found.forbids("open-session"));
        assert_eq!(found.rate_limit.unwrap().to_string(), "96 kbit/s");
        assert_eq!(found.identity_files(), SESSION_FILES);
        assert_eq!(sessions("").unwrap().sessions.unwrap().identity_files(), [""; 0]);
    }

    #[test]
    fn mistakes_are_told_with_their_fix() {
        for (line, words) in [
            (
                "tunnel = \"vpn\"",
                "sessions.tunnel: found \"vpn\", expected HOST:PORT",
            ),
            (
                "forbid = [\"run\"]",
                "found \"run\", expected one of open-session, ",
            ),
            ("longest = \"9h\"", "found \"9h\", expected a time from 1m to 8h"),
            ("require_pin = true", "did you mean require-pin?"),
        ] {
            let found = sessions(line).unwrap_err().to_string();
            assert!(found.contains(words) && found.ends_with("1 mistake"), "{found}");
        }
    }
}
