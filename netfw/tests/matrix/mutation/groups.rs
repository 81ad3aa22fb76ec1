//! Cases that try the same, run together with all rules in place, and the rules they touched.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use netfw::policy::Moment;

use super::tables::Key;
use crate::case::{Case, From};
use crate::lab::Lab;
use crate::site::Site;
use crate::{counters, oracle, run, verdict};

/// Cases in a group: few enough for every limit.
const SIZE: usize = 60;

/// Some cases, and the rules whose counters they moved.
pub(super) struct Group<'a> {
    pub(super) cases: Vec<&'a Case>,
    pub(super) touched: HashSet<Key>,
    /// Which namespaces logged what.
    pub(super) logged: BTreeSet<(usize, String)>,
}

impl Group<'_> {
    /// Whether its packets can come to namespace `inside` at all.
    pub(super) fn reaches(&self, inside: usize) -> bool {
        let comes = |from: &From| match from {
            From::Wire { wire, .. } => *wire == inside,
            From::Inside { inside: here, .. } => *here == inside,
        };
        let case = self.cases[0];
        let engineer = matches!(case.from, From::Wire { name: "engineer", .. });
        comes(&case.from) || engineer || case.before().is_some_and(|(from, _)| comes(from))
    }
}

/// Runs all cases in groups. With all rules in place each fares as the policy says.
pub(super) fn groups<'a>(lab: &mut Lab, site: &Site, moment: &Moment, cases: &'a [Case]) -> Vec<Group<'a>> {
    let mut sorted: BTreeMap<(String, &str), Vec<&Case>> = BTreeMap::new();
    for case in cases {
        let place = match &case.from {
            From::Wire { wire, .. } => format!("wire {wire}"),
            From::Inside { inside, .. } => format!("namespace {inside}"),
        };
        sorted.entry((place, case.what)).or_default().push(case);
    }
    let mut groups = Vec::new();
    for cases in sorted
        .into_values()
        .flat_map(|cases| cases.chunks(SIZE).map(<[_]>::to_vec).collect::<Vec<_>>())
    {
        lab.refresh(site);
        self::logged(lab);
        let before = counters::all(lab);
        let seen = run::batch(lab, &cases);
        for (case, seen) in cases.iter().zip(&seen) {
            let expected = oracle::expected(site, moment, case);
            if let Some(fault) = verdict::fault(site, case, &expected, seen) {
                panic!("with all rules in place: {fault}");
            }
        }
        let mut touched = HashSet::new();
        for (nth, before) in before.iter().enumerate() {
            for ((table, rule), count) in counters::of(&lab.insides[nth]) {
                if before.get(&(table.clone(), rule)) != Some(&count) {
                    touched.insert((nth, table, rule));
                }
            }
        }
        let logged = logged(lab);
        groups.push(Group {
            cases,
            touched,
            logged,
        });
    }
    // The smallest witness first.
    groups.sort_by_key(|group| group.cases.len());
    groups
}

/// What was logged since the last call, and in which namespace.
pub(super) fn logged(lab: &Lab) -> BTreeSet<(usize, String)> {
    let insides = lab.insides.iter().enumerate();
    insides
        .flat_map(|(nth, inside)| {
            inside
                .netfilter
                .logged()
                .into_iter()
                .map(move |prefix| (nth, prefix))
        })
        .collect()
}
