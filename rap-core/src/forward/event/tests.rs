//! What is taken, what is refused and with which words.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn one(body: &str) -> Result<Event, EventError> {
    parse(body.as_bytes(), Format::Single, "/lab/port1", &Limits::default()).map(|mut e| e.remove(0))
}

#[test]
fn the_port_sets_the_source_and_our_attributes_cannot_be_forged() {
    let event = one(
        r#"{"specversion":"1.0","id":"7","type":"t","source":"/lie","rapsequence":"9","data":{"rapx":1}}"#,
    )
    .unwrap();
    let value: Value = serde_json::from_slice(&event.json).unwrap();
    assert_eq!(value["source"], "/lab/port1");
    assert_eq!(value.get("rapsequence"), None);
    assert_eq!(value["data"]["rapx"], 1);
    assert_eq!((event.id.as_str(), event.lane), ("7", Lane::Routine));
}

#[test]
fn numbers_stay_as_they_were_written_and_attributes_are_sorted() {
    let event = one(
        r#"{"type":"t", "x" : 0.10, "data":[1.0e2, 123456789012345678901], "id":"7","specversion":"1.0"}"#,
    );
    let expected = r#"{"data":[1.0e2,123456789012345678901],"id":"7","source":"/lab/port1","specversion":"1.0","type":"t","x":0.10}"#;
    assert_eq!(String::from_utf8(event.unwrap().json).unwrap(), expected);
}

#[test]
fn a_mistake_in_a_batch_says_which_event() {
    let good = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    for (second, kind) in [("7", "wrong-shape"), ("{}", "attribute"), (good, "id-twice")] {
        let body = format!("[{good},{second}]");
        let error = parse(body.as_bytes(), Format::Batch, "/", &Limits::default()).unwrap_err();
        assert_eq!((error.kind(), error.position()), (kind, Some(2)), "{error}");
    }
}

#[test]
fn priority_chooses_the_lane() {
    let event = one(r#"{"specversion":"1.0","id":"7","type":"t","priority":"alert"}"#).unwrap();
    assert_eq!(event.lane, Lane::Alert);
}

#[test]
fn each_mistake_is_named() {
    for (body, message) in [
        ("{", "the body is not JSON as the box takes it: EOF"),
        ("[]", "the body is an array, expected one JSON object"),
        (r#"{"id":"1","type":"t"}"#, "attribute \"specversion\" is missing"),
        (
            r#"{"specversion":"1.0","type":"t"}"#,
            "attribute \"id\" is missing",
        ),
        (
            r#"{"specversion":"1.0","id":"a\u0000","type":"t"}"#,
            "without control characters",
        ),
        (
            r#"{"specversion":"1.0","id":"1"}"#,
            "attribute \"type\" is missing",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t","priority":"high"}"#,
            "attribute \"priority\" is \"high\"",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t","A":1}"#,
            "attribute \"A\"",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t","data":1,"data_base64":"AA=="}"#,
            "expected either data or data_base64",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t","data_base64":"AA="}"#,
            "expected a string of base64",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t","id":"2"}"#,
            "the name \"id\" occurs twice",
        ),
    ] {
        let error = one(body).unwrap_err().to_string();
        assert!(error.contains(message), "{body}: {error}");
    }
}

#[test]
fn too_deep_too_large_and_too_many_are_refused() {
    let deep = format!(
        r#"{{"specversion":"1.0","id":"1","type":"t","data":{}{}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(
        one(&deep),
        Err(EventError::Json(json::JsonError::TooDeep { limit: 32 }))
    );
    let limits = Limits {
        body: 10,
        depth: 3,
        events: 1,
    };
    let large = parse(&[b' '; 11], Format::Single, "/", &limits);
    assert_eq!(large, Err(EventError::TooLarge { limit: 10 }));
    let many = parse(b"[{},{}]", Format::Batch, "/", &limits);
    assert_eq!(many, Err(EventError::TooMany { found: 2, limit: 1 }));
}

#[test]
fn the_same_id_twice_in_a_batch_is_a_mistake() {
    let event = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let body = format!("[{event},{event}]");
    let result = parse(body.as_bytes(), Format::Batch, "/", &Limits::default());
    assert!(matches!(result, Err(EventError::Twice { position: 2, .. })));
}

#[test]
fn content_types_are_read_as_http_says() {
    assert_eq!(
        Format::of_content_type("Application/CloudEvents+JSON; charset=UTF-8"),
        Some(Format::Single)
    );
    assert_eq!(
        Format::of_content_type("application/cloudevents+json;charset=latin1"),
        None
    );
    assert_eq!(Format::of_content_type("application/json"), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&body, Format::Single, "/", &Limits::default());
        let _ = parse(&body, Format::Batch, "/", &Limits::default());
    }

    #[test]
    fn what_is_accepted_has_no_control_bytes(id in "\\PC{1,20}", text in any::<String>()) {
        let body = serde_json::json!({"specversion": "1.0", "id": id, "type": "t", "data": text}).to_string();
        if let Ok(event) = one(&body) {
            prop_assert!(event.json.iter().all(|b| *b >= 0x20));
            let value: Value = serde_json::from_slice(&event.json).unwrap();
            prop_assert_eq!(value["data"].as_str(), Some(text.as_str()));
        }
    }
}
