//! What became of one application, for whoever asked for it.

use std::fmt;

use super::Error;
use super::seen::{Link, Place, Seen};
use super::step::Step;
use crate::model::Nic;
use crate::plan::{LinkPlan, NetPlan};

/// What became of one application.
#[derive(Debug)]
pub struct Report {
    /// The uplink.
    pub uplink: LinkReport,
    /// The ports, in the order they were described.
    pub ports: Vec<LinkReport>,
    /// What was changed, in order, one sentence a step; empty when all was right already.
    pub changes: Vec<String>,
    /// What went wrong with namespaces that are not planned any more.
    pub leftovers: Vec<Error>,
}

/// One link after an application.
#[derive(Debug)]
pub struct LinkReport {
    /// Its name.
    pub name: String,
    /// Its card.
    pub nic: Nic,
    /// The link as the kernel shows it, or why it is not as planned.
    pub link: Result<Link, Error>,
}

/// Everything that went wrong; never empty.
#[derive(Debug, thiserror::Error)]
pub struct Failures(pub Vec<Error>);

/// What was done, and what failed where.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) changes: Vec<String>,
    pub(super) failures: Vec<(Place, Error)>,
    /// Whether something that closes a namespace failed.
    pub(super) open: bool,
}

impl Report {
    /// From what was done, what is there now, and what is still between that and the plan.
    pub(super) fn new(plan: &NetPlan, seen: &Seen, mut outcome: Outcome, left: &[Step]) -> Self {
        let uplink = outcome.take(&Place::Root);
        let uplink = link_report(&Place::Root, &plan.root.link, seen, uplink, left);
        let ports = plan.ports.iter().map(|port| {
            let place = Place::Port(port.name.clone());
            let failure = outcome.take(&place);
            link_report(&place, &port.link, seen, failure, left)
        });
        let ports = ports.collect();
        let leftovers = outcome.failures.into_iter().map(|(_, error)| error);
        let planned = |place: &Place| {
            plan.ports
                .iter()
                .any(|port| Place::Port(port.name.clone()) == *place)
        };
        let blind = seen.blind.iter().filter(|(place, _)| !planned(place));
        let blind = blind.map(|(_, reason)| Error::Blind(reason.clone()));
        Self {
            uplink,
            ports,
            leftovers: leftovers.chain(blind).collect(),
            changes: outcome.changes,
        }
    }
}

impl Outcome {
    /// Whether something failed in `place`.
    pub(super) fn failed(&self, place: &Place) -> bool {
        self.failures.iter().any(|(failed, _)| failed == place)
    }

    /// The first failure in `place`.
    fn take(&mut self, place: &Place) -> Option<Error> {
        let first = self.failures.iter().position(|(failed, _)| failed == place)?;
        Some(self.failures.remove(first).1)
    }
}

fn link_report(
    place: &Place,
    plan: &LinkPlan,
    seen: &Seen,
    failure: Option<Error>,
    left: &[Step],
) -> LinkReport {
    let left: Vec<_> = left
        .iter()
        .filter(|step| step.place == *place)
        .map(Step::to_string)
        .collect();
    let missing = || Error::Missing {
        nic: plan.nic.clone(),
    };
    let link = match (failure, seen.blind.get(place)) {
        (Some(failure), _) => Err(failure),
        (None, Some(reason)) => Err(Error::Blind(reason.clone())),
        (None, None) if seen.find(&plan.nic).is_none() => Err(missing()),
        (None, None) if !left.is_empty() => Err(Error::Unsettled(left.join("; "))),
        (None, None) => {
            let found = seen.place(place).and_then(|found| found.link(&plan.name));
            found.cloned().ok_or_else(missing)
        }
    };
    LinkReport {
        name: plan.name.clone(),
        nic: plan.nic.clone(),
        link,
    }
}

impl Failures {
    pub(super) fn one(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, failure) in self.0.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            write!(f, "{separator}{}", failure.chain())?;
        }
        Ok(())
    }
}
