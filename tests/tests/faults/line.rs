//! Delivery over a line of 128 kbit/s with 400 ms there and back.

use std::time::Duration;

use rap_tests::fault::{Fault, Link, Path, SlowLink, slow_link};

use super::ledger::p99;
use super::rig::*;

const RATE: u64 = 128_000;
/// One way.
const DELAY: Duration = Duration::from_millis(200);

#[test]
fn alerts_overtake_a_backlog_on_a_slow_line() {
    let rig = Rig::direct().started();
    let (mut routine, mut alerts) = (rig.instrument(1), rig.instrument(2));
    rig.front.set(Fault::Refuse).unwrap();
    for _ in 0..5 {
        routine.post(false, 100, &rig.ledger);
    }
    let line = Link {
        rate: Some(RATE),
        delay: DELAY,
    };
    rig.front.set(Fault::Slow(line)).unwrap();
    for batches in 1..=5 {
        wait_until("the backlog drains", || rig.ledger.batches() >= batches);
        assert!(
            rig.forwarder().status().routine.waiting > 0,
            "it has drained too soon"
        );
        alerts.post(true, 1, &rig.ledger);
    }
    rig.front.set(Fault::Pass).unwrap();
    let posted = [routine.posted, alerts.posted];
    rig.expect_delivered(&posted);
    let delays = rig.ledger.alert_delays(&posted);
    assert!(
        p99(&delays) <= 2,
        "alerts were overtaken by {} batches",
        p99(&delays)
    );
}

/// What `scripts/bench` prints, by every way this machine has to make the line slow.
#[test]
fn the_measurement_measures() {
    let best = Path::best();
    println!("the line is made by: {}", best.words());
    let mut paths = vec![best];
    if best != Path::Proxy {
        paths.push(Path::Proxy);
    }
    for path in paths {
        let directory = tempfile::tempdir().unwrap();
        let figures = slow_link(&SlowLink {
            rate: RATE,
            delay: DELAY,
            reports: 600,
            path,
            directory: directory.path().to_owned(),
        });
        let figures = figures.unwrap();
        for figure in &figures {
            println!("{}", figure.line());
        }
        let value = |name: &str| {
            let figure = figures.iter().find(|figure| figure.figure.starts_with(name));
            figure.unwrap().value.as_f64().unwrap()
        };
        // What a line carries is not more than it can: bytes of a report times reports a second.
        let (bytes, speed) = (value("a report on the line"), value("reports over"));
        assert!(speed > 0.0 && bytes > 0.0);
        assert!(
            bytes * speed < 2.0 * f64::from(16_000),
            "{bytes} bytes, {speed} reports/s"
        );
    }
}
