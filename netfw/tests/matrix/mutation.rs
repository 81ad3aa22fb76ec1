//! Every rule is there for a packet: each is taken out of its table alone, and some case must then fare otherwise.
//!
//! What to try is known from a first run with all rules in place: the cases of a group go through the box together, and
//! the counters say which rules they touched. A rule that logs is witnessed by its message, a limit by a flood.

mod groups;
mod tables;

use std::collections::BTreeSet;

use netfw::policy::Moment;

use self::groups::{Group, groups};
pub(crate) use self::tables::Part;
use self::tables::{Mutant, mutants};
use crate::flood::{self, Flood};
use crate::lab::Lab;
use crate::site::Site;
use crate::{cases, run, verdict};

/// What came of one mutant.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rule: String,
    /// The first thing that went otherwise; none: nobody would notice.
    pub(crate) witness: Option<String>,
}

/// Takes out what `part` says of each rule, one after the other, and looks for a witness.
pub(crate) fn all(site: &Site, part: Part) -> Vec<Outcome> {
    let mut lab = Lab::new(site);
    let moment = lab.moment(site);
    let cases = cases::all(site);
    let mut floods = flood::at_ports(site);
    if part == Part::Match {
        floods.extend(flood::refusals(site));
    }
    let floods = known(&mut lab, site, floods);
    let groups = groups(&mut lab, site, &moment, &cases);
    let mutants = mutants(&lab.plan, part);
    let outcomes = mutants.into_iter().map(|mutant| Outcome {
        witness: witness(&mut lab, site, &moment, &groups, &floods, &mutant),
        rule: mutant.name,
    });
    outcomes.collect()
}

/// A flood, and what is logged of it with all rules in place.
type Known = (Flood, BTreeSet<(usize, String)>);

/// With all rules in place no flood gets further than its limit.
fn known(lab: &mut Lab, site: &Site, floods: Vec<Flood>) -> Vec<Known> {
    let logged = floods.into_iter().map(|flood| {
        lab.refresh(site);
        groups::logged(lab);
        if let Some(fault) = flood.fault(lab) {
            panic!("with all rules in place: {fault}");
        }
        let logged = groups::logged(lab);
        (flood, logged)
    });
    logged.collect()
}

fn witness(
    lab: &mut Lab,
    site: &Site,
    moment: &Moment,
    groups: &[Group<'_>],
    floods: &[Known],
    mutant: &Mutant,
) -> Option<String> {
    let touched = |group: &&Group| group.touched.contains(&mutant.key);
    let (first, others): (Vec<_>, Vec<_>) = groups.iter().partition(touched);
    let mut near = others;
    near.retain(|group| mutant.widens && group.reaches(mutant.inside));
    let floods = floods
        .iter()
        .filter(|(flood, _)| mutant.limits && flood.inside == mutant.inside);

    let mut found = None;
    for group in first {
        found = found.or_else(|| try_group(lab, site, moment, group, mutant));
    }
    for (flood, logged) in floods {
        found = found.or_else(|| {
            prepare(lab, site, mutant);
            flood
                .fault(lab)
                .or_else(|| otherwise_logged(lab, &flood.name, logged))
        });
    }
    for group in near {
        found = found.or_else(|| try_group(lab, site, moment, group, mutant));
    }
    if mutant.session {
        lab.renew_sessions();
    }
    found
}

/// What of `group` goes otherwise with `mutant` in place.
fn try_group(
    lab: &mut Lab,
    site: &Site,
    moment: &Moment,
    group: &Group<'_>,
    mutant: &Mutant,
) -> Option<String> {
    prepare(lab, site, mutant);
    let seen = run::batch(lab, &group.cases);
    let each = group.cases.iter().zip(&seen);
    let mut faults = each.filter_map(|(case, seen)| {
        let expected = crate::oracle::expected(site, moment, case);
        verdict::fault(site, case, &expected, seen)
    });
    faults
        .next()
        .or_else(|| otherwise_logged(lab, group.cases[0].what, &group.logged))
}

/// What is logged and was not, or was and is not.
fn otherwise_logged(lab: &Lab, what: &str, before: &BTreeSet<(usize, String)>) -> Option<String> {
    let now = groups::logged(lab);
    let (_, prefix) = before.symmetric_difference(&now).next()?;
    let how = if before.iter().any(|(_, known)| known == prefix) {
        "not "
    } else {
        ""
    };
    Some(format!("{what}: \"{prefix}\" is {how}logged"))
}

fn prepare(lab: &mut Lab, site: &Site, mutant: &Mutant) {
    lab.refresh(site);
    let namespace = &lab.insides[mutant.inside].namespace;
    if let Err(error) = netfw::nft::load(namespace, &mutant.transaction) {
        panic!("{}: {error}", mutant.name);
    }
    if mutant.session {
        lab.fill_sessions();
    } else {
        lab.fill(site);
    }
    groups::logged(lab);
}
