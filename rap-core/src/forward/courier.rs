//! Between the service centre and the session service: directives one way, reports the other. It believes and
//! understands neither; the session service checks the signatures. The audit trail's records go the same way out.
//!
//! Two threads. One asks the session service each second, gives it what came, and puts its reports into the log: only
//! what is durable there is called taken. The other keeps a poll open at the service centre, which answers when it has
//! something. Envelopes come in receipts, too.
//!
//! Invariants: at most `WAITING` envelopes wait here; a centre that does not know directives is asked rarely, and one
//! that fails with growing pauses; nothing of this holds up a report.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::clock;
use super::inbox::{self, Order};
use super::lane::Lane;
use super::log::{Log, NewRecord};
use super::signal::Signal;
use super::uplink::backoff;
use super::uplink::client::{Client, Request, Way};
use crate::client::meter::Meter;
use crate::control::{self, Answer};
use crate::session::{self, Exchanged, Report};
use crate::trail;

/// Below the service centre's URL.
const PATH: &str = "/v1/directives";
/// The media type of the answer.
const MEDIA_TYPE: &str = "application/vnd.rap.directives+json";
/// Envelopes that wait for the session service, at most; more are asked for again.
const WAITING: usize = 32;
/// Reports of orders put into the log at once.
const AT_ONCE: usize = 16;
/// How often the session service is asked.
const BEAT: Duration = Duration::from_secs(1);
/// How long a centre that has no directives is left alone.
const UNKNOWN: Duration = Duration::from_secs(15 * 60);
/// The longest that a poll may be held.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Where envelopes are put.
#[derive(Debug, Clone)]
pub(in crate::forward) struct Inbox {
    envelopes: SyncSender<String>,
    /// What the centre is asked for: the docket and the last number.
    after: Arc<Mutex<Option<(String, u64)>>>,
    /// The centre's time as it was last heard, seconds since 1970.
    there: Arc<Mutex<Option<i64>>>,
}

/// What the courier is given.
pub(in crate::forward) struct Parts {
    /// The session service's socket.
    pub(in crate::forward) socket: PathBuf,
    /// Where the audit trail's records are asked for; without it they stay on the box.
    pub(in crate::forward) trail: Option<PathBuf>,
    pub(in crate::forward) log: Arc<Mutex<Log>>,
    pub(in crate::forward) signal: Arc<Signal>,
    pub(in crate::forward) way: Way,
    /// The box's own `source`, `/SITE`.
    pub(in crate::forward) source: String,
    /// Where orders for the instruments' agents go; without it they wait with the session service.
    pub(in crate::forward) shelf: Option<inbox::Shared>,
}

/// What a receipt or an answer to a poll carries.
#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow, default)]
    directives: Vec<&'a RawValue>,
}

/// The envelopes in a receipt or an answer, as their texts; none where there is something else.
#[must_use]
pub fn carried(body: &[u8]) -> Vec<String> {
    let carried = serde_json::from_slice::<Carried<'_>>(body);
    let list = carried.map(|carried| carried.directives).unwrap_or_default();
    list.into_iter()
        .take(WAITING)
        .map(|envelope| envelope.get().to_owned())
        .collect()
}

impl Inbox {
    /// Puts in what `body` carries. What does not fit comes again: its number was not taken.
    pub(in crate::forward) fn put(&self, body: &[u8]) {
        for envelope in carried(body) {
            if matches!(self.envelopes.try_send(envelope), Err(TrySendError::Full(_))) {
                log::warn!("too many directives at once; the centre is asked for the rest later");
                return;
            }
        }
    }

    fn after(&self) -> Option<(String, u64)> {
        lock(&self.after).clone()
    }
}

/// Starts both threads; they end when `signal` says so, the poll perhaps only when it is answered: so the thread that is
/// returned is the other.
///
/// # Errors
/// When a thread cannot be started.
pub(in crate::forward) fn start(parts: Parts) -> std::io::Result<(Inbox, JoinHandle<()>)> {
    let (envelopes, waiting) = sync_channel(WAITING);
    let inbox = Inbox {
        envelopes,
        after: Arc::default(),
        there: Arc::default(),
    };
    let Parts {
        socket,
        trail,
        log,
        signal,
        way,
        source,
        shelf,
    } = parts;
    let exchange = Exchange {
        socket,
        trail,
        log,
        signal: Arc::clone(&signal),
        source,
        inbox: inbox.clone(),
        shelf,
        waiting,
    };
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let exchanging = named("courier").spawn(move || exchange.run())?;
    let poll = inbox.clone();
    named("directives").spawn(move || keep_polling(way, &signal, &poll))?;
    Ok((inbox, exchanging))
}

/// The side towards the session service.
struct Exchange {
    socket: PathBuf,
    trail: Option<PathBuf>,
    log: Arc<Mutex<Log>>,
    signal: Arc<Signal>,
    source: String,
    inbox: Inbox,
    shelf: Option<inbox::Shared>,
    waiting: Receiver<String>,
}

impl Exchange {
    fn run(self) {
        let mut taken = Vec::new();
        let mut recorded = None;
        while self.signal.pause(Duration::ZERO) {
            // Directives do not wait for the beat.
            let first = match self.waiting.recv_timeout(BEAT) {
                Ok(envelope) => Some(envelope),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let envelopes = first.into_iter().chain(self.waiting.try_iter()).collect();
            let there = *lock(&self.inbox.there);
            let request = session::Request::Exchange {
                envelopes,
                there,
                taken: std::mem::take(&mut taken),
            };
            // A session service that is away comes again, and the centre is not asked meanwhile.
            let exchanged = match control::ask("session", &self.socket, &request, None) {
                Ok(Answer::Done(done)) => serde_json::from_value::<Exchanged>(done).ok(),
                Ok(Answer::Refused(why)) => {
                    log::warn!("the session service refuses the forwarder: {why}");
                    None
                }
                Err(_) => None,
            };
            *lock(&self.inbox.after) = exchanged.as_ref().and_then(|exchanged| exchanged.docket.clone());
            let (reports, orders) = exchanged.map(|it| (it.reports, it.orders)).unwrap_or_default();
            taken = self.keep(reports);
            taken.extend(self.order(orders));
            self.tell_of_orders();
            recorded = self.record(recorded);
        }
    }

    /// Puts the audit trail's next records into the log. Given the id of the last ones that are durable there, it returns
    /// the next.
    fn record(&self, taken: Option<String>) -> Option<String> {
        let request = trail::Request::Exchange { taken };
        // Who is away comes again, and offers what is not known to be taken.
        let answer = control::ask("trail", self.trail.as_deref()?, &request, None);
        let Ok(Answer::Done(done)) = answer else {
            return None;
        };
        let exchanged = serde_json::from_value::<trail::Exchanged>(done).ok()?;
        self.keep(exchanged.report.into_iter().collect()).pop()
    }

    /// Puts orders on the shelf; says which are durable there.
    fn order(&self, orders: Vec<Order>) -> Vec<String> {
        let Some(shelf) = &self.shelf else {
            return Vec::new();
        };
        let mut shelf = inbox::hold(shelf);
        let mut on_it = |order: Order| {
            let id = order.id.to_string();
            let taken = shelf.take(order, clock::now_ms());
            taken
                .inspect_err(|error| log::warn!("an order waits, the disk does not take it: {error}"))
                .is_ok_and(|taken| taken)
                .then_some(id)
        };
        orders.into_iter().filter_map(&mut on_it).collect()
    }

    /// What became of orders goes into the log, and off the shelf when it is durable there.
    fn tell_of_orders(&self) {
        let Some(shared) = &self.shelf else { return };
        let reports = {
            let mut shelf = inbox::hold(shared);
            if let Err(error) = shelf.expire(clock::now_ms()) {
                log::warn!("orders that are over stay, the disk does not take it: {error}");
            }
            shelf.reports(AT_ONCE)
        };
        let told = self.keep(reports);
        if let Err(error) = inbox::hold(shared).told(&told) {
            log::warn!("reports of orders will be sent again: {error}");
        }
    }

    /// Puts reports into the log; says which are durable there.
    fn keep(&self, reports: Vec<Report>) -> Vec<String> {
        if reports.is_empty() {
            return Vec::new();
        }
        let ids = reports.iter().map(|report| report.id.clone()).collect();
        let records = reports
            .into_iter()
            .map(|report| record(&self.source, report))
            .collect();
        match lock(&self.log).append(Lane::Routine, records) {
            Ok(_) => {
                self.signal.raise();
                ids
            }
            Err(error) => {
                log::warn!("reports of the box itself wait, the log does not take them: {error}");
                Vec::new()
            }
        }
    }
}

fn record(source: &str, report: Report) -> NewRecord {
    let event = serde_json::json!({
        "specversion": "1.0",
        "id": report.id,
        "type": report.r#type,
        "source": source,
        "datacontenttype": "application/json",
        "data": report.data,
    });
    NewRecord {
        source: source.to_owned(),
        id: report.id,
        received: clock::now_ms(),
        event: event.to_string().into_bytes(),
    }
}

/// Keeps a poll open at the service centre while there is a docket.
fn keep_polling(way: Way, signal: &Signal, inbox: &Inbox) {
    let patience = way.patience;
    // The answer's first byte has to come within a step, and the way to the box takes a part of it.
    let hold = (patience.step * 2 / 3).min(LONGEST_HOLD);
    let client = Client::new(way, Arc::new(Meter::default()));
    let mut failures = 0;
    let mut pause = Duration::ZERO;
    while signal.pause(pause) {
        let Some((docket, after)) = inbox.after() else {
            pause = BEAT;
            continue;
        };
        let path = format!(
            "{PATH}?docket={docket}&after={after}&wait={}",
            hold.as_secs().max(1)
        );
        let answer = client.send(&Request {
            method: Method::GET,
            path: &path,
            headers: &[("accept", MEDIA_TYPE)],
            body: b"",
        });
        if let Some(there) = client.times().there {
            *lock(&inbox.there) = i64::try_from(there).ok();
        }
        pause = match answer {
            Ok(answer) if answer.status == 200 && answer.is_of_type(MEDIA_TYPE) => {
                failures = 0;
                let body = answer.body().unwrap_or_default();
                inbox.put(body);
                // What came is with the session service before the next question says what was taken.
                if carried(body).is_empty() {
                    Duration::from_millis(100)
                } else {
                    BEAT * 2
                }
            }
            Ok(answer) if [404, 405].contains(&answer.status) => UNKNOWN,
            _ => {
                failures += 1;
                backoff::pause(&patience, failures, backoff::random_fraction(), None).whole
            }
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_carried_as_they_are() {
        let body = br#"{"receipt":"k","events":2,"directives":[{"payload":"a", "signature":"b"},7]}"#;
        assert_eq!(carried(body), [r#"{"payload":"a", "signature":"b"}"#, "7"]);
        for none in [
            &br#"{"receipt":"k","events":2}"#[..],
            b"<html>",
            b"",
            br#"{"directives":{}}"#,
        ] {
            assert_eq!(carried(none), [""; 0]);
        }
        let many = format!("{{\"directives\":[{}1]}}", "1,".repeat(100));
        assert_eq!(carried(many.as_bytes()).len(), WAITING);
    }
}
