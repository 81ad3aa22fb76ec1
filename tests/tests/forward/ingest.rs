//! What instruments are answered: full, again, wrong, too slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rap_core::forward::ingest::Rate;
use rap_tests::centre::Fault;
use rap_tests::instrument::report;
use serde_json::json;

use super::rig::*;

#[test]
fn when_full_routine_waits_outside_and_alerts_are_taken() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|_| {});
    let agent = rig.agent();
    let large = |id: String, priority: &str| json!({"specversion": "1.0", "id": id, "type": "t", "priority": priority, "data": "x".repeat(20_000)});
    let taken = (0..1000)
        .take_while(|k| agent.post(&large(format!("r{k}"), "routine")).unwrap().status == 202)
        .count();
    assert!((10..900).contains(&taken), "{taken}");
    let refused = agent.post(&large("late".to_owned(), "routine")).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(
        agent.post(&large("alarm".to_owned(), "alert")).unwrap().status,
        202
    );
    rig.centre.fault(None);
    let arrived = rig.delivered(taken + 1);
    assert!(arrived.contains(&"alarm".to_owned()));
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(
        agent.post(&large("late".to_owned(), "routine")).unwrap().status,
        202
    );
    assert!(rig.delivered(taken + 2).contains(&"late".to_owned()));
}

#[test]
fn the_same_report_again_is_accepted_again_and_stored_once() {
    let rig = Rig::started();
    let agent = rig.agent();
    let mut event = report(&plan("a", 1), "a-1", 1);
    let answers: Vec<_> = (0..3).map(|_| agent.post(&event).unwrap()).collect();
    assert_eq!(
        (answers[0].status, answers[0].body.as_str()),
        (202, r#"{"accepted":["a-1"]}"#)
    );
    assert!(answers.iter().all(|a| *a == answers[0]));
    event["data"] = json!("another");
    assert_eq!(agent.post(&event).unwrap().status, 409);
    wait_until("the log is empty", || rig.waiting() == 0);
    assert_eq!(rig.delivered(1), ["a-1"]);
    assert_eq!(rig.centre.store().unwrap().duplicates().unwrap(), 0);
}

#[test]
fn wrong_requests_are_answered_as_the_protocol_says() {
    let rig = Rig::started();
    let event = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let kind = "Content-Type: application/cloudevents+json\r\n";
    for (line, headers, body, status) in [
        ("POST /", kind, event, 404),
        ("GET /v1/status", "", "", 405),
        ("POST /v1/status", "", event, 415),
        ("POST /v1/status", "Content-Type: text/plain\r\n", event, 415),
        (
            "POST /v1/status",
            &format!("{kind}Content-Encoding: gzip\r\n"),
            event,
            415,
        ),
        ("POST /v1/status", kind, "{", 400),
        ("POST /v1/status", kind, &"[".repeat(1000), 400),
        ("POST /v1/status", kind, &" ".repeat(300_000), 413),
        ("POST /v1/status", kind, event, 202),
    ] {
        let answer = raw(rig.address(1), line, headers, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {headers}: {answer}"
        );
        assert_eq!(
            answer.contains("application/problem+json"),
            status != 202,
            "{answer}"
        );
        assert_eq!(
            answer.to_lowercase().contains("allow: post"),
            status == 405,
            "{answer}"
        );
    }
}

pub(crate) fn raw(address: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The answer to a body that is too large may come before all of it is sent.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn problems_say_what_kind_and_which_event() {
    let rig = Rig::started();
    let good = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let twice = r#"{"specversion":"1.0","id":"2","type":"t","data":{"a":1,"b":{},"a":2}}"#;
    let batch = "application/cloudevents-batch+json";
    for (kind, body, status, problem) in [
        (
            batch,
            format!("[{good},{{\"specversion\":\"1.0\",\"id\":\"2\"}}]"),
            400,
            json!({"type": "urn:rap:problem:attribute", "title": "Bad Request", "status": 400, "event": 2,
                "detail": "event 2: attribute \"type\" is missing, expected a string that is not empty"}),
        ),
        (
            "application/cloudevents+json",
            twice.to_owned(),
            400,
            json!({"type": "urn:rap:problem:duplicate-name", "title": "Bad Request", "status": 400,
                "detail": "the body is not JSON as the box takes it: the name \"a\" occurs twice in its object"}),
        ),
        (
            "application/cloudevents+avro",
            good.to_owned(),
            415,
            json!({"type": "urn:rap:problem:media-type", "title": "Unsupported Media Type", "status": 415,
                "detail": "found Content-Type application/cloudevents+avro, expected application/cloudevents+json or \
                    application/cloudevents-batch+json in UTF-8, or the headers of binary mode (ce-specversion, ce-id, \
                    ce-type)"}),
        ),
    ] {
        let headers = format!("Content-Type: {kind}\r\n");
        let answer = raw(rig.address(1), "POST /v1/status", &headers, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let found: serde_json::Value =
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(found, problem);
    }
    let gzip = "Content-Type: application/cloudevents+json\r\nContent-Encoding: gzip\r\n";
    let answer = raw(rig.address(1), "POST /v1/status", gzip, "x").to_lowercase();
    assert!(
        answer.contains("accept-encoding: identity") && answer.contains("problem:content-encoding"),
        "{answer}"
    );
}

#[test]
fn binary_mode_delivers_what_structured_mode_would() {
    let rig = Rig::started();
    let headers = "Content-Type: application/json\r\nce-specversion: 1.0\r\nce-id: a%20b\r\nce-type: t\r\n\
        CE-Priority: alert\r\n";
    let answer = raw(
        rig.address(1),
        "POST /v1/status",
        headers,
        r#"{"pi": 3.14159265358979323846}"#,
    );
    assert!(answer.ends_with(r#"{"accepted":["a b"]}"#), "{answer}");
    assert_eq!(rig.delivered(1), ["a b"]);
    let event = &rig.centre.store().unwrap().events().unwrap()[0];
    assert_eq!(
        (event.lane.as_str(), event.source.as_str()),
        ("alert", "/lab/port2")
    );
    assert_eq!(event.event["datacontenttype"], "application/json");
    // Posted again in structured mode it is the same report.
    let same = r#"{"specversion":"1.0","id":"a b","type":"t","priority":"alert","datacontenttype":"application/json","data":{"pi":3.14159265358979323846}}"#;
    let structured = "Content-Type: application/cloudevents+json\r\n";
    let answer = raw(rig.address(1), "POST /v1/status", structured, same);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let other = same.replace("46}", "47}");
    let answer = raw(rig.address(1), "POST /v1/status", structured, &other);
    assert!(
        answer.starts_with("HTTP/1.1 409"),
        "numbers are not rounded: {answer}"
    );
}

#[test]
fn reports_come_at_a_rate_and_the_rest_is_told_when_to_come_again() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.limits.rate = Rate {
            per_second: 5,
            burst: 3,
        };
    });
    let event = |k: u64| report(&plan("a", 4), &format!("a-{k}"), k);
    let agent = rig.agent();
    let batch = json!([event(1), event(2), event(3), event(4)]);
    assert_eq!(agent.post(&batch).unwrap().status, 202, "a batch passes whole");
    // Sixty at once are twelve seconds of debt, on a port with a bucket of its own.
    let many: Vec<_> = (5..65).map(event).collect();
    let kind = "Content-Type: application/cloudevents-batch+json\r\n";
    let post = || raw(rig.address(1), "POST /v1/status", kind, &json!(many).to_string());
    let (taken, refused) = (post(), post());
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("problem:too-many-reports"), "{refused}");
    let wait = refused
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("retry-after: ")?.parse().ok());
    assert!((1_u64..=12).contains(&wait.unwrap()), "{refused}");
    rig.post(&plan("b", 4));
    rig.delivered(4 + 60 + 4);
}

#[test]
fn a_slow_client_is_cut_off_and_the_next_one_served() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.limits.connections = 2;
        config.limits.head = Duration::from_millis(300);
        config.limits.body = Duration::from_millis(300);
    });
    let head = "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n";
    let slow: Vec<_> = [head.to_owned(), format!("{head}Content-Length: 100\r\n\r\n{{")]
        .iter()
        .map(|start| {
            let mut stream = TcpStream::connect(rig.address(1)).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            stream
        })
        .collect();
    let body = r#"{"specversion":"1.0","id":"1","type":"t"}"#;
    let answer = raw(
        rig.address(1),
        "POST /v1/status",
        "Content-Type: application/cloudevents+json\r\n",
        body,
    );
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    for mut stream in slow {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut rest = Vec::new();
        // Ends, whether by an orderly close or a reset.
        let _ = stream.read_to_end(&mut rest);
    }
}
