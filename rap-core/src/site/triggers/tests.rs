//! The rules of `[[trigger]]`, each mistake with its words.

use std::path::Path;

use super::*;
use crate::site::{EXAMPLE, Fault, Site};

const RULE: &str = "\n[[trigger]]\nname = \"hot\"\ntype = \"t\"\nfield = \"/a\"\nabove = 30\n";

fn parse(rules: &str) -> Result<Vec<Trigger>, crate::site::Mistakes> {
    let (site, _) = EXAMPLE.split_once("[[trigger]]").unwrap();
    Site::parse(&format!("{site}{rules}"), Path::new("s")).map(|site| site.triggers)
}

/// The rule with `from` replaced by `to` has exactly one mistake, which reads `expected`.
fn check(from: &str, to: &str, fault: Fault, expected: &str) {
    assert!(RULE.contains(from), "{from}");
    let found = parse(&RULE.replacen(from, to, 1)).unwrap_err();
    assert_eq!(found.list.len(), 1, "{found}");
    assert_eq!(found.list[0].fault, fault, "{found}");
    assert_eq!(found.list[0].to_string(), expected);
}

#[test]
fn the_examples_rules() {
    let site = Site::parse(EXAMPLE, Path::new("s")).unwrap();
    let words: Vec<_> = site
        .triggers
        .iter()
        .map(|rule| format!("{} {}: {rule}", rule.name, rule.field))
        .collect();
    assert_eq!(
        words,
        [
            "freezer-warm /temperature: above -60, hysteresis 2, for 600 s",
            "pressure-drops /loop/0/pressure: change within 60 s below -5",
            "in-error /state: equal to \"error\"",
        ]
    );
    let port = |i: usize| &site.ports[i].name;
    assert!(site.triggers[0].is_for(port(0)) && !site.triggers[0].is_for(port(1)));
    assert!(site.triggers[2].is_for(port(1)));
}

#[test]
fn no_rule_is_no_mistake_and_whole_numbers_are_numbers() {
    assert_eq!(parse("").unwrap(), []);
    let rule = parse(RULE).unwrap().remove(0);
    assert_eq!(rule.comparison, Comparison::Above(Number(30.0)));
    assert_eq!((rule.hold, rule.per), (Duration::ZERO, None));
    let truth = parse(&RULE.replace("above = 30", "differs = true")).unwrap();
    assert_eq!(truth[0].comparison, Comparison::Differs(Wanted::Truth(true)));
}

#[test]
fn each_mistake_in_its_words() {
    check(
        "above = 30",
        "",
        Fault::Missing,
        "trigger[1]: found no comparison, expected exactly one of above, below, equals, differs\n    fix: add what the \
         value is compared with, such as above = 30.0",
    );
    check(
        "above = 30",
        "above = 30\nbelow = 10",
        Fault::Conflict,
        "trigger[1].below: found above and below, expected exactly one of above, below, equals, differs\n    fix: keep \
         one, and write a second [[trigger]] for the other",
    );
    check(
        "above = 30",
        "above = \"30\"",
        Fault::Type,
        "trigger[1].above: found a text, expected a number\n    fix: write a number such as 30 or -60.5",
    );
    check(
        "above = 30",
        "above = inf",
        Fault::Invalid,
        "trigger[1].above: found inf, expected a finite decimal number\n    fix: write a decimal number such as 30 or \
         -60.5",
    );
    check(
        "\"/a\"",
        "\"a\"",
        Fault::Invalid,
        "trigger[1].field: found \"a\", expected a JSON pointer (RFC 6901) of at most 256 bytes\n    fix: write \"/\" \
         and the name in the report's data, such as \"/temperature\"; a name with / or ~ in it has ~1 or ~0 there",
    );
    check(
        "above = 30",
        "above = 30\nhysteresis = -1",
        Fault::Invalid,
        "trigger[1].hysteresis: found -1, expected 0 or more\n    fix: write how far behind the threshold the value \
         must go before the alert is over",
    );
    check(
        "above = 30",
        "equals = 3\nhysteresis = 1",
        Fault::Conflict,
        "trigger[1].hysteresis: found hysteresis beside equals or differs, expected hysteresis beside above or below \
         only\n    fix: remove hysteresis, or compare with above or below",
    );
    check(
        "above = 30",
        "equals = 3\nper = \"1m\"",
        Fault::Conflict,
        "trigger[1].per: found per beside equals or differs, expected per beside above or below only\n    fix: remove \
         per, or compare with above or below",
    );
    check(
        "above = 30",
        "above = 30\nports = [\"port9\"]",
        Fault::Conflict,
        "trigger[1].ports[1]: found \"port9\", expected the name of a [[port]]: one of \"port1\", \"port2\"\n    fix: \
         write a port's name, or remove ports: the rule then is for all",
    );
    check(
        "\"hot\"",
        "\"Hot\"",
        Fault::Invalid,
        "trigger[1].name: found \"Hot\", expected 1 to 63 of a-z, 0-9 and -\n    fix: write a short name such as \
         \"freezer-warm\"",
    );
}

#[test]
fn times_have_a_unit_and_a_bound() {
    let with = |text: &str| parse(&format!("{RULE}for = \"{text}\"\n"));
    for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800)] {
        assert_eq!(with(text).unwrap()[0].hold, Duration::from_secs(seconds));
    }
    for wrong in [
        "",
        "10",
        "m",
        "0s",
        "8d",
        "+1m",
        "1.5h",
        "99999999999999999999d",
        "10ms",
    ] {
        let found = with(wrong).unwrap_err();
        assert_eq!(found.list.len(), 1, "{wrong}: {found}");
        assert!(
            found.to_string().contains("expected a time from 1s to 7d"),
            "{found}"
        );
    }
}

#[test]
fn all_rules_mistakes_are_told_at_once() {
    let rules = format!(
        "{}{}",
        RULE.replace("30", "true"),
        RULE.replace("\"/a\"", "\"~\"")
    );
    let found = parse(&rules).unwrap_err();
    let fields: Vec<_> = found.list.iter().map(|m| (m.fault, m.field.as_str())).collect();
    let expected = [
        (Fault::Type, "trigger[1].above"),
        (Fault::Duplicate, "trigger[2].name"),
        (Fault::Invalid, "trigger[2].field"),
    ];
    assert_eq!(fields, expected, "{found}");
    let many = parse(&RULE.repeat(MOST + 1)).unwrap_err();
    assert!(many.list.iter().any(|m| m.found == "65 rules"), "{many}");
    assert!(
        parse("\n[trigger]\nname = \"hot\"\n")
            .unwrap_err()
            .to_string()
            .contains("two brackets")
    );
}

#[test]
fn pointers_are_rfc_6901s() {
    let tokens = |text: &str| text.parse::<Pointer>().map(|p| p.tokens().to_vec());
    assert_eq!(tokens(""), Ok(vec![]));
    assert_eq!(tokens("/"), Ok(vec![String::new()]));
    assert_eq!(
        tokens("/a~1b/m~0n/~01"),
        Ok(vec!["a/b".into(), "m~n".into(), "~1".into()])
    );
    for wrong in ["a", "/~", "/~2", "#/a", "/a\n"] {
        assert!(tokens(wrong).is_err(), "{wrong}");
    }
}
