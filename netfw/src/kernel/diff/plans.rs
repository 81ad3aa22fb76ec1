//! What a plan says of one namespace.

use super::super::seen::Place;
use crate::plan::{NetPlan, PortSession, Sysctl};
use crate::ruleset::Table;

/// The tables of `place`.
pub(crate) fn tables_of<'a>(plan: &'a NetPlan, place: &Place) -> Vec<&'a Table> {
    let (own, session) = match place {
        Place::Root => {
            let sessions = plan.sessions.as_ref();
            (
                Some(&plan.root.table),
                sessions.map(|sessions| &sessions.root_table),
            )
        }
        Place::Port(name) => {
            let port = plan.ports.iter().find(|port| port.name == *name);
            let session = session_of(plan, place);
            (
                port.map(|port| &port.table),
                session.map(|session| &session.table),
            )
        }
    };
    own.into_iter().chain(session).collect()
}

/// What a session to the instrument in `place` needs, where one may be opened.
pub(crate) fn session_of<'a>(plan: &'a NetPlan, place: &Place) -> Option<&'a PortSession> {
    let Place::Port(name) = place else { return None };
    let ports = plan.sessions.iter().flat_map(|sessions| &sessions.ports);
    ports.into_iter().find(|session| session.port.as_str() == name)
}

/// Every setting that the plan speaks of in `place`, those of open sessions too.
pub(crate) fn sysctls_of<'a>(plan: &'a NetPlan, place: &Place) -> Vec<&'a Sysctl> {
    let namespace = match place {
        Place::Root => Some(&plan.root),
        Place::Port(name) => plan.ports.iter().find(|port| port.name == *name),
    };
    let Some(namespace) = namespace else {
        return Vec::new();
    };
    let mut settings: Vec<_> = namespace.sysctls.iter().chain(&namespace.link.sysctls).collect();
    settings.extend(namespace.link.trunk.iter().flat_map(|trunk| &trunk.sysctls));
    if let Some(session) = session_of(plan, place) {
        settings.extend(session.inner.sysctls.iter().chain(&session.link_closed));
    }
    if let (Place::Root, Some(sessions)) = (place, &plan.sessions) {
        settings.extend(sessions.ports.iter().flat_map(|session| &session.outer.sysctls));
        settings.extend(&sessions.tunnel);
    }
    settings
}

/// The name in the root namespace of the link to the namespace of a port.
pub(crate) fn outer_name(place: &Place) -> String {
    format!("s-{place}")
}
