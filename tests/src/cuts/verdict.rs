//! Whether what was acknowledged arrived: every report, whole, in its lane, in order; pure.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::agent::Told;
use crate::centre::Arrival;

/// One arrival at the service centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The event's `source`.
    pub source: String,
    /// The event's `id`.
    pub id: String,
    /// The lane it came in.
    pub lane: String,
    /// Its `rapsequence`.
    pub sequence: i64,
    /// Whether the same (source, id) had arrived before.
    pub again: bool,
    /// Its data.
    pub data: Value,
}

impl From<&Arrival> for Arrived {
    fn from(arrival: &Arrival) -> Self {
        Self {
            source: arrival.source.clone(),
            id: arrival.id.clone(),
            lane: arrival.lane.clone(),
            sequence: arrival.sequence,
            again: arrival.duplicate,
            data: arrival.event["data"].clone(),
        }
    }
}

/// What became of what was promised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Reports that were acknowledged.
    pub acknowledged: u64,
    /// Arrivals after de-duplication, of the agents and of the box itself.
    pub arrived: u64,
    /// Arrivals that were recognised as repeated.
    pub again: u64,
    /// Acknowledged reports that did not arrive.
    pub lost: Vec<String>,
    /// Everything else that is not as it should be, in words.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Holds `arrivals`, in their order, against what the agents were `told`.
    #[must_use]
    pub fn new(told: &[Told], arrivals: &[Arrived]) -> Self {
        let first: Vec<_> = arrivals.iter().filter(|arrival| !arrival.again).collect();
        let mut verdict = Self {
            acknowledged: told.iter().map(|agent| agent.acknowledged).sum(),
            arrived: first.len() as u64,
            again: (arrivals.len() - first.len()) as u64,
            lost: missing(told, arrivals),
            wrong: Vec::new(),
        };
        let agents: HashMap<&str, &Told> = told.iter().map(|agent| (agent.name.as_str(), agent)).collect();
        let mut order = Order::default();
        for arrival in first {
            let posted = arrival.id.rsplit_once('-').and_then(|(name, k)| {
                let k = k.parse().ok()?;
                Some((*agents.get(name)?, k))
            });
            verdict.wrong.extend(order.broken(arrival, posted));
            if let Some((agent, k)) = posted {
                verdict.wrong.extend(changed(arrival, agent, k));
            }
        }
        verdict
    }

    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.wrong.is_empty()
    }
}

/// Acknowledged reports that did not arrive.
pub(super) fn missing(told: &[Told], arrivals: &[Arrived]) -> Vec<String> {
    let there: HashSet<(&str, &str)> = arrivals
        .iter()
        .map(|arrival| (arrival.source.as_str(), arrival.id.as_str()))
        .collect();
    let promised = told
        .iter()
        .flat_map(|agent| (1..=agent.acknowledged).map(move |k| (agent, format!("{}-{k}", agent.name))));
    promised
        .filter(|(agent, id)| !there.contains(&(agent.source.as_str(), id.as_str())))
        .map(|(_, id)| id)
        .collect()
}

/// What came last, by source and lane, and by agent and lane.
#[derive(Default)]
struct Order {
    sequences: HashMap<(String, String), i64>,
    reports: HashMap<(String, String), u64>,
}

impl Order {
    fn broken(&mut self, arrival: &Arrived, posted: Option<(&Told, u64)>) -> Option<String> {
        let key = (arrival.source.clone(), arrival.lane.clone());
        let before = self.sequences.insert(key, arrival.sequence);
        if before.is_some_and(|before| before >= arrival.sequence) {
            return Some(format!(
                "{} came as {} of {} after {}",
                arrival.id,
                arrival.sequence,
                arrival.source,
                before.unwrap_or_default()
            ));
        }
        let (agent, k) = posted?;
        let before = self.reports.insert((agent.name.clone(), arrival.lane.clone()), k);
        (before.is_some_and(|before| before >= k))
            .then(|| format!("{} came after {}", arrival.id, before.unwrap_or_default()))
    }
}

fn changed(arrival: &Arrived, agent: &Told, k: u64) -> Option<String> {
    if k == 0 || k > agent.posted {
        return Some(format!("{} was never posted", arrival.id));
    }
    if arrival.source != agent.source || arrival.lane != agent.lane(k) {
        return Some(format!(
            "{} came from {} in lane {}, expected {} and {}",
            arrival.id,
            arrival.source,
            arrival.lane,
            agent.source,
            agent.lane(k)
        ));
    }
    (agent.report(k)["data"] != arrival.data)
        .then(|| format!("{} has other data than was posted", arrival.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            name: "a".to_owned(),
            source: "/s/p".to_owned(),
            alert_every: Some(3),
            acknowledged: 3,
            posted: 4,
        }
    }

    fn arrivals() -> Vec<Arrived> {
        (1..=3)
            .map(|k: u64| Arrived {
                source: "/s/p".to_owned(),
                id: format!("a-{k}"),
                lane: told().lane(k).to_owned(),
                sequence: k.cast_signed(),
                again: false,
                data: told().report(k)["data"].clone(),
            })
            .collect()
    }

    /// What the verdict finds when the arrivals are changed like this.
    fn found(change: impl FnOnce(&mut Vec<Arrived>)) -> Vec<String> {
        let mut arrivals = arrivals();
        change(&mut arrivals);
        let verdict = Verdict::new(&[told()], &arrivals);
        assert_eq!(
            verdict.is_good(),
            verdict.lost.is_empty() && verdict.wrong.is_empty()
        );
        [verdict.lost, verdict.wrong].concat()
    }

    #[test]
    fn what_was_promised_and_came_is_good() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        let again = |arrivals: &mut Vec<Arrived>| {
            let mut again = arrivals[0].clone();
            again.again = true;
            arrivals.push(again);
        };
        assert_eq!(found(again), Vec::<String>::new());
    }

    #[test]
    fn every_broken_promise_is_found() {
        assert_eq!(found(|a| drop(a.remove(1))), ["a-2"]);
        assert_eq!(found(|a| a.swap(0, 1)), ["a-1 came as 1 of /s/p after 2"]);
        assert_eq!(
            found(|a| {
                a.swap(0, 1);
                (a[0].sequence, a[1].sequence) = (1, 2);
            }),
            ["a-1 came after 2"]
        );
        assert_eq!(
            found(|a| a[0].data = Value::Null),
            ["a-1 has other data than was posted"]
        );
        assert_eq!(
            found(|a| a[2].lane = "routine".to_owned()),
            ["a-3 came from /s/p in lane routine, expected /s/p and alert"]
        );
        let invented = |a: &mut Vec<Arrived>| {
            let mut invented = a[1].clone();
            (invented.id, invented.sequence) = ("a-5".to_owned(), 9);
            a.push(invented);
        };
        assert_eq!(found(invented), ["a-5 was never posted"]);
    }
}
