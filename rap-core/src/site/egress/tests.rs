use std::path::Path;

use super::super::{EXAMPLE, Fault, Mistakes};
use super::*;

/// The example with `tables` in place of its own proxies and rules.
fn site(tables: &str) -> Result<Site, Mistakes> {
    let (front, _) = EXAMPLE.split_once("# The hospital's proxies").unwrap();
    Site::parse(&format!("{front}{tables}"), Path::new("site.toml"))
}

/// Expects exactly these mistakes: kind, field, what was found, and the beginning of the fix.
fn check(tables: &str, expected: &[(Fault, &str, &str, &str)]) {
    let found = site(tables).unwrap_err();
    assert_eq!(found.list.len(), expected.len(), "{found}");
    for (mistake, (fault, field, what, fix)) in found.list.iter().zip(expected) {
        let got = (mistake.fault, mistake.field.as_str(), mistake.found.as_str());
        assert_eq!(got, (*fault, *field, *what), "{mistake}");
        assert!(mistake.fix.starts_with(fix), "{mistake}");
    }
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

#[test]
fn without_tables_everything_goes_direct() {
    let site = site("").unwrap();
    assert_eq!(site.egress, Egress::default());
    assert_eq!(site.egress.way_to(&name("centre.example")), Via::Direct);
    let exits = site.exits();
    assert_eq!((exits.len(), exits[0].name.as_str()), (1, "centre"));
}

#[test]
fn the_first_rule_that_fits_decides() {
    let site = site(
        r#"
        [[proxy]]
        name = "a"
        url = "http://10.0.0.1:3128"
        [[proxy]]
        name = "b"
        url = "socks5h://Proxy.Example:1080/"
        user = "rap"
        [egress]
        default = "a"
        [[egress.rule]]
        to = "Centre.Example"
        via = "direct"
        [[egress.rule]]
        to = "*.example"
        via = "b"
        [[egress.rule]]
        to = "10.0.0.0/8"
        via = "b"
        [[egress.rule]]
        to = "10.9.0.10"
        via = "direct"
        "#,
    )
    .unwrap();
    let way = |host: &Host| site.egress.way_to(host);
    assert_eq!(way(&name("centre.example")), Via::Direct);
    assert_eq!(way(&name("other.example")), Via::Proxy(1));
    assert_eq!(way(&name("example")), Via::Proxy(0));
    assert_eq!(way(&name("notexample")), Via::Proxy(0));
    // The network comes first.
    assert_eq!(way(&Host::Ip([10, 9, 0, 10].into())), Via::Proxy(1));
    assert_eq!(way(&Host::Ip([192, 0, 2, 1].into())), Via::Proxy(0));
    let urls: Vec<_> = site.egress.proxies.iter().map(Proxy::url).collect();
    assert_eq!(urls, ["http://10.0.0.1:3128", "socks5h://proxy.example:1080"]);
    assert_eq!(site.egress.proxies[1].password_file(), "proxy-b.password");
    // Packets go to the proxy alone.
    let exits = site.exits();
    assert_eq!((exits.len(), exits[0].name.as_str()), (1, "proxy-b"));
    assert_eq!(exits[0].target.to_string(), "proxy.example:1080");
}

#[test]
fn every_mistake_in_one_run() {
    check(
        r#"
        [[proxy]]
        name = "direct"
        url = "https://proxy.example:3128"
        [[proxy]]
        name = "b"
        url = "http://proxy.example"
        user = "ward:3"
        color = "red"
        [egress]
        default = "c"
        [[egress.rule]]
        to = "*"
        "#,
        &[
            (
                Fault::Invalid,
                "proxy[1].name",
                "\"direct\"",
                "write a short name",
            ),
            (
                Fault::Invalid,
                "proxy[1].url",
                "\"https://proxy.example:3128\"",
                "write the proxy's address",
            ),
            (
                Fault::Invalid,
                "proxy[2].url",
                "\"http://proxy.example\"",
                "write the proxy's address",
            ),
            (
                Fault::Invalid,
                "proxy[2].user",
                "\"ward:3\"",
                "write the user name alone",
            ),
            (
                Fault::Unknown,
                "proxy[2].color",
                "a field that nobody reads",
                "remove it",
            ),
            (Fault::Missing, "egress.rule[1].via", "nothing", "add via = "),
            (
                Fault::Invalid,
                "egress.rule[1].to",
                "\"*\"",
                "write \"centre.example\"",
            ),
        ],
    );
}

#[test]
fn a_proxy_that_is_not_there_and_one_that_nobody_uses() {
    check(
        "[[proxy]]\nname = \"a\"\nurl = \"http://a:1\"\n[egress]\ndefault = \"b\"\n",
        &[
            (
                Fault::Conflict,
                "proxy[1].name",
                "\"a\"",
                "add a table [egress] with default = \"a\"",
            ),
            (
                Fault::Conflict,
                "egress.default",
                "\"b\"",
                "write one of these, or add a table [[proxy]] with name = \"b\"",
            ),
        ],
    );
}

#[test]
fn two_proxies_of_one_name() {
    let proxy = "[[proxy]]\nname = \"a\"\nurl = \"http://a:1\"\n";
    check(
        &format!("{proxy}{proxy}[egress]\ndefault = \"a\"\n"),
        &[
            (
                Fault::Duplicate,
                "proxy[2].name",
                "\"a\"",
                "rename one of the two",
            ),
            (Fault::Conflict, "proxy[2].name", "\"a\"", "add a table [egress]"),
        ],
    );
}

#[test]
fn a_password_in_the_url_is_refused_and_not_repeated() {
    let found = site("[[proxy]]\nname = \"a\"\nurl = \"http://u:s3cret@a:1\"\n").unwrap_err();
    assert!(!found.to_string().contains("s3cret"), "{found}");
    assert!(
        found.to_string().contains("identity/proxy-NAME.password"),
        "{found}"
    );
}

#[test]
fn wrong_types() {
    check(
        "[proxy]\nname = \"a\"\n[[egress]]\ndefault = \"direct\"\n",
        &[
            (Fault::Type, "proxy", "a table", "write [[proxy]] (two brackets)"),
            (Fault::Type, "egress", "a list", "write it as a table [egress]"),
        ],
    );
}
