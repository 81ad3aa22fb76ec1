//! From the tables `[[proxy]]` and `[egress]` to an [`Egress`].

use super::super::mistake::Fault;
use super::super::read::{At, Reader, Section, join};
use super::super::target::Target;
use super::{Egress, Proxy, ProxyKind, Rule, To, Via, is_proxy_name};

const PROXY_NAME: &str = "1 to 32 of a-z, 0-9 and -, starting with a letter, and not direct";
const PROXY_URL: &str = "http://HOST:PORT or socks5h://HOST:PORT";
const PROXY_URL_FIX: &str = "write the proxy's address, such as \"http://proxy.hospital.example:3128\"; socks5h:// for \
                             SOCKS 5, which resolves names itself";
const TO: &str = "a host, *. and a domain, an address, or a network such as 10.0.0.0/8";
/// RFC 1929 §2: a length byte that is not 0; RFC 7617 §2: no colon and no control character.
const USER: &str = "1 to 255 bytes without a colon or control characters";

/// Reads `[[proxy]]` and `[egress]`; what is wrong is noted with `reader`, and what is returned then is not used.
pub(in super::super) fn decode<'a>(reader: &mut Reader<'a>, root: Section<'a>) -> Egress {
    let mut proxies: Vec<(At<String>, Proxy)> = Vec::new();
    let described = tables(reader, root, "", "proxy");
    let count = described.len();
    for (path, table) in described {
        let Some((name, proxy)) = proxy(reader, table, &path) else {
            continue;
        };
        if let Some((first, _)) = proxies.iter().find(|(other, _)| other.value == name.value) {
            let expected = format!("a name of its own: {} has this one", first.field);
            let found = format!("\"{}\"", name.value);
            let fix = "rename one of the two";
            reader.note(
                Fault::Duplicate,
                name.span.start,
                &name.field,
                found,
                expected,
                fix,
            );
        }
        proxies.push((name, proxy));
    }
    let mut ways = Ways {
        names: proxies.iter().map(|(name, _)| name.value.clone()).collect(),
        used: vec![false; proxies.len()],
        whole: proxies.len() == count,
    };
    let (default, rules) = rules(reader, root, &mut ways);
    for ((name, _), used) in proxies.iter().zip(&ways.used) {
        if ways.whole && !used {
            let (found, at) = (format!("\"{}\"", name.value), name.span.start);
            let fix = format!(
                "add a table [egress] with default = \"{}\", or remove the proxy",
                name.value
            );
            let expected = "a proxy that [egress] sends something through";
            reader.note(Fault::Conflict, at, &name.field, found, expected, fix);
        }
    }
    Egress {
        proxies: proxies.into_iter().map(|(_, proxy)| proxy).collect(),
        default,
        rules,
    }
}

fn proxy(reader: &mut Reader<'_>, table: Section<'_>, path: &str) -> Option<(At<String>, Proxy)> {
    reader.refuse_unknown(table, path, &["name", "url", "user"]);
    let name = reader.required(table, path, "name", "\"hospital\"");
    let name = name.filter(|name| {
        let fits = is_proxy_name(&name.value);
        if !fits {
            reader.invalid(name, PROXY_NAME, "write a short name such as \"hospital\"");
        }
        fits
    });
    let url = reader.required(table, path, "url", "\"http://proxy.hospital.example:3128\"");
    let url = url.and_then(|url| proxy_url(reader, &url));
    let user = reader.optional(table, path, "user", "\"rap-ward-3\"");
    if let Some(user) = &user {
        let clean = user.value.chars().all(|c| !c.is_control() && c != ':');
        if !clean || !(1..=255).contains(&user.value.len()) {
            let fix = "write the user name alone; the password is a file of the identity";
            reader.invalid(user, USER, fix);
        }
    }
    let (name, (kind, target)) = (name?, url?);
    let proxy = Proxy {
        name: name.value.clone(),
        kind,
        target,
        user: user.map(|user| user.value),
    };
    Some((name, proxy))
}

fn proxy_url(reader: &mut Reader<'_>, url: &At<String>) -> Option<(ProxyKind, Target)> {
    if url.value.contains('@') {
        // Perhaps with a password, which must not be repeated.
        let found = "a URL with a user in it";
        let fix = "write the user as user = \"NAME\", and the password into identity/proxy-NAME.password";
        reader.note(Fault::Invalid, url.span.start, &url.field, found, PROXY_URL, fix);
        return None;
    }
    let (scheme, rest) = url.value.split_once("://").unwrap_or_default();
    let kind = match scheme {
        "http" => Some(ProxyKind::Http),
        "socks5h" => Some(ProxyKind::Socks5),
        _ => None,
    };
    let target = Target::parse(rest.strip_suffix('/').unwrap_or(rest), None);
    let parsed = kind.zip(target);
    if parsed.is_none() {
        reader.invalid(url, PROXY_URL, PROXY_URL_FIX);
    }
    parsed
}

/// The names of the proxies, and which of them somebody uses.
struct Ways {
    names: Vec<String>,
    used: Vec<bool>,
    /// Whether every proxy could be read: the mistake of one is not told again where it is used.
    whole: bool,
}

fn rules<'a>(reader: &mut Reader<'a>, root: Section<'a>, ways: &mut Ways) -> (Via, Vec<Rule>) {
    if !root.table.contains_key("egress") {
        return (Via::Direct, Vec::new());
    }
    let Some(egress) = reader.table(root, "egress") else {
        return (Via::Direct, Vec::new());
    };
    reader.refuse_unknown(egress, "egress", &["default", "rule"]);
    let default = reader.optional(egress, "egress", "default", "\"direct\"");
    let default = default.and_then(|text| via_to(reader, &text, ways));
    let mut rules = Vec::new();
    for (path, table) in tables(reader, egress, "egress", "rule") {
        reader.refuse_unknown(table, &path, &["to", "via"]);
        let to = reader.required(table, &path, "to", "\"*.example\"");
        let to = to.and_then(|text| {
            let to = To::parse(&text.value);
            if to.is_none() {
                let fix = "write \"centre.example\", \"*.example\", \"10.9.0.10\" or \"10.0.0.0/8\"";
                reader.invalid(&text, TO, fix);
            }
            to
        });
        let via = reader.required(table, &path, "via", "\"direct\"");
        let via = via.and_then(|text| via_to(reader, &text, ways));
        rules.extend(to.zip(via).map(|(to, via)| Rule { to, via }));
    }
    (default.unwrap_or_default(), rules)
}

/// The tables of the list `key` of `section`, each with its full name.
fn tables<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    path: &str,
    key: &str,
) -> Vec<(String, Section<'a>)> {
    let Some(value) = section.table.get(key) else {
        return Vec::new();
    };
    let field = join(path, key);
    let Some(array) = value.get_ref().as_array() else {
        let (expected, fix) = (
            format!("a list of tables [[{field}]]"),
            format!("write [[{field}]] (two brackets)"),
        );
        reader.wrong_type(value, &field, &expected, &fix);
        return Vec::new();
    };
    let mut tables = Vec::new();
    for (i, item) in array.iter().enumerate() {
        let path = format!("{field}[{}]", i + 1);
        tables.extend(reader.section_of(item, &path).map(|table| (path, table)));
    }
    tables
}

fn via_to(reader: &mut Reader<'_>, text: &At<String>, ways: &mut Ways) -> Option<Via> {
    if text.value == "direct" {
        return Some(Via::Direct);
    }
    if let Some(index) = ways.names.iter().position(|name| *name == text.value) {
        ways.used[index] = true;
        return Some(Via::Proxy(index));
    }
    if ways.whole {
        let mut expected = "\"direct\"".to_owned();
        for name in &ways.names {
            expected.push_str(&format!(" or \"{name}\""));
        }
        let fix = format!(
            "write one of these, or add a table [[proxy]] with name = \"{}\"",
            text.value.escape_debug()
        );
        let found = format!("\"{}\"", text.value.escape_debug());
        reader.note(
            Fault::Conflict,
            text.span.start,
            &text.field,
            found,
            expected,
            fix,
        );
    }
    None
}
