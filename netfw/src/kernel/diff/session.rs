//! The links of sessions: a pair and forwarding for each instrument with something open, and nothing of it for others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::seen::{Link, Place, Seen, SeenPlace};
use super::super::step::{Action, Step};
use super::Steps;
use super::plans::{outer_name, session_of};
use crate::model::PortName;
use crate::plan::{NetPlan, PortSession, SESSION, SessionEnd, SessionPlan, Sysctl, TUNNEL};

/// The steps from `seen` to exactly the links that sessions to the ports in `open` need. The tables are taken for
/// granted.
#[must_use]
pub(crate) fn session_steps(plan: &NetPlan, seen: &Seen, open: &BTreeSet<PortName>) -> Vec<Step> {
    let mut steps = Steps::new(seen);
    let Some(sessions) = &plan.sessions else {
        return steps.list;
    };
    for session in &sessions.ports {
        let place = Place::Port(session.port.to_string());
        let Some(found) = seen.place(&place) else { continue };
        if open.contains(&session.port) {
            steps.open_way(&place, session, found);
        } else {
            steps.delete_pair(&place, found);
            steps.set_known(&place, session.port.as_str(), &session.link_closed);
        }
    }
    steps.settle_tunnel(sessions, !open.is_empty());
    steps.list
}

impl Steps<'_> {
    /// Pairs of links to instruments that are not to be reached, or not at this address, any more. The root's table of
    /// sessions knows instruments by address only, and addresses may mean another instrument now: so it is emptied.
    pub(super) fn end_sessions(&mut self, plan: &NetPlan) {
        let stale: Vec<_> = self
            .seen
            .ports()
            .filter(|(place, found)| is_stale(plan, place, found))
            .collect();
        if stale.is_empty() {
            return;
        }
        if let Some(sessions) = &plan.sessions {
            let tables = vec![sessions.root_table.clone()];
            self.push(&Place::Root, Action::Load { tables });
        }
        for (place, found) in stale {
            self.delete_pair(place, found);
        }
    }

    pub(super) fn delete_pair(&mut self, place: &Place, found: &SeenPlace) {
        let Some(inner) = found.link(SESSION) else { return };
        let link = outer_name(place);
        self.push(&Place::Root, Action::Delete { link });
        for address in &inner.addresses {
            if let IpAddr::V4(service) = address.network.addr() {
                self.push(&Place::Root, Action::Forget { service });
                self.push(place, Action::Forget { service });
            }
        }
    }

    /// Where no session is open the port's link forwards nothing, whatever ended the last one.
    pub(super) fn stop_forwarding(&mut self, place: &Place, plan: &NetPlan) {
        let Some(session) = session_of(plan, place) else {
            return;
        };
        let open = |found: &SeenPlace| found.link(SESSION).is_some() && !is_stale(plan, place, found);
        if !self.seen.place(place).is_some_and(open) {
            self.set_known(place, session.port.as_str(), &session.link_closed);
        }
    }

    /// As [`Self::set`], on a link that may not be there.
    fn set_known(&mut self, place: &Place, link: &str, planned: &[Sysctl]) {
        let found = self.seen.place(place);
        if found.is_some_and(|found| found.link(link).is_some()) {
            self.set(place, Some(link), planned, found);
        }
    }

    fn open_way(&mut self, place: &Place, session: &PortSession, found: &SeenPlace) {
        if found.link(SESSION).is_none() {
            let (link, inner) = (session.outer.name.clone(), session.inner.name.clone());
            let port = place.clone();
            self.push(&Place::Root, Action::MakePair { link, inner, port });
        }
        self.settle_end(place, &session.inner);
        self.settle_end(&Place::Root, &session.outer);
        self.set_known(place, session.port.as_str(), &session.link_open);
    }

    fn settle_end(&mut self, place: &Place, end: &SessionEnd) {
        let here = self.seen.place(place);
        let link = here.and_then(|found| found.link(&end.name));
        let name = || end.name.clone();
        self.set(
            place,
            Some(&end.name),
            &end.sysctls,
            here.filter(|_| link.is_some()),
        );
        let address = end.address.into();
        if !link.is_some_and(|link| link.addresses.iter().any(|found| found.network == address)) {
            self.push(
                place,
                Action::AddAddress {
                    link: name(),
                    address,
                },
            );
        }
        if !link.is_some_and(|link| link.up) {
            self.push(place, Action::SwitchOn { link: name() });
        }
    }

    /// The tunnel is somebody else's link: it forwards while anything is open.
    fn settle_tunnel(&mut self, sessions: &SessionPlan, open: bool) {
        let forwards = |setting: &&Sysctl| setting.path.ends_with("/forwarding");
        let off = |setting: &Sysctl| Sysctl {
            path: setting.path.clone(),
            value: "0",
        };
        let closed: Vec<_> = sessions.tunnel.iter().filter(forwards).map(off).collect();
        let settings = if open { &sessions.tunnel } else { &closed };
        self.set_known(&Place::Root, TUNNEL, settings);
    }
}

/// Whether there is a pair of links to the instrument in `place` that is not the plan's.
fn is_stale(plan: &NetPlan, place: &Place, found: &SeenPlace) -> bool {
    let planned = session_of(plan, place).map(|session| session.inner.address.into());
    let other = |link: &Link| {
        let mut addresses = link.addresses.iter();
        addresses.any(|address| Some(address.network) != planned)
    };
    found
        .link(SESSION)
        .is_some_and(|link| planned.is_none() || other(link))
}
