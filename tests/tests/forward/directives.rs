//! The forwarder as the courier between the service centre and the session service, and the instruments' side of
//! consent. The session service is played: what it decides is tried beside it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{LONG, Rig, wait_until};

/// Plays a session service at `socket`: says what it was asked, and answers an exchange with `answer`.
pub(crate) fn play(socket: &Path, answer: impl Fn(&Value) -> Value + Send + 'static) -> Receiver<Value> {
    let listener = UnixListener::bind(socket).unwrap();
    let (said, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let request: Value = serde_json::from_str(&line).unwrap();
            let reply = answer(&request);
            if said.send(request).is_err() {
                return;
            }
            let _ = stream.write_all(format!("{reply}\n").as_bytes());
        }
    });
    heard
}

/// Waits for a request like this.
fn expect(heard: &Receiver<Value>, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let request = heard
            .recv_timeout(LONG)
            .unwrap_or_else(|_| panic!("never {what}"));
        if is_it(&request) {
            return request;
        }
    }
}

fn exchanged(after: u64, reports: Value) -> Value {
    json!({ "done": { "docket": ["00112233445566778899aabbccddeeff", after], "reports": reports } })
}

fn carries(request: &Value) -> bool {
    request["envelopes"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

#[test]
fn a_poll_brings_directives_and_reports_go_back_once_each() {
    let mut rig = Rig::new();
    let socket = rig.path().join("session.sock");
    let heard = play(&socket, |request| {
        let taken = request["taken"]
            .as_array()
            .is_some_and(|taken| taken.contains(&json!("r-1")));
        let report = json!({ "id": "r-1", "type": "rap.directive.answered", "data": { "number": 7 } });
        // Told again until it is taken.
        exchanged(6, if taken { json!([]) } else { json!([report]) })
    });
    rig.centre
        .directives()
        .add(7, json!({ "payload": "cA==", "signature": "cw==" }));
    rig.start(|config| {
        config.sessions = Some(socket);
        config.source = Some("/lab".to_owned());
    });
    let request = expect(&heard, "carried", carries);
    assert_eq!(
        request["envelopes"][0],
        r#"{"payload":"cA==","signature":"cw=="}"#
    );
    assert!(
        request["there"].is_i64(),
        "the centre's time came with it: {request}"
    );
    expect(&heard, "taken", |request| request["taken"] == json!(["r-1"]));
    let events = rig.centre.store().unwrap().wait_for(1, LONG).unwrap();
    assert_eq!(
        (events[0].id.as_str(), events[0].source.as_str()),
        ("r-1", "/lab")
    );
    assert_eq!(events[0].event["data"]["number"], 7);
    let poll = &rig.centre.directives().polls()[0];
    assert_eq!(
        (poll.docket.as_str(), poll.after),
        ("00112233445566778899aabbccddeeff", 6)
    );
}

#[test]
fn a_receipt_brings_directives_too_and_a_session_service_that_is_away_holds_up_nothing() {
    let mut rig = Rig::new();
    let socket = rig.path().join("session.sock");
    rig.centre.directives().in_receipts();
    rig.centre.directives().add(1, json!({ "payload": "cA==" }));
    rig.start(|config| config.sessions = Some(socket.clone()));
    let agent = rig.agent();
    let post = |id: &str| {
        let event = json!({ "specversion": "1.0", "id": id, "type": "t", "data": 1 });
        assert_eq!(agent.post(&event).unwrap().status, 202);
    };
    post("before");
    assert_eq!(rig.delivered(1), ["before"]);
    let heard = play(&socket, |_| exchanged(0, json!([])));
    post("after");
    expect(&heard, "carried", carries);
}

#[test]
fn a_person_speaks_for_the_own_port_only() {
    let mut rig = Rig::new();
    let socket = rig.path().join("session.sock");
    let heard = play(&socket, |request| match request["do"].as_str().unwrap() {
        "requests" => json!({ "done": [{ "session": "s-1" }] }),
        "consent" if request["port"] == "port1" => json!({ "done": { "state": "connecting" } }),
        "consent" => json!({ "refused": "no session \"s-1\" is asked for at this port" }),
        _ => exchanged(0, json!([])),
    });
    rig.start(|config| config.sessions = Some(socket.clone()));
    let plain = |port: usize, head: &str, body: &str| {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(rig.address(port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        let request =
            format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let json_to = |path: &str| format!("POST {path} HTTP/1.1\r\nContent-Type: application/json");
    let consent = r#"{"session":"s-1","answer":"once","by":"Bob"}"#;
    // The second port is the one without TLS: the name is the listener's, whatever is posted.
    let answer = plain(1, &json_to("/v1/consent"), consent);
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("is asked for at this port"),
        "{answer}"
    );
    let asked = expect(&heard, "consented", |request| request["do"] == "consent");
    assert_eq!(asked["port"], "port2");
    let answer = plain(1, "GET /v1/requests HTTP/1.1", "");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"[{"session":"s-1"}]"#),
        "{answer}"
    );
    for (head, body, status) in [
        (
            json_to("/v1/consent"),
            r#"{"session":"s-1","answer":"once","by":"Bob","port":"port1"}"#,
            "400",
        ),
        (
            json_to("/v1/consent"),
            r#"{"session":"s-1","answer":"maybe","by":"Bob"}"#,
            "400",
        ),
        ("POST /v1/consent HTTP/1.1".to_owned(), consent, "415"),
        (json_to("/v1/requests"), "{}", "405"),
    ] {
        let answer = plain(1, &head, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let large = plain(1, &json_to("/v1/consent"), &" ".repeat(5000));
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
}

#[test]
fn a_centre_that_knows_no_directives_is_left_alone() {
    let mut rig = Rig::new();
    let socket = rig.path().join("session.sock");
    let _heard = play(&socket, |_| exchanged(0, json!([])));
    rig.centre.fault(Some(rap_tests::centre::Fault::Status(404)));
    rig.start(|config| config.sessions = Some(socket));
    wait_until("a poll is answered", || {
        !rig.centre.directives().polls().is_empty()
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(rig.centre.directives().polls().len(), 1);
}
