//! What the relay says of itself: `relay.json` among the status files, and a line in the log when a way fails, fails
//! otherwise, or works again.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::route::Route;
use super::trouble::Trouble;
use super::tunnel::Tally;

/// The same failure is said again after this long.
const REMIND: Duration = Duration::from_secs(3600);

/// The relay's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The ways out, one a destination.
    pub ways: Vec<WayStatus>,
    /// Those that do not work, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// One way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WayStatus {
    /// The destination's short name, such as `centre`.
    pub name: String,
    /// `HOST:PORT`.
    pub to: String,
    /// `direct`, or the proxy's name and address.
    pub via: String,
    /// Tunnels that are open now.
    pub open: u64,
    /// Tunnels since the relay started.
    pub tunnels: u64,
    /// Bytes from the box since the relay started.
    pub bytes_sent: u64,
    /// Bytes to the box since the relay started.
    pub bytes_received: u64,
    /// The last failure, also when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureStatus>,
}

/// Why there was no tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureStatus {
    /// In words.
    pub reason: String,
    /// When an attempt failed so for the first time, RFC 3339.
    pub since: String,
    /// When one did for the last time, RFC 3339.
    pub last: String,
    /// Whether a tunnel was made after it.
    pub over: bool,
}

impl Status {
    /// The status in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let way = |way: &WayStatus| format!("{}: {}, {} open", way.name, way.via, way.open);
        self.ways.iter().map(way).collect::<Vec<_>>().join("; ")
    }
}

/// What happened on the ways out, each at the index of its route.
#[derive(Debug)]
pub(super) struct Book {
    pages: Vec<Page>,
}

/// One route's.
#[derive(Debug, Default)]
struct Page {
    tally: Tally,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    open: u64,
    tunnels: u64,
    failure: Option<FailureStatus>,
    said: Option<Instant>,
}

/// A tunnel in the book; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Entry<'a>(&'a Page);

impl Book {
    pub(super) fn new(routes: usize) -> Self {
        Self {
            pages: (0..routes).map(|_| Page::default()).collect(),
        }
    }

    /// Enters a tunnel of `route`, which is number `index`.
    pub(super) fn reached(&self, index: usize, route: &Route) -> Entry<'_> {
        let page = &self.pages[index];
        let mut events = page.events();
        events.open += 1;
        events.tunnels += 1;
        if let Some(failure) = events.failure.as_mut().filter(|failure| !failure.over) {
            failure.over = true;
            events.said = None;
            log::info!("{} is reached again: {}", route.title, route.way.text());
        }
        drop(events);
        Entry(page)
    }

    /// Enters that there was no tunnel.
    pub(super) fn failed(&self, index: usize, route: &Route, trouble: &Trouble) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let reason = trouble.to_string();
        let mut events = self.pages[index].events();
        let same = events
            .failure
            .as_ref()
            .filter(|failure| failure.reason == reason && !failure.over);
        let since = same.map_or_else(|| now.clone(), |failure| failure.since.clone());
        let fresh = same.is_some() && events.said.is_some_and(|at| at.elapsed() < REMIND);
        if !fresh {
            log::warn!("no way to {}: {reason}", route.title);
            events.said = Some(Instant::now());
        }
        events.failure = Some(FailureStatus {
            reason,
            since,
            last: now,
            over: false,
        });
    }

    pub(super) fn status(&self, routes: &[Route]) -> Status {
        let ways: Vec<_> = self
            .pages
            .iter()
            .zip(routes)
            .map(|(page, route)| page.status(route))
            .collect();
        let failing = ways.iter().filter_map(|way| {
            let failure = way.last_failure.as_ref().filter(|failure| !failure.over)?;
            Some(format!(
                "no way to {} since {}: {}",
                way.name, failure.since, failure.reason
            ))
        });
        Status {
            problems: failing.collect(),
            ways,
        }
    }
}

impl Page {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, route: &Route) -> WayStatus {
        let events = self.events();
        WayStatus {
            name: route.name.to_owned(),
            to: route.target.to_string(),
            via: route.way.text(),
            open: events.open,
            tunnels: events.tunnels,
            bytes_sent: self.tally.sent.load(Ordering::Relaxed),
            bytes_received: self.tally.received.load(Ordering::Relaxed),
            last_failure: events.failure.clone(),
        }
    }
}

impl Entry<'_> {
    /// Where its bytes are counted.
    pub(super) fn tally(&self) -> &Tally {
        &self.0.tally
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.events().open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::route::Way;
    use crate::relay::trouble::{Cause, Station};
    use crate::site::Target;

    #[test]
    fn a_failure_is_a_problem_until_a_tunnel_is_made() {
        let target = Target::parse("centre.test:443", None).unwrap();
        let route = Route {
            name: "centre",
            title: "the service centre",
            target: target.clone(),
            way: Way::Direct,
            rate_limit: None,
        };
        let routes = [route.clone()];
        let book = Book::new(1);
        assert_eq!(book.status(&routes).problems, Vec::<String>::new());
        let trouble = |cause| Trouble {
            at: Station::Destination("the service centre", target.clone()),
            cause,
        };
        book.failed(0, &route, &trouble(Cause::Refused));
        book.failed(0, &route, &trouble(Cause::Refused));
        let status = book.status(&routes);
        let failure = status.ways[0].last_failure.clone().unwrap();
        let reason = "the service centre centre.test:443 refuses the connection: nothing listens there";
        assert_eq!(failure.reason, reason);
        assert_eq!(
            status.problems,
            [format!("no way to centre since {}: {reason}", failure.since)]
        );
        let entry = book.reached(0, &route);
        entry.tally().sent.fetch_add(7, Ordering::Relaxed);
        let status = book.status(&routes);
        assert!(status.problems.is_empty() && status.ways[0].last_failure.clone().unwrap().over);
        assert_eq!(status.summary(), "centre: direct, 1 open");
        assert_eq!((status.ways[0].open, status.ways[0].bytes_sent), (1, 7));
        drop(entry);
        assert_eq!(book.status(&routes).ways[0].open, 0);
    }
}
