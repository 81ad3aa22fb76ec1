//! What agents may get wrong, and what there is no room for.

use std::time::Duration;

use rap_core::digest::Sha256;
use rap_core::forward::files::Config;
use rap_core::forward::ingest::Rate;
use rap_tests::centre::Fault;
use rap_tests::instrument::files::{Holding, Put, RANGE};
use rap_tests::instrument::{Agent, Answer};
use serde_json::Value;

use super::super::rig::*;
use super::{delivered, holding, plain, put, sample};

/// The status and the problem's kind and detail.
fn problem(answer: &Answer) -> (u16, String, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], answer.status);
    let kind = body["type"]
        .as_str()
        .unwrap()
        .strip_prefix("urn:rap:problem:")
        .unwrap();
    (
        answer.status,
        kind.to_owned(),
        body["detail"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn what_is_wrong_is_said() {
    let rig = Rig::started();
    let agent = plain(&rig);
    let bytes = b"0123456789";
    let digest = Sha256::of(bytes).to_string();
    let name = Some("a.csv");
    let cases: [(Put<'_>, u16, &str, &str); 14] = [
        (
            Put {
                digest: "abc".into(),
                range: None,
                name,
                body: b"x",
            },
            400,
            "digest",
            "the path: expected a SHA-256: 64 of 0-9",
        ),
        (
            Put {
                digest: digest.to_uppercase(),
                range: None,
                name,
                body: b"x",
            },
            400,
            "digest",
            "the path",
        ),
        (
            Put {
                digest: format!("../{digest}"),
                range: None,
                name,
                body: b"x",
            },
            400,
            "digest",
            "the path: expected a SHA-256: 64 of 0-9",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name,
                body: b"",
            },
            400,
            "empty",
            "at least one",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name: None,
                body: bytes,
            },
            400,
            "name",
            "Rap-Name is missing",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name: Some("../../etc/passwd"),
                body: bytes,
            },
            400,
            "name",
            "without / and",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name: Some("a%2Fb"),
                body: bytes,
            },
            400,
            "name",
            "found Rap-Name \"a%2Fb\"",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name: Some("a%00"),
                body: bytes,
            },
            400,
            "name",
            "without control",
        ),
        (
            Put {
                digest: digest.clone(),
                range: Some("bytes 0-9/9".into()),
                name,
                body: bytes,
            },
            400,
            "range",
            "LAST < TOTAL",
        ),
        (
            Put {
                digest: digest.clone(),
                range: Some("bytes 0-4/10".into()),
                name,
                body: bytes,
            },
            400,
            "range",
            "the body has 10 bytes, expected the 5 of bytes 0-4/10",
        ),
        (
            Put {
                digest: digest.clone(),
                range: Some("bytes */10".into()),
                name,
                body: bytes,
            },
            400,
            "range",
            "expected the 0 of",
        ),
        (
            Put {
                digest: digest.clone(),
                range: Some("bytes 5-9/10".into()),
                name,
                body: &bytes[5..],
            },
            409,
            "gap",
            "0 bytes of the file are here",
        ),
        (
            Put {
                digest: digest.clone(),
                range: None,
                name,
                body: b"9876543210",
            },
            422,
            "digest",
            "given up, send it anew",
        ),
        (
            Put {
                digest: digest.clone(),
                range: Some("bytes */99999999999".into()),
                name,
                body: b"",
            },
            202,
            "",
            "",
        ),
    ];
    for (case, status, kind, words) in cases {
        let answer = agent.put(&case).unwrap();
        if status == 202 {
            assert_eq!(
                holding(&answer),
                Holding {
                    have: 0,
                    size: 99_999_999_999,
                    state: "partial".to_owned()
                }
            );
            continue;
        }
        let (found, of, detail) = problem(&answer);
        assert_eq!((found, of.as_str()), (status, kind), "{case:?}: {detail}");
        assert!(detail.contains(words), "{case:?}: {detail}");
    }
    let large = put(&agent, bytes, Some("bytes 0-0/99999999999"), b"x");
    assert_eq!(problem(&large).0, 413);
    let half = put(&agent, bytes, Some("bytes 0-4/10"), &bytes[..5]);
    assert_eq!(holding(&half).have, 5);
    let gap = put(&agent, bytes, Some("bytes 6-9/10"), &bytes[6..]);
    assert_eq!(serde_json::from_str::<Value>(&gap.body).unwrap()["have"], 5);
    let other = put(&agent, bytes, Some("bytes */11"), b"");
    assert_eq!(problem(&other).1, "other-size");
    let whole = put(&agent, bytes, Some("bytes 3-9/10"), &bytes[3..]);
    assert_eq!(holding(&whole).state, "kept");
    assert_eq!(delivered(&rig, 1)[0].name, "run 7.csv");
}

#[test]
fn files_have_their_room_and_no_more() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|config| {
        config.files = Config {
            room: 2 * 1024 * 1024,
            largest: 900 * 1024,
            ..config.files
        };
    });
    let agent = rig.agent();
    let (first, _) = sample(&rig, "first", 800 * 1024);
    let (second, bytes) = sample(&rig, "second", 800 * 1024);
    agent.put_file(&first, RANGE, LONG).unwrap();
    let begin = |agent: &Agent| {
        put(
            agent,
            &bytes,
            Some(&format!("bytes 0-99/{}", bytes.len())),
            &bytes[..100],
        )
    };
    let full = begin(&agent);
    assert_eq!((problem(&full).0, problem(&full).1.as_str()), (503, "full"));
    let too_large = put(&agent, &bytes, Some("bytes 0-99/921601"), &bytes[..100]);
    assert_eq!(
        problem(&too_large),
        (
            413,
            "too-large".to_owned(),
            "the file has more than 921600 bytes".to_owned()
        )
    );
    assert_eq!(
        holding(&begin(&plain(&rig))).have,
        100,
        "the other port has its own share"
    );
    assert_eq!(
        agent
            .post(&rap_tests::instrument::report(&plan("a", 1), "a-1", 1))
            .unwrap()
            .status,
        202
    );
    rig.centre.fault(None);
    agent.put_file(&second, RANGE, LONG).unwrap();
    assert_eq!(delivered(&rig, 2).len(), 2);
}

#[test]
fn a_part_nobody_goes_on_with_is_given_up_for_others() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.files = Config {
            room: 2 * 1024 * 1024,
            grace: Duration::ZERO,
            ..config.files
        };
    });
    let (path, bytes) = sample(&rig, "second", 800 * 1024);
    let begun = put(&rig.agent(), b"never", Some("bytes 0-0/900000"), b"n");
    assert_eq!(holding(&begun).have, 1);
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    let file = delivered(&rig, 1).remove(0);
    assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
    assert_eq!(
        holding(&put(&rig.agent(), b"never", Some("bytes */900000"), b"")).have,
        0
    );
}

#[test]
fn files_come_at_a_rate_and_leave_reports_theirs() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.limits.files = Rate {
            per_second: 1,
            burst: 8,
        };
    });
    let (path, bytes) = sample(&rig, "first", 100_000);
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    let ask = put(&rig.agent(), &bytes, Some("bytes */100000"), b"");
    let (status, kind, detail) = problem(&ask);
    assert_eq!((status, kind.as_str()), (429, "too-many-bytes"));
    assert!(detail.contains("more than 4 KiB of files a second"), "{detail}");
    rig.post(&plan("a", 5));
    assert_eq!(rig.delivered(5).len(), 5);
}
