//! What was acknowledged, what arrived, and whether the one is the other: the invariants every test here ends with.
//!
//! Time is counted in batches at the centre, so that no machine is too slow for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use rap_tests::centre::{Arrival, Store};

/// A report the box has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    pub(crate) alert: bool,
    /// How many batches of routine reports the centre had stored when the acknowledgement came.
    pub(crate) overtaken: u64,
}

/// What one instrument did, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Posted {
    /// The `source` that its port gives its reports.
    pub(crate) source: String,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// What was refused and not posted again. It may arrive: of a group that did not fit a part may be in the log.
    pub(crate) refused: Vec<String>,
}

/// The centre's side, written as batches arrive.
#[derive(Debug, Default)]
struct Page {
    batches: u64,
    /// Those of them that were routine.
    routine: u64,
    last: String,
    /// How many batches of routine reports had been stored when a report arrived first, by source and id.
    arrived: HashMap<(String, String), u64>,
}

/// Counts batches at the centre.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Page>>);

impl Ledger {
    pub(crate) fn note(&self, arrival: &Arrival) {
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if page.last != arrival.batch {
            page.last.clone_from(&arrival.batch);
            page.batches += 1;
            page.routine += u64::from(arrival.lane == "routine");
        }
        let routine = page.routine;
        let key = (arrival.source.clone(), arrival.id.clone());
        page.arrived.entry(key).or_insert(routine);
    }

    pub(crate) fn batches(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).batches
    }

    /// Those of routine reports among them.
    pub(crate) fn routine_batches(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).routine
    }

    /// How many reports have arrived, each counted once.
    pub(crate) fn arrived(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .arrived
            .len()
    }

    /// For each acknowledged alert, how many batches of routine reports were stored from its acknowledgement until it
    /// was; in order of size. One may be in flight; more have overtaken it.
    pub(crate) fn alert_delays(&self, posted: &[Posted]) -> Vec<u64> {
        let page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut delays: Vec<u64> = posted
            .iter()
            .flat_map(|posted| {
                posted
                    .acknowledged
                    .iter()
                    .map(move |report| (&posted.source, report))
            })
            .filter(|(_, report)| report.alert)
            .map(|(source, report)| {
                let arrived = page.arrived[&(source.clone(), report.id.clone())];
                // It may have been there before its acknowledgement was.
                arrived.saturating_sub(report.overtaken)
            })
            .collect();
        delays.sort_unstable();
        delays
    }
}

/// The least delay that 99 of 100 do not exceed; 0 of none.
pub(crate) fn p99(sorted: &[u64]) -> u64 {
    let index = (sorted.len() * 99).div_ceil(100);
    index.checked_sub(1).map_or(0, |index| sorted[index])
}

/// Everything acknowledged is there once, in the order of its acknowledgements within source and lane, and nothing else
/// but perhaps what was refused.
pub(crate) fn check(store: &Store, posted: &[Posted]) {
    assert_eq!(store.order_errors().unwrap(), Vec::<String>::new());
    let mut arrived: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
    for event in store.events().unwrap() {
        let lane = (event.source, event.lane == "alert");
        arrived.entry(lane).or_default().push(event.id);
    }
    for posted in posted {
        for alert in [true, false] {
            let mut found = arrived
                .remove(&(posted.source.clone(), alert))
                .unwrap_or_default();
            found.retain(|id| !posted.refused.contains(id));
            let mine: Vec<_> = posted.acknowledged.iter().filter(|r| r.alert == alert).collect();
            let wanted: Vec<String> = mine.into_iter().map(|report| report.id.clone()).collect();
            same(&posted.source, &found, &wanted);
        }
    }
}

fn same(source: &str, found: &[String], wanted: &[String]) {
    let there: HashSet<_> = found.iter().collect();
    let lost: Vec<_> = wanted.iter().filter(|id| !there.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{source}: {} acknowledged and lost: {lost:?}",
        lost.len()
    );
    let first = found
        .iter()
        .zip(wanted)
        .position(|(found, wanted)| found != wanted);
    assert_eq!(
        first,
        None,
        "{source}: the first report out of order, of {}",
        found.len()
    );
    assert_eq!(
        found.len(),
        wanted.len(),
        "{source}: more arrived than was acknowledged"
    );
}

#[test]
fn the_99th_of_a_hundred() {
    assert_eq!(p99(&[]), 0);
    assert_eq!(p99(&[7]), 7);
    let hundred: Vec<u64> = (1..=100).collect();
    assert_eq!(p99(&hundred), 99);
}
