//! `[audit]`: the hospital's collector, where the audit trail is copied to.

use netfw::model::Host;

use super::Target;
use super::read::{At, Reader, Section};
use super::target::is_name;
use crate::digest::Sha256;
use crate::provision::COLLECTOR_CA;

/// IANA's port of syslog over TLS (RFC 5425, 4.1).
const PORT: u16 = 6514;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// `collector = "siem.hospital.example:6514"`.
    pub collector: Target,
    /// `name = "siem"`: what its certificate is for, where that is not its host.
    pub name: Option<Host>,
    /// `fingerprint = "sha-256:E1:2D:…"` of its certificate (RFC 5425, 4.2.2), instead of an authority.
    pub fingerprint: Option<Sha256>,
    /// `end-is-enough = true`: a connection that just ends counts as the collector's word that it has the records.
    pub end_is_enough: bool,
}

impl Audit {
    /// The file of the identity that it needs.
    #[must_use]
    pub fn identity_file(&self) -> Option<&'static str> {
        self.fingerprint.is_none().then_some(COLLECTOR_CA)
    }
}

/// Decodes the table, if it is there.
pub(super) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Option<Audit> {
    let value = root.table.get("audit")?;
    let table = reader.section_of(value, "audit")?;
    let known = ["collector", "name", "fingerprint", "end-is-enough"];
    reader.refuse_unknown(table, "audit", &known);
    let name = reader.optional(table, "audit", "name", "\"siem.hospital.example\"");
    let name = name.and_then(|text| certified(reader, &text));
    let fingerprint = reader.optional(table, "audit", "fingerprint", "\"sha-256:E1:2D:…\"");
    let fingerprint = fingerprint.and_then(|text| {
        let parsed = parse_fingerprint(&text.value);
        if parsed.is_none() {
            let fix = "write what `openssl x509 -noout -fingerprint -sha256 -in collector.crt` prints, after \"sha-256:\"";
            reader.invalid(&text, "sha-256: and 32 bytes in hexadecimal with : between them", fix);
        }
        parsed
    });
    let end_is_enough = reader.boolean(table, "audit", "end-is-enough", false);
    let text = reader.required(table, "audit", "collector", "\"siem.hospital.example:6514\"")?;
    let target = Target::parse(&text.value, Some(PORT));
    if target.is_none() {
        let fix = "write the name or address of the collector, and its TCP port if it is not 6514";
        reader.invalid(&text, "HOST or HOST:PORT", fix);
    }
    Some(Audit {
        collector: target?,
        name,
        fingerprint,
        end_is_enough,
    })
}

fn certified(reader: &mut Reader<'_>, text: &At<String>) -> Option<Host> {
    let lower = text.value.to_ascii_lowercase();
    if let Ok(address) = lower.parse() {
        return Some(Host::Ip(address));
    }
    if is_name(&lower) {
        return Some(Host::Name(lower));
    }
    let fix = "write the name or the address that stands in the collector's certificate";
    reader.invalid(text, "a name or an address", fix);
    None
}

fn parse_fingerprint(text: &str) -> Option<Sha256> {
    let hex = text.strip_prefix("sha-256:")?;
    let pair = |pair: &str| {
        let digits = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    let bytes: Option<Vec<u8>> = hex.split(':').map(pair).collect();
    Some(Sha256::from_bytes(bytes?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::{EXAMPLE, Mistakes, Site};

    use super::*;

    const TABLE: &str = "# [audit]\n";
    const LINE: &str = "collector = \"siem.hospital.example\"";

    fn audit(lines: &str) -> Result<Site, Mistakes> {
        assert!(EXAMPLE.contains(TABLE));
        let text = EXAMPLE.replace(TABLE, &format!("[audit]\n{lines}\n"));
        Site::parse(&text, Path::new("site.toml"))
    }

    #[test]
    fn the_example_is_as_its_comments_say() {
        let lines = EXAMPLE[EXAMPLE.find(TABLE).unwrap() + TABLE.len()..].lines();
        let lines: Vec<_> = lines.map_while(|line| line.strip_prefix("# ")).collect();
        let site = audit(&lines.join("\n")).unwrap();
        let exit = site.destinations().into_iter().find(|to| to.name == "collector");
        assert_eq!(exit.unwrap().target.to_string(), "siem.hospital.example:6514");
        let found = site.audit.unwrap();
        assert_eq!(found.name, Some(Host::Name("siem".to_owned())));
        assert!(found.end_is_enough && found.fingerprint.is_some());
        assert_eq!(found.identity_file(), None);
        let plain = audit(LINE).unwrap().audit.unwrap();
        assert_eq!((plain.name.clone(), plain.end_is_enough), (None, false));
        assert_eq!(plain.identity_file(), Some(COLLECTOR_CA));
    }

    #[test]
    fn mistakes_are_told_with_their_fix() {
        let with = |more: &str| format!("{LINE}\n{more}");
        for (lines, words) in [
            (
                "collector = \"a b\"".to_owned(),
                "audit.collector: found \"a b\", expected HOST or HOST:PORT",
            ),
            (String::new(), "add collector = \"siem.hospital.example:6514\""),
            (
                with("name = \"*.x\""),
                "audit.name: found \"*.x\", expected a name or an address",
            ),
            (with("fingerprint = \"sha-1:E1:2D\""), "openssl x509"),
            (with("fingerprint = \"sha-256:E1:2D\""), "32 bytes"),
            (with("end_is_enough = true"), "did you mean end-is-enough?"),
        ] {
            let found = audit(&lines).unwrap_err().to_string();
            assert!(found.contains(words) && found.ends_with("1 mistake"), "{found}");
        }
    }
}
