//! Data files, from the instrument to the service centre.

mod refused;
mod wrong;

use std::path::{Path, PathBuf};

use rap_core::digest::Sha256;
use rap_core::forward::files::FilesStatus;
use rap_tests::centre::{Delivered, Fault};
use rap_tests::instrument::files::{Holding, Put, RANGE};
use rap_tests::instrument::{Agent, Answer, Target};
use serde_json::json;

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

/// One request about a file of these bytes.
fn put(agent: &Agent, bytes: &[u8], range: Option<&str>, body: &[u8]) -> Answer {
    let put = Put {
        digest: Sha256::of(bytes).to_string(),
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
    // The post in flight may have begun before the alert came.
    let shown = rig.centre.shown();
    wait_until("the box has tried twice since", || {
        rig.centre.shown() >= shown + 2
    });
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
