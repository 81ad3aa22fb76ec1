//! Instruments that post on both ports, in both lanes, until they are told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rap_tests::fault::Dice;
use rap_tests::instrument::{Agent, Target};
use serde_json::{Value, json};

use super::ledger::{Acknowledged, Ledger, Posted};
use super::rig::LONG;

/// Threads that post.
pub(crate) struct Posters {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Posted>>,
}

impl Posters {
    /// One for each of `ports`; what they do is chosen by `seed`.
    pub(crate) fn start(ports: &[SocketAddr], seed: u64, ledger: &Ledger) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = ports.iter().zip(1..).map(|(address, port)| {
            let (address, stop, ledger) = (*address, Arc::clone(&stop), ledger.clone());
            std::thread::spawn(move || {
                let mut instrument = Instrument::new(port, address, seed);
                while !stop.load(Ordering::Relaxed) {
                    instrument.step(&ledger);
                }
                instrument.posted
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Lets them finish what they are at.
    pub(crate) fn stop(mut self) -> Vec<Posted> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

impl Drop for Posters {
    fn drop(&mut self) {
        // After a panic in the test they shall end, too.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// An instrument on `port`, which gives its reports the source `/lab/portN`.
pub(crate) struct Instrument {
    agent: Agent,
    dice: Dice,
    port: u64,
    count: u64,
    padding: usize,
    pub(crate) posted: Posted,
}

impl Instrument {
    pub(crate) fn new(port: u64, address: SocketAddr, seed: u64) -> Self {
        let target = Target {
            url: format!("http://{address}"),
            ca: None,
            server_name: None,
        };
        Self {
            agent: Agent::new(&target).unwrap(),
            dice: Dice::new(seed ^ port << 32),
            port,
            count: 0,
            padding: 0,
            posted: Posted {
                source: format!("/lab/port{port}"),
                ..Posted::default()
            },
        }
    }

    /// Its reports carry so many bytes that tell nothing, instead of noise.
    pub(crate) fn padded(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Posts one report, or several at once.
    fn step(&mut self, ledger: &Ledger) {
        let alert = self.dice.once_in(10);
        let several = if self.dice.once_in(8) {
            1 + self.dice.below(40)
        } else {
            1
        };
        self.post(alert, several, ledger);
        std::thread::sleep(self.dice.time_below(Duration::from_millis(12)));
    }

    /// Posts `count` reports of a lane in one request until it is answered with yes; now and then it gives up when
    /// it is answered with no.
    pub(crate) fn post(&mut self, alert: bool, count: u64, ledger: &Ledger) {
        let begun = Instant::now();
        let events: Vec<Value> = (0..count).map(|_| self.report(alert)).collect();
        let ids = events
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned());
        let ids: Vec<String> = ids.collect();
        let body = Value::from(events);
        loop {
            assert!(begun.elapsed() < LONG, "{ids:?} is not acknowledged");
            match self.agent.post(&body) {
                Ok(answer) if answer.status == 202 => break,
                Ok(answer) => {
                    assert!([429, 503].contains(&answer.status), "{answer:?}");
                    if self.dice.once_in(4) {
                        self.posted.refused.extend(ids);
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                // Without an answer it is posted again.
                Err(_) => {}
            }
        }
        let overtaken = ledger.routine_batches();
        let acknowledged = ids.into_iter().map(|id| Acknowledged { id, alert, overtaken });
        self.posted.acknowledged.extend(acknowledged);
    }

    fn report(&mut self, alert: bool) -> Value {
        self.count += 1;
        let noise = self.noise();
        json!({
            "specversion": "1.0",
            "id": format!("{}-{}", self.port, self.count),
            "type": "instrument.status",
            "priority": if alert { "alert" } else { "routine" },
            "datacontenttype": "application/json",
            "data": { "k": self.count, "noise": noise },
        })
    }

    fn noise(&mut self) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        if self.padding > 0 {
            return "x".repeat(self.padding);
        }
        let length = self.dice.below(400);
        let length = if self.dice.once_in(20) {
            20 * length
        } else {
            length
        };
        (0..length).map(|_| char::from(self.dice.pick(LETTERS))).collect()
    }
}
