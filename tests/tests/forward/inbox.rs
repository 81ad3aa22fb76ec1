//! What the service centre sends to an instrument's agent and wants of it, over the real ways: the session service is
//! played, since what it decides is tried beside it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rap_core::digest::Sha256;
use serde_json::{Value, json};

use crate::directives::play;
use crate::rig::{LONG, Rig, wait_until};

/// Pieces are of so many bytes.
const PIECE: usize = 128 << 10;

/// A box with two ports, a centre, and a session service that hands out these orders until they are taken.
struct Story {
    rig: Rig,
    orders: Arc<Mutex<Vec<Value>>>,
}

/// An answer to an agent.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Story {
    fn new() -> Self {
        let mut rig = Rig::new();
        let orders = Arc::new(Mutex::new(Vec::<Value>::new()));
        let offered = Arc::clone(&orders);
        let heard = play(&rig.path().join("session.sock"), move |request| {
            let mut orders = offered.lock().unwrap();
            if let Some(taken) = request["taken"].as_array() {
                orders.retain(|order| !taken.contains(&order["id"]));
            }
            json!({ "done": { "docket": null, "reports": [], "orders": *orders } })
        });
        std::thread::spawn(move || heard.iter().for_each(drop));
        start(&mut rig);
        Self { rig, orders }
    }

    fn order(&self, id: char, number: u64, what: Value) -> String {
        let id = id.to_string().repeat(32);
        self.orders
            .lock()
            .unwrap()
            .push(json!({ "id": id, "number": number, "what": what }));
        id
    }

    fn put(&self, id: char, content: &[u8]) -> String {
        let what = json!({ "put": {
            "instrument": "port2", "name": "assay.cfg", "purpose": "settings", "bytes": content.len(),
            "sha256": Sha256::of(content), "seconds": 600,
        }});
        self.order(id, 7, what)
    }

    /// Port 2 is the one without TLS.
    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.rig.address(1)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let length = body.len();
        let head = format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec())
            .unwrap()
            .to_ascii_lowercase();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: answer[end + 4..].to_vec(),
        }
    }

    fn inbox(&self) -> Vec<Value> {
        let answer = self.ask("GET /v1/inbox HTTP/1.1", b"");
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Reads the whole file as an agent does.
    fn read(&self, id: &str) -> Vec<u8> {
        let mut file = Vec::new();
        loop {
            let range = format!("GET /v1/inbox/{id} HTTP/1.1\r\nRange: bytes={}-", file.len());
            let answer = self.ask(&range, b"");
            if answer.status == 416 {
                return file;
            }
            assert_eq!(answer.status, 206, "{}", answer.head);
            assert!(answer.body.len() <= PIECE && answer.head.contains("content-range: bytes "));
            file.extend(answer.body);
        }
    }

    /// Waits for the report of this state.
    fn told(&self, state: &str) -> Value {
        let mut found = Value::Null;
        wait_until(state, || {
            let events = self.rig.centre.store().unwrap().events().unwrap();
            let event = events
                .into_iter()
                .find(|event| event.event["data"]["state"] == state);
            found = event.map(|event| event.event).unwrap_or_default();
            !found.is_null()
        });
        assert_eq!(
            (&found["type"], &found["source"]),
            (&json!("rap.inbox.changed"), &json!("/lab"))
        );
        found["data"].take()
    }
}

fn start(rig: &mut Rig) {
    let socket = rig.path().join("session.sock");
    rig.start(|config| {
        config.sessions = Some(socket);
        config.source = Some("/lab".to_owned());
        config.inbox_room = 4 << 20;
    });
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|place| u8::try_from(place * 31 % 251).unwrap())
        .collect()
}

#[test]
fn a_file_comes_over_drops_and_restarts_and_its_receipt_goes_back() {
    let mut story = Story::new();
    let file = content(3 * PIECE + 100);
    story.rig.centre.outbox().add(&file);
    // Two pieces, then the line drops until the box has restarted.
    story.rig.centre.outbox().give(Some(2));
    let id = story.put('a', &file);
    wait_until("the line drops", || story.rig.centre.outbox().asked().len() > 3);
    assert_eq!(story.inbox(), [Value::Null; 0]);
    assert_eq!(
        story.ask(&format!("GET /v1/inbox/{id} HTTP/1.1"), b"").status,
        404
    );
    story.rig.forwarder = None;
    let before = story.rig.centre.outbox().asked().len();
    story.rig.centre.outbox().give(None);
    start(&mut story.rig);
    wait_until("the file is shown", || !story.inbox().is_empty());
    // What was here was not brought again.
    let asked = story.rig.centre.outbox().asked();
    let second = format!("bytes={}-{}", 2 * PIECE, 3 * PIECE - 1);
    assert_eq!(asked[before..].first(), Some(&second), "{asked:?}");
    let seen = &story.inbox()[0];
    assert_eq!(
        (&seen["kind"], &seen["purpose"], &seen["name"]),
        (&json!("file"), &json!("settings"), &json!("assay.cfg"))
    );
    assert_eq!(seen["sha256"], json!(Sha256::of(&file)));
    assert_eq!(story.read(&id), file);
    // Too much at once is said.
    let whole = story.ask(&format!("GET /v1/inbox/{id} HTTP/1.1"), b"");
    assert!(whole.status == 400 && String::from_utf8_lossy(&whole.body).contains("ranges of at most 131072"));
    // Another port has nothing of it.
    let other = story.rig.agent();
    assert!(other.get("/v1/inbox").unwrap().ends_with("[]"));
    assert_eq!(story.told("ready")["order"], json!(id));
    let taken = format!("POST /v1/inbox/{id}/taken HTTP/1.1");
    for _ in 0..2 {
        assert_eq!(story.ask(&taken, b"").status, 200);
    }
    let told = story.told("taken");
    assert_eq!(
        (&told["number"], &told["do"], &told["instrument"]),
        (&json!(7), &json!("put-file"), &json!("port2"))
    );
    assert_eq!(story.inbox(), [Value::Null; 0]);
    let left = std::fs::read_dir(story.rig.path().join("log/inbox"))
        .unwrap()
        .count();
    assert_eq!(left, 1, "only what is known of orders is left");
}

#[test]
fn what_is_not_what_was_signed_is_never_shown_and_each_says_why() {
    let story = Story::new();
    let file = content(1000);
    let outbox = story.rig.centre.outbox();
    let mut other = file.clone();
    other[7] ^= 1;
    outbox.add_as(Sha256::of(&file), &other);
    story.put('a', &file);
    assert!(
        story.told("failed")["words"]
            .as_str()
            .unwrap()
            .starts_with("wrong digest: ")
    );
    let longer = content(1001);
    let short = content(900);
    outbox.add_as(Sha256::of(&short), &longer);
    story.put('b', &short);
    let sized = |event: &Value| {
        event["data"]["words"]
            .as_str()
            .is_some_and(|words| words.starts_with("wrong size: "))
    };
    wait_until("the size is told", || {
        let events = story.rig.centre.store().unwrap().events().unwrap();
        events.iter().any(|event| sized(&event.event))
    });
    story.put('c', &content((4 << 20) + 1));
    assert!(
        story.told("refused")["words"]
            .as_str()
            .unwrap()
            .starts_with("too large: ")
    );
    assert_eq!(story.inbox(), [Value::Null; 0]);
}

#[test]
fn a_wish_is_answered_with_a_file_refused_or_over() {
    let story = Story::new();
    let wish = |id, name: &str, seconds: u64| {
        let what = json!({ "get": { "instrument": "port2", "name": name, "seconds": seconds } });
        story.order(id, 9, what)
    };
    let (log, trace) = (wish('a', "run.log", 600), wish('b', "trace", 600));
    wait_until("both are shown", || story.inbox().len() == 2);
    assert_eq!(story.inbox()[0]["kind"], "wanted");
    let file = content(5000);
    let digest = Sha256::of(&file);
    let put = |id: &str| {
        let head = format!("PUT /v1/files/{digest} HTTP/1.1\r\nRap-Name: run.log\r\nRap-Request: {id}");
        story.ask(&head, &file)
    };
    assert_eq!(put(&"c".repeat(32)).status, 404, "nobody wants that");
    assert_eq!(put("nonsense").status, 400);
    let answer = put(&log);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(put(&log).status, 202, "the agent did not hear of it");
    let told = story.told("answered");
    assert_eq!(
        (&told["file"], &told["do"], &told["order"]),
        (&json!(digest), &json!("get-file"), &json!(log))
    );
    wait_until("the file is delivered", || {
        let delivered = story.rig.centre.files().delivered().unwrap();
        delivered
            .iter()
            .any(|file| file.digest == digest.to_string() && file.source == "/lab/port2")
    });
    let refused = format!("POST /v1/inbox/{trace}/refused HTTP/1.1");
    assert_eq!(story.ask(&refused, b"{}").status, 400);
    assert_eq!(story.ask(&refused, br#"{"why":"no such trace"}"#).status, 200);
    assert!(
        story.told("refused")["words"]
            .as_str()
            .unwrap()
            .ends_with("no such trace")
    );
    assert_eq!(
        story
            .ask(&format!("POST /v1/inbox/{trace}/taken HTTP/1.1"), b"")
            .status,
        409
    );
    wish('d', "late", 1);
    assert_eq!(
        story.told("expired")["words"],
        "the instrument's agent did not answer in time"
    );
    for (head, status) in [
        ("POST /v1/inbox HTTP/1.1", 405),
        ("GET /v1/inbox/../secret HTTP/1.1", 404),
        ("GET /v1/inbox/a HTTP/1.1", 404),
        ("GET /v1/inboxes HTTP/1.1", 404),
    ] {
        assert_eq!(story.ask(head, b"").status, status, "{head}");
    }
}
