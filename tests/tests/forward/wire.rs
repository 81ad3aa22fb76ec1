//! What goes over the wire: connections kept and resumed, bytes counted, and a limit that holds.

use std::time::{Duration, Instant};

use rap_core::forward::uplink::Progress;
use rap_tests::centre::Fault;
use rap_tests::instrument::Plan;
use rustls::HandshakeKind;

use super::rig::*;

/// Posts one report and waits for its delivery.
fn deliver(rig: &Rig, k: u64) {
    rig.post(&Plan {
        start: k,
        ..plan("a", 1)
    });
    wait_until("it is delivered", || rig.progress().delivered == k);
}

fn wire(progress: &Progress) -> u64 {
    progress.sent_bytes + progress.received_bytes
}

#[test]
fn one_connection_serves_all_batches() {
    let rig = Rig::started();
    (1..=5).for_each(|k| deliver(&rig, k));
    assert_eq!(rig.centre.handshakes(), [HandshakeKind::Full]);
    let posts = rig.centre.posts();
    assert!(
        posts.len() == 5 && posts.iter().all(|post| post.connection == 1),
        "{posts:?}"
    );
}

#[test]
fn a_kept_connection_that_breaks_costs_one_more_request_and_no_pause() {
    let rig = Rig::started();
    deliver(&rig, 1);
    rig.centre.fault(Some(Fault::BreakKept));
    (2..=4).for_each(|k| deliver(&rig, k));
    let progress = rig.progress();
    assert_eq!((progress.last_error, progress.failures), (None, 0));
    let answered: Vec<_> = rig.centre.posts().iter().map(|post| post.status).collect();
    let (taken, broken) = (Some(200), None);
    assert_eq!(answered, [taken, broken, taken, broken, taken, broken, taken]);
    assert_eq!(rig.delivered(4), ids("a", 4));
}

#[test]
fn a_session_is_resumed_and_that_saves_bytes() {
    let rig = Rig::started();
    rig.centre.fault(Some(Fault::CloseAfter));
    deliver(&rig, 1);
    let full = rig.progress();
    deliver(&rig, 2);
    let both = rig.progress();
    assert_eq!(
        rig.centre.handshakes(),
        [HandshakeKind::Full, HandshakeKind::Resumed]
    );
    let resumed = wire(&both) - wire(&full);
    println!(
        "full: {} sent, {} received; resumed: {} sent, {} received",
        full.sent_bytes,
        full.received_bytes,
        both.sent_bytes - full.sent_bytes,
        both.received_bytes - full.received_bytes
    );
    assert!(resumed + 600 < wire(&full), "{resumed} of {} bytes", wire(&full));
}

#[test]
fn what_is_counted_is_what_was_sent() {
    let rig = Rig::started();
    rig.post(&Plan {
        noise: 3000,
        ..plan("a", 4)
    });
    wait_until("all is delivered", || rig.progress().delivered == 4);
    let progress = rig.progress();
    let bytes: usize = rig.centre.posts().iter().map(|post| post.bytes).sum();
    assert_eq!(progress.compressed_bytes, bytes as u64);
    assert!(progress.payload_bytes > 4 * 3000 && progress.payload_bytes > progress.compressed_bytes);
    // Heads, handshake and records besides.
    let besides = progress.sent_bytes - progress.compressed_bytes;
    assert!((1000..10_000).contains(&besides), "{besides}");
    assert!(
        progress.received_bytes > 2000 * rig.centre.posts().len() as u64,
        "{}",
        progress.received_bytes
    );
}

#[test]
fn no_more_is_sent_than_the_limit_allows() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|config| config.rate_limit = Some("200 kbit/s".parse().unwrap()));
    // About 22,000 bytes compressed.
    rig.post(&Plan {
        noise: 3000,
        ..plan("a", 10)
    });
    rig.centre.fault(None);
    let (begun, before) = (Instant::now(), rig.progress().sent_bytes);
    wait_until("all is delivered", || rig.progress().delivered == 10);
    let (took, sent) = (begun.elapsed(), rig.progress().sent_bytes - before);
    assert!(sent > 20_000, "{sent}");
    // Of the first quarter of a second's bytes it is not known when they were sent, nor of the last part.
    let least = Duration::from_secs_f64(sent as f64 * 8.0 / 200_000.0) - Duration::from_millis(400);
    assert!(took >= least, "{sent} bytes in {took:?}");
    assert_eq!(rig.delivered(10), ids("a", 10));
}
