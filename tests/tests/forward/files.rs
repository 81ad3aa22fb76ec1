//! Data files, from the instrument to the service centre.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rap_core::forward::files::{Config, Digest, FilesStatus};
use rap_tests::centre::{Delivered, Fault};
use rap_tests::instrument::files::{Holding, Put, RANGE};
use rap_tests::instrument::{Agent, Answer, Target};
use serde_json::{Value, json};

use super::delivery::Child;
use super::rig::*;

/// A file of `size` bytes that no compressor makes smaller, others for each `name`.
fn sample(rig: &Rig, name: &str, size: usize) -> (PathBuf, Vec<u8>) {
    let mut state = name.bytes().fold(size as u64 | 1 << 40, |state, byte| {
        state.wrapping_mul(31) + u64::from(byte)
    });
    let byte = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[5]
    };
    let bytes: Vec<u8> = std::iter::repeat_with(byte).take(size).collect();
    let path = rig.path().join(name);
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

fn plain(rig: &Rig) -> Agent {
    let target = Target {
        url: format!("http://{}", rig.address(1)),
        ca: None,
        server_name: None,
    };
    Agent::new(&target).unwrap()
}

fn status(rig: &Rig) -> FilesStatus {
    rig.forwarder.as_ref().unwrap().status().files
}

fn delivered(rig: &Rig, count: usize) -> Vec<Delivered> {
    wait_until("the files have arrived", || {
        rig.centre.files().delivered().unwrap().len() >= count
    });
    wait_until("the box knows", || status(rig).waiting == 0);
    rig.centre.files().delivered().unwrap()
}

fn holding(answer: &Answer) -> Holding {
    assert_eq!(answer.status, 202, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

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

/// One request about a file of these bytes.
fn put(agent: &Agent, bytes: &[u8], range: Option<&str>, body: &[u8]) -> Answer {
    let put = Put {
        digest: Digest::of(bytes).to_string(),
        range: range.map(str::to_owned),
        name: Some("run%207.csv"),
        body,
    };
    agent.put(&put).unwrap()
}

#[test]
fn files_of_two_instruments_arrive_whole_and_with_their_names() {
    let rig = Rig::started();
    let (large, bytes) = sample(&rig, "Lauf µ 7.csv", 1_500_000);
    rig.agent().put_file(&large, RANGE, LONG).unwrap();
    let small = put(&plain(&rig), b"abc", None, b"abc");
    assert_eq!(
        holding(&small),
        Holding {
            have: 3,
            size: 3,
            state: "kept".to_owned()
        }
    );
    let files = delivered(&rig, 2);
    let of = |file: &Delivered| {
        (
            file.name.clone(),
            file.source.clone(),
            file.media.clone(),
            file.size,
        )
    };
    assert_eq!(
        files.iter().map(of).collect::<Vec<_>>(),
        [
            (
                "Lauf µ 7.csv".to_owned(),
                "/lab/port1".to_owned(),
                "text/csv".to_owned(),
                1_500_000
            ),
            (
                "run 7.csv".to_owned(),
                "/lab/port2".to_owned(),
                "text/csv".to_owned(),
                3
            ),
        ]
    );
    assert_eq!(std::fs::read(&files[0].path).unwrap(), bytes);
    assert!(files[0].received.starts_with("20") && files[0].received.ends_with('Z'));
    assert_eq!(
        rig.centre.files().traffic().bytes,
        1_500_003,
        "nothing was sent twice"
    );
    assert!(rig.centre.store().unwrap().arrivals().unwrap().is_empty());
    // Once more: the box knows that it is there.
    let again = put(&plain(&rig), b"abc", None, b"abc");
    assert_eq!(holding(&again).state, "delivered");
    assert_eq!(rig.centre.files().traffic().bytes, 1_500_003);
}

#[test]
fn a_killed_forwarder_goes_on_where_it_was_in_both_directions() {
    const SIZE: u64 = 6_000_000;
    let rig = Rig::new();
    let listen = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (path, bytes) = sample(&rig, "trace.bin", usize::try_from(SIZE).unwrap());
    let mut child = Child::start(&rig, listen);
    let sent = std::thread::scope(|scope| {
        let putting = scope.spawn(|| agent(rig.path(), listen).put_file(&path, 100_000, LONG).unwrap());
        let file = rig.path().join("log/files/file-000001");
        let grown = |size| std::fs::metadata(&file).is_ok_and(|m| m.len() >= size);
        for size in [SIZE / 3, SIZE / 3 * 2] {
            wait_until("some of it is there", || grown(size) || putting.is_finished());
            child.kill();
            child = Child::start(&rig, listen);
        }
        putting.join().unwrap()
    });
    // A range whose answer was lost, at most, for each of the two.
    assert!(
        (SIZE..=SIZE + 2 * 100_000).contains(&sent),
        "{sent} bytes were sent to the box"
    );
    // And twice while the box delivers.
    for part in [1, 2] {
        wait_until("a part has arrived", || {
            rig.centre.files().traffic().bytes >= SIZE / 3 * part
                || !rig.centre.files().delivered().unwrap().is_empty()
        });
        child.kill();
        child = Child::start(&rig, listen);
    }
    wait_until("it has arrived", || {
        !rig.centre.files().delivered().unwrap().is_empty()
    });
    let file = rig.centre.files().delivered().unwrap().remove(0);
    assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
    let traffic = rig.centre.files().traffic();
    // A range for each kill, at most.
    assert!(
        traffic.bytes <= SIZE + 4 * 1024 * 1024,
        "{} bytes came",
        traffic.bytes
    );
    drop(child);
}

#[test]
fn reports_and_alerts_overtake_a_large_file() {
    let mut rig = Rig::new();
    let (path, _) = sample(&rig, "large", 1_000_000);
    rig.centre.fault(Some(Fault::Busy));
    // Two seconds of sending: long enough to see what comes first.
    rig.start(|config| config.rate_limit = Some("4 Mbit/s".parse().unwrap()));
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    rig.post(&plan("a", 20));
    let alert = |id: &str| {
        let event = json!({"specversion": "1.0", "id": id, "type": "t", "source": "x", "priority": "alert"});
        assert_eq!(rig.agent().post(&event).unwrap().status, 202);
    };
    alert("late");
    let arrived = || !rig.centre.files().delivered().unwrap().is_empty();
    let begun = || rig.centre.files().traffic().bytes > 0;
    rig.centre.fault(None);
    wait_until("all reports have arrived", || rig.waiting() == 0 || arrived());
    assert!(!arrived(), "the file came before the reports");
    assert_eq!(rig.centre.store().unwrap().events().unwrap()[0].id, "late");
    wait_until("the file has begun", begun);
    alert("later");
    wait_until("the alert has arrived", || rig.waiting() == 0 || arrived());
    assert!(!arrived(), "the alert waited for the whole file");
    delivered(&rig, 1);
}

#[test]
fn what_is_wrong_is_said() {
    let rig = Rig::started();
    let agent = plain(&rig);
    let bytes = b"0123456789";
    let digest = Digest::of(bytes).to_string();
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
            "the path: expected 64 of 0-9",
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
            "the path: expected 64 of 0-9",
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
fn a_file_the_centre_refuses_is_set_beside_with_its_words() {
    let rig = Rig::started();
    rig.centre.files().refuse(Some((422, "no such study\n")));
    let answer = put(&plain(&rig), b"abc", None, b"abc");
    assert_eq!(holding(&answer).state, "kept");
    wait_until("it is refused", || status(&rig).refused == 1);
    rig.centre.files().refuse(None);
    assert_eq!(holding(&put(&plain(&rig), b"xyz", None, b"xyz")).state, "kept");
    assert_eq!(delivered(&rig, 1)[0].size, 3, "the next one goes on");
    let found = status(&rig).refusals.remove(0);
    assert_eq!(
        (found.source.as_str(), found.name.as_str()),
        ("/lab/port2", "run 7.csv")
    );
    assert!(
        found.reason.contains("422") && found.reason.contains("no such study"),
        "{}",
        found.reason
    );
    let again = put(&plain(&rig), b"abc", None, b"abc");
    assert_eq!(holding(&again).state, "refused");
}

#[test]
fn lost_answers_portals_and_a_forgetful_centre_cost_time_only() {
    let rig = Rig::started();
    let (path, bytes) = sample(&rig, "trace", 400_000);
    rig.centre.fault(Some(Fault::DropReply));
    rig.agent().put_file(&path, RANGE, LONG).unwrap();
    wait_until("answers were lost", || rig.centre.shown() >= 3);
    rig.centre.fault(Some(Fault::CaptivePortal));
    wait_until("the portal answered", || rig.centre.shown() >= 3);
    assert!(status(&rig).waiting == 1 && rig.centre.files().delivered().unwrap().is_empty());
    rig.centre.files().forget_parts().unwrap();
    rig.centre.fault(None);
    let file = delivered(&rig, 1).remove(0);
    assert_eq!(std::fs::read(&file.path).unwrap(), bytes);
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

/// Where the forwarder's files are.
fn shelf(rig: &Rig) -> PathBuf {
    rig.path().join("log/files")
}

#[test]
fn what_is_on_the_disk_is_named_by_the_box_and_gone_when_delivered() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|_| {});
    put(&plain(&rig), b"abc", None, b"abc");
    let names = || names(&shelf(&rig));
    assert_eq!(names(), ["file-000001"]);
    rig.centre.fault(None);
    delivered(&rig, 1);
    assert_eq!(names(), ["delivered"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
