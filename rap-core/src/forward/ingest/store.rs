//! From events to the log: each port's rules judge them, and their alerts are stored in the same request.

use std::sync::Arc;
use std::time::Instant;

use crate::forward::clock;
use crate::forward::event::Event;
use crate::forward::lane::Lane;
use crate::forward::log::NewRecord;
use crate::forward::trigger::{Moment, Watch};
use crate::forward::writer::{Request, Stored, Writer};
use crate::site::Trigger;

/// Stores one port's reports.
pub(super) struct Keeper {
    source: String,
    writer: Writer,
    rules: Vec<Trigger>,
    /// Held while a report a rule looks at is judged and stored, so that reports are judged in the order in which they
    /// are stored. Other reports do not wait for it.
    watch: Arc<tokio::sync::Mutex<Watch>>,
    start: Instant,
}

impl Keeper {
    pub(super) fn new(source: String, rules: Vec<Trigger>, writer: Writer) -> Self {
        let start = Instant::now();
        let watch = Watch::new(source.clone(), rules.clone(), moment(start));
        Self {
            source,
            writer,
            rules,
            watch: Arc::new(tokio::sync::Mutex::new(watch)),
            start,
        }
    }

    /// Stores `events` in order, and what they raise.
    pub(super) async fn store(self: Arc<Self>, events: Vec<Event>) -> Stored {
        if !events.iter().any(|event| Watch::cares_for(&self.rules, event)) {
            let request = self.records(events);
            return self.writer.store(request).await;
        }
        // A task of its own: what is being stored is settled even if whoever posted it hangs up meanwhile.
        let task = tokio::spawn(async move { self.judge_and_store(events).await });
        let stopped = || Stored::Failed("the forwarder stops".to_owned());
        task.await.unwrap_or_else(|_| stopped())
    }

    async fn judge_and_store(&self, events: Vec<Event>) -> Stored {
        let mut watch = self.watch.lock().await;
        let fresh = || uuid::Uuid::new_v4().to_string();
        let judgement = watch.judge(&events, moment(self.start), fresh);
        let alerts: Request = judgement
            .alerts
            .iter()
            .map(|a| (Lane::Alert, a.clone()))
            .collect();
        let mut request = self.records(events);
        request.extend(alerts.iter().cloned());
        let stored = self.writer.store(request).await;
        if stored == Stored::Durable {
            watch.settle(judgement);
        } else if matches!(stored, Stored::Full | Stored::Failed(_)) && !alerts.is_empty() {
            // Alerts may be taken where routine reports are not; and one that is stored must not be raised again.
            if self.writer.store(alerts).await == Stored::Durable {
                watch.settle_without_reports(judgement);
            }
        }
        stored
    }

    fn records(&self, events: Vec<Event>) -> Request {
        let received = clock::now_ms();
        let record = |event: Event| NewRecord {
            source: self.source.clone(),
            id: event.id,
            received,
            event: event.json,
        };
        events
            .into_iter()
            .map(|event| (event.lane, record(event)))
            .collect()
    }
}

fn moment(start: Instant) -> Moment {
    Moment {
        monotonic: start.elapsed(),
        wall: clock::now_ms(),
    }
}
