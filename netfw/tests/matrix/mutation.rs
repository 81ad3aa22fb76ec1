//! Every rule is there for a packet: each is taken out of its table alone, and some case must then fare otherwise.
//!
//! What to try is known from a first run with all rules in place: the cases of a group go through the box together, and
//! the counters say which rules they touched. A rule that logs is witnessed by its message, a limit by a flood.

mod groups;
mod tables;

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
    check_floods(&mut lab, site, &floods);
    let groups = groups(&mut lab, site, &moment, &cases);
    let mutants = mutants(&lab.plan, part);
    let outcomes = mutants.into_iter().map(|mutant| Outcome {
        witness: witness(&mut lab, site, &moment, &groups, &floods, &mutant),
        rule: mutant.name,
    });
    outcomes.collect()
}

/// With all rules in place no flood gets further than its limit.
fn check_floods(lab: &mut Lab, site: &Site, floods: &[Flood]) {
    for flood in floods {
        lab.refresh(site);
        if let Some(fault) = flood.fault(lab) {
            panic!("with all rules in place: {fault}");
        }
    }
}

fn witness(
    lab: &mut Lab,
    site: &Site,
    moment: &Moment,
    groups: &[Group<'_>],
    floods: &[Flood],
    mutant: &Mutant,
) -> Option<String> {
    let touched = |group: &&Group| group.touched.contains(&mutant.key);
    let (first, others): (Vec<_>, Vec<_>) = groups.iter().partition(touched);
    let mut near = others;
    near.retain(|group| mutant.widens && group.reaches(mutant.inside));
    let floods = floods.iter().filter(|flood| mutant.limits && flood.inside == mutant.inside);

    let mut found = None;
    for group in first {
        found = found.or_else(|| try_group(lab, site, moment, group, mutant));
    }
    for flood in floods {
        found = found.or_else(|| {
            prepare(lab, site, mutant);
            flood.fault(lab)
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
fn try_group(lab: &mut Lab, site: &Site, moment: &Moment, group: &Group<'_>, mutant: &Mutant) -> Option<String> {
    prepare(lab, site, mutant);
    let seen = run::batch(lab, &group.cases);
    let each = group.cases.iter().zip(&seen);
    let mut faults = each.filter_map(|(case, seen)| {
        let expected = crate::oracle::expected(site, moment, case);
        verdict::fault(site, case, &expected, seen)
    });
    let found = faults.next();
    let logged = groups::logged(lab);
    let changed = || {
        let differs = group.logged.symmetric_difference(&logged).next()?;
        let how = if logged.contains(differs) { "" } else { " not" };
        Some(format!("{}: \"{}\" is{how} logged", group.cases[0].what, differs.1))
    };
    found.or_else(changed)
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
