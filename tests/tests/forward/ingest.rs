//! What instruments are answered: full, again, wrong, too slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

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

fn raw(address: SocketAddr, line: &str, headers: &str, body: &str) -> String {
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
