//! What is between the machine and the plan, as steps in the order in which they may be done: pure.
//!
//! Order: every namespace denies everything, the root first; then cards that are not planned where they are leave,
//! switched off; then each planned link comes to its place and gets its settings and addresses, and is switched on.
//! So nothing is ever open that should not be, wherever somebody stops in between. What is right gives no step.

mod link;
mod plans;
mod session;

use super::seen::{Kind, Link, Place, Seen, SeenPlace};
use super::step::{Action, Step};
use crate::plan::{NamespacePlan, NetPlan, SESSION, Sysctl, TRUNK, UPLINK};
use crate::ruleset::{SESSION_TABLE, TABLE, Table};

pub(super) use plans::sysctls_of;
pub(crate) use plans::{session_of, tables_of};
pub(crate) use session::session_steps;

/// Loopback's name in every namespace.
const LOOPBACK: &str = "lo";

/// The steps from `seen` to `plan`; none when all is right. A card that is nowhere gives none either.
#[must_use]
pub fn diff(plan: &NetPlan, seen: &Seen) -> Vec<Step> {
    let mut steps = Steps::new(seen);
    let ports: Vec<_> = plan
        .ports
        .iter()
        .map(|port| (Place::Port(port.name.clone()), port))
        .filter(|(place, _)| !seen.blind.contains_key(place))
        .collect();
    steps.close(&Place::Root, &plan.root, plan);
    for (place, port) in &ports {
        steps.close(place, port, plan);
    }
    steps.end_sessions(plan);
    for (place, found) in seen.ports() {
        let planned = ports.iter().find(|(port, _)| port == place);
        steps.clear_port(place, found, planned.map(|(_, port)| *port));
    }
    steps.clear_root(plan);
    for (place, port) in &ports {
        steps.settle(place, &port.link);
        steps.stop_forwarding(place, plan);
    }
    steps.settle(&Place::Root, &plan.root.link);
    steps.list
}

/// The steps from `seen` to a machine without any of it. The root namespace is opened last.
#[must_use]
pub fn undo(seen: &Seen) -> Vec<Step> {
    let mut steps = Steps::new(seen);
    for (place, found) in seen.ports() {
        steps.delete_pair(place, found);
        steps.clear_port(place, found, None);
    }
    let Some(root) = seen.place(&Place::Root) else {
        return steps.list;
    };
    let named = root
        .links
        .iter()
        .filter(|link| [UPLINK, TRUNK].contains(&&*link.name));
    for link in named {
        steps.strip(&Place::Root, link);
    }
    for table in root.tables.keys().filter(|name| ours(name)) {
        let table = table.clone();
        steps.push(&Place::Root, Action::Unload { table });
    }
    steps.list
}

/// Steps as they are found.
struct Steps<'a> {
    seen: &'a Seen,
    list: Vec<Step>,
}

impl<'a> Steps<'a> {
    fn new(seen: &'a Seen) -> Self {
        let list = Vec::new();
        Self { seen, list }
    }

    fn push(&mut self, place: &Place, action: Action) {
        let place = place.clone();
        self.list.push(Step { place, action });
    }

    /// Deny-all, settings, loopback; touches no other link.
    fn close(&mut self, place: &Place, namespace: &NamespacePlan, plan: &NetPlan) {
        let planned = tables_of(plan, place);
        let found = self.seen.place(place);
        if let Some(found) = found {
            let differs = |table: &&&Table| found.tables.get(table.name) != Some(&table.summary());
            let tables: Vec<_> = planned.iter().filter(differs).copied().cloned().collect();
            if !tables.is_empty() {
                self.push(place, Action::Load { tables });
            }
            let planned = |name: &String| planned.iter().any(|table| table.name == name);
            for table in found.tables.keys().filter(|name| ours(name) && !planned(name)) {
                let table = table.clone();
                self.push(place, Action::Unload { table });
            }
        } else {
            let tables = planned.into_iter().cloned().collect();
            self.push(place, Action::Make { tables });
        }
        self.set(place, None, &namespace.sysctls, found);
        if found
            .and_then(|found| found.link(LOOPBACK))
            .is_none_or(|link| !link.up)
        {
            let link = LOOPBACK.to_owned();
            self.push(place, Action::SwitchOn { link });
        }
    }

    /// Those settings that differ; all of them where nothing is known of the present ones. One that this kernel does
    /// not have at all has nothing to switch off.
    fn set(&mut self, place: &Place, link: Option<&str>, planned: &[Sysctl], found: Option<&SeenPlace>) {
        let differs = |setting: &&Sysctl| {
            found.is_none_or(|found| match found.sysctls.get(&setting.path) {
                Some(value) => value != setting.value,
                None => found.ipv6 || !setting.path.starts_with("net/ipv6/"),
            })
        };
        // A change of one for all links changes each link's (`Documentation/networking/ip-sysctl.rst`).
        let reset = |setting: &Sysctl| {
            let of_all = setting.of_all_links();
            planned
                .iter()
                .any(|all| Some(&all.path) == of_all.as_ref() && differs(&all))
        };
        let settings = planned
            .iter()
            .filter(|setting| differs(setting) || reset(setting));
        let settings: Vec<_> = settings.cloned().collect();
        if !settings.is_empty() {
            let link = link.map(str::to_owned);
            self.push(place, Action::Set { link, settings });
        }
    }

    /// Cards leave the ports they are not planned in, and ports that are not planned go.
    fn clear_port(&mut self, place: &Place, found: &SeenPlace, planned: Option<&NamespacePlan>) {
        let stays = |link: &Link| link.name == SESSION || planned.is_some_and(|port| link.is(&port.link.nic));
        let cards = found.links.iter().filter(|link| link.kind == Kind::Card);
        for link in cards.filter(|link| !stays(link)) {
            self.release(place, link);
        }
        if planned.is_none() {
            self.push(place, Action::Remove);
        }
    }

    /// Links in the root namespace that have the uplink's names without being the uplink.
    fn clear_root(&mut self, plan: &NetPlan) {
        let plan = &plan.root.link;
        let Some(root) = self.seen.place(&Place::Root) else {
            return;
        };
        let on_card = |index| {
            root.links
                .iter()
                .any(|link| link.index == index && link.is(&plan.nic))
        };
        for link in &root.links {
            let named = [UPLINK, TRUNK].contains(&&*link.name);
            let stays = match link.kind {
                Kind::Vlan { below, .. } => plan.trunk.is_some() && on_card(below),
                _ => link.is(&plan.nic),
            };
            if named && !stays {
                self.strip(&Place::Root, link);
            }
        }
    }

    /// Leaves nothing of ours on a link that had a place in a plan.
    fn strip(&mut self, place: &Place, link: &Link) {
        let name = || link.name.clone();
        match link.kind {
            Kind::Vlan { .. } => self.push(place, Action::Delete { link: name() }),
            Kind::Card => {
                for address in &link.addresses {
                    let address = address.network;
                    self.push(
                        place,
                        Action::RemoveAddress {
                            link: name(),
                            address,
                        },
                    );
                }
                self.set_mtu(place, None, link);
                self.release(place, link);
            }
            Kind::Other => {}
        }
    }

    fn release(&mut self, place: &Place, link: &Link) {
        let name = || link.name.clone();
        if link.up {
            self.push(place, Action::SwitchOff { link: name() });
        }
        self.push(place, Action::Release { link: name() });
    }
}

/// Whether a table of this name is netfw's.
fn ours(table: &str) -> bool {
    [TABLE, SESSION_TABLE].contains(&table)
}

#[cfg(test)]
mod tests;
