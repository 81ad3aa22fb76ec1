//! What is taken as JSON, what is refused, and that nothing is changed on the way.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn error(text: &[u8]) -> String {
    compact(text, 4).unwrap_err().to_string()
}

#[test]
fn white_space_goes_and_everything_else_stays() {
    let text = " { \"a b\" : [ 1.50 , -0 , 1E+2, 12345678901234567890123 ] ,\r\n\t\"c\":\"\\u00e4 \\n\" } ";
    let expected = r#"{"a b":[1.50,-0,1E+2,12345678901234567890123],"c":"\u00e4 \n"}"#;
    assert_eq!(compact(text.as_bytes(), 4).unwrap(), expected);
}

#[test]
fn each_broken_rule_is_named() {
    for (text, message) in [
        (&b"{\"a\":\xff}"[..], "byte 5 is not UTF-8"),
        (b"\"\xc0\xaf\"", "byte 1 is not UTF-8"),
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"\xef\xbb\xbf1", "expected value"),
        (b"1 2", "trailing characters at line 1 column 3"),
        (b"{\"a\":1,}", "trailing comma"),
        (b"{\"a\" 1}", "expected `:`"),
        (b"[1 2]", "expected `,`"),
        (b"01", "invalid number"),
        (b"NaN", "expected value"),
        (b"\"a", "EOF while parsing a string"),
        (b"\"a\nb\"", "control character"),
        (b"\"\\x\"", "invalid escape"),
        (b"\"\\u+123\"", "invalid escape"),
        (b"\"\\ud800\"", "unexpected end of hex escape"),
        (b"\"\\udc00\"", "lone leading surrogate in hex escape"),
        (b"\"\\ud800\\u0041\"", "lone leading surrogate in hex escape"),
        (b"1e999", "number out of range"),
        (b"[[[[[]]]]]", "nested deeper than 4 levels"),
    ] {
        let found = error(text);
        let shown = String::from_utf8_lossy(text);
        assert!(found.contains(message), "{shown}: {found}");
    }
    assert!(error("9".repeat(400).as_bytes()).contains("out of range"));
}

#[test]
fn a_name_twice_is_seen_through_escapes_and_at_any_depth() {
    let message = "the name \"a\" occurs twice in its object";
    assert_eq!(error(br#"{"x":[{"a":1,"\u0061":2}]}"#), message);
    assert!(compact(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#, 4).is_ok());
}

#[test]
fn pairs_become_one_character() {
    let text_of = |json: &str| text(json).unwrap();
    assert_eq!(
        text_of(r#""\ud83d\ude00\"\\\/\b\f\n\r\t\u00e4""#),
        "😀\"\\/\u{8}\u{c}\n\r\tä"
    );
    assert_eq!(text("1"), None);
}

#[test]
fn a_pointer_finds_what_rfc_6901_says() {
    let value = r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"o":{"p":[1,{"q":"x,y:]"}]}}"#;
    let at = |tokens: &[&str]| {
        let tokens: Vec<_> = tokens.iter().map(|t| (*t).to_owned()).collect();
        find(value, &tokens)
    };
    assert_eq!(at(&[]), Some(value));
    assert_eq!(at(&["foo", "1"]), Some("\"baz\""));
    assert_eq!(at(&[""]), Some("0"));
    assert_eq!(at(&["a/b"]), Some("1"));
    assert_eq!(at(&["o", "p", "1", "q"]), Some("\"x,y:]\""));
    for nowhere in [
        &["foo", "2"][..],
        &["foo", "01"],
        &["foo", "-"],
        &["x"],
        &["a/b", "c"],
    ] {
        assert_eq!(at(nowhere), None, "{nowhere:?}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_another_parser_wrote_comes_back_whole(value in json()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let found = compact(pretty.as_bytes(), 8).unwrap();
        prop_assert_eq!(&found, &value.to_string());
        if let Value::Object(map) = &value {
            let names: Vec<_> = members(&found).into_keys().collect();
            prop_assert_eq!(names, map.keys().cloned().collect::<Vec<_>>());
            for (name, _) in map {
                let there = find(&found, std::slice::from_ref(name)).unwrap();
                prop_assert_eq!(there, value[name].to_string());
            }
        }
    }

    #[test]
    fn what_we_take_another_parser_takes_too(text in r#"[\[\]{},:"\\a1\-.eu0d8c \n]{0,24}"#) {
        if let Ok(found) = compact(text.as_bytes(), 30) {
            let ours: Value = serde_json::from_str(&found).unwrap();
            let theirs: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in any::<String>()) {
        let _ = compact(&bytes, 4);
        let _ = (members(&text).len(), elements(&text).len(), super::text(&text), find(&text, &["a".to_owned()]));
    }
}

#[test]
fn many_names_are_told_apart_and_one_twice_is_found_among_them() {
    let names = |count: usize| (0..count).map(|n| format!("\"n{n}\":{n}")).collect::<Vec<_>>();
    let object = |names: &[String]| format!("{{{}}}", names.join(","));
    assert!(compact(object(&names(500)).as_bytes(), 4).is_ok());
    for count in [1, 16, 17, 400] {
        for (nth, again) in [(0, "n0".to_owned()), (count - 1, format!("\\u006e{}", count - 1))] {
            let mut twice = names(count);
            twice.push(format!("\"{again}\":1"));
            let message = format!("the name \"n{nth}\" occurs twice in its object");
            assert_eq!(error(object(&twice).as_bytes()), message);
        }
    }
}

#[test]
fn what_looks_like_structure_in_a_string_is_none() {
    for text in [r#"" { [ \" { [ \\""#, r#"{"a\\":"[[[[[[","b":" \"] "}"#] {
        assert_eq!(compact(text.as_bytes(), 1).unwrap(), text);
    }
    assert!(error(br#"["\\",[[[[]]]]]"#).contains("deeper"));
}
