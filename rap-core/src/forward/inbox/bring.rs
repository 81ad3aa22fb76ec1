//! Brings files from the service centre: a piece at a time, each file in its turn, until all are whole.
//!
//! ```text
//! GET /v1/outbox/DIGEST        Range: bytes=131072-262143
//! 206                          Content-Range: bytes 131072-262143/1500000
//! ```
//!
//! Invariants: a piece is kept only when it is exactly what was asked for, of a file of exactly the signed size; whatever
//! else answers is trouble, with growing pauses, until the order's time is over. What can never come right ends the order.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::Method;

use super::shelf::Job;
use super::{PIECE, Shared, hold, piece};
use crate::client::meter::Meter;
use crate::forward::files::Range;
use crate::forward::signal::Signal;
use crate::forward::uplink::backoff;
use crate::forward::uplink::client::{Client, Request, Way};

/// Below the service centre's URL; then the digest.
const PATH: &str = "/v1/outbox/";
/// How often it is looked whether there is something to bring.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read: a piece, and what tells that there was more.
const MOST: u64 = PIECE + 1024;

/// What an answer is to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    /// The piece, as it was asked for.
    Piece,
    /// The file can never come.
    Never(String),
    /// Not now.
    Later(String),
}

/// Starts the thread; it ends after `signal` says so, perhaps only when the centre has answered.
pub(in crate::forward) fn start(shelf: Shared, signal: Arc<Signal>, way: Way) -> std::io::Result<()> {
    let run = move || run(&shelf, &signal, way);
    std::thread::Builder::new()
        .name("inbox".to_owned())
        .spawn(run)
        .map(drop)
}

fn run(shelf: &Shared, signal: &Signal, way: Way) {
    let patience = way.patience;
    let client = Client::new(way, Arc::new(Meter::default())).with_answers_to(MOST);
    let (mut last, mut failures, mut told) = (None, 0, String::new());
    let mut pause = Duration::ZERO;
    while signal.pause(pause) {
        let Some(job) = hold(shelf).next(last) else {
            pause = LOOK;
            continue;
        };
        last = Some(job.id);
        let later = match job.piece {
            Some(index) => fetch(&client, shelf, &job, index),
            None => check(shelf, &job).map_err(|error| (error.to_string(), None)),
        };
        pause = match later {
            Ok(()) => {
                failures = 0;
                Duration::ZERO
            }
            Err((why, asked)) => {
                failures += 1;
                if why != told {
                    log::warn!("a file for an instrument is not brought yet: {why}");
                    told = why;
                }
                backoff::pause(&patience, failures, backoff::random_fraction(), asked).whole
            }
        };
    }
}

/// Why it is to be tried again, and how long the centre asks to wait.
type Later = (String, Option<Duration>);

fn fetch(client: &Client, shelf: &Shared, job: &Job, index: u64) -> Result<(), Later> {
    let first = index * PIECE;
    let length = piece::length(job.bytes, index);
    let range = format!("bytes={first}-{}", first + length - 1);
    let answer = client
        .send(&Request {
            method: Method::GET,
            path: &format!("{PATH}{}", job.digest),
            headers: &[("range", &range)],
            body: b"",
        })
        .map_err(|trouble| (trouble.words, None))?;
    let body = answer.body().unwrap_or_default();
    let heard = judge(
        job,
        index,
        answer.status,
        answer.header("content-range"),
        body.len() as u64,
    );
    let on_disk = |stored: std::io::Result<()>| stored.map_err(|error| (format!("the disk: {error}"), None));
    match heard {
        Heard::Piece => on_disk(hold(shelf).store(job, body)),
        Heard::Never(why) => on_disk(hold(shelf).fail(job.id, &why)),
        Heard::Later(why) => Err((why, answer.asked)),
    }
}

/// Reads the whole file without holding the shelf.
fn check(shelf: &Shared, job: &Job) -> std::io::Result<()> {
    let folder = hold(shelf).folder();
    let digest = piece::digest(&folder, job.id, job.bytes)?;
    hold(shelf).checked(job, digest)
}

/// What an answer means: pure.
fn judge(job: &Job, index: u64, status: u16, range: Option<&str>, length: u64) -> Heard {
    let expected = piece::length(job.bytes, index);
    let other_size = |size: u64| {
        let signed = job.bytes;
        Heard::Never(format!(
            "wrong size: the file at the service centre has {size} bytes, and {signed} were signed"
        ))
    };
    match (status, range.map(str::parse::<Range>)) {
        // RFC 9110 §14.2: a server may ignore Range.
        (200, None) if index == 0 && expected == job.bytes && length == expected => Heard::Piece,
        (200, _) => Heard::Later("the service centre does not give ranges of files".to_owned()),
        (206, Some(Ok(range))) if range.total() != job.bytes => other_size(range.total()),
        (206, Some(Ok(Range::Part { first, .. }))) if first == index * PIECE && length == expected => {
            Heard::Piece
        }
        (206, _) => Heard::Later("the service centre gave another range than it was asked for".to_owned()),
        // RFC 9110 §15.5.17: it ends before what was asked for.
        (416, Some(Ok(range))) if range.total() != job.bytes => other_size(range.total()),
        (404 | 410, _) => Heard::Later("the service centre does not have the file".to_owned()),
        (status, _) => Heard::Later(format!("the service centre answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn only_what_was_asked_for_is_the_piece() {
        let bytes = 2 * PIECE + 10;
        let job = Job {
            id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            digest: Sha256::of(b""),
            bytes,
            piece: Some(0),
        };
        let range =
            |first: u64, length: u64, total: u64| format!("bytes {first}-{}/{total}", first + length - 1);
        let hear = |index, status, range: Option<&str>, length| judge(&job, index, status, range, length);
        assert_eq!(hear(0, 206, Some(&range(0, PIECE, bytes)), PIECE), Heard::Piece);
        assert_eq!(hear(2, 206, Some(&range(2 * PIECE, 10, bytes)), 10), Heard::Piece);
        let later = |heard| assert!(matches!(heard, Heard::Later(_)), "{heard:?}");
        let never = |heard| assert!(matches!(heard, Heard::Never(_)), "{heard:?}");
        later(hear(0, 206, Some(&range(0, PIECE, bytes)), PIECE - 1));
        later(hear(1, 206, Some(&range(0, PIECE, bytes)), PIECE));
        later(hear(0, 206, None, PIECE));
        later(hear(0, 206, Some("bytes 0-"), PIECE));
        later(hear(0, 200, None, bytes));
        later(hear(0, 404, None, 0));
        later(hear(0, 503, None, 0));
        later(hear(0, 302, None, PIECE));
        never(hear(0, 206, Some(&range(0, PIECE, bytes + 1)), PIECE));
        never(hear(2, 416, Some("bytes */5"), 0));
        let small = Job { bytes: 5, ..job };
        assert_eq!(judge(&small, 0, 200, None, 5), Heard::Piece);
        assert!(matches!(judge(&small, 0, 200, None, 6), Heard::Later(_)));
    }
}
