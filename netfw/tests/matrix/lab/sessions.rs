//! What is open in the session tables, put there and taken out again as the kernel does when time is over.

use netfw::netns::Namespace;
use netfw::ruleset::{self, Element, SESSION_TABLE};

use super::{Lab, OPEN_FOR};
use crate::case::Side;

impl Lab {
    /// The session tables as planned, and open what is open.
    pub(crate) fn renew_sessions(&self) {
        let sessions = self.plan.sessions.as_ref().unwrap();
        netfw::nft::load(&self.machine.root, &sessions.root_table.json()).unwrap();
        for session in &sessions.ports {
            netfw::nft::load(&self.machine.port(session.port.as_str()), &session.table.json()).unwrap();
        }
        self.fill_sessions();
    }

    /// Puts what is open into the session tables, which lost it when they were loaded.
    pub(crate) fn fill_sessions(&self) {
        self.each_open(|namespace, set, elements| {
            netfw::nft::load(namespace, &ruleset::refill(SESSION_TABLE, set, elements)).unwrap();
        });
    }

    /// Takes it out again on one side; links stay, as in the moment between an end and what tidies up after it.
    pub(crate) fn close_sessions(&self, side: Side) {
        self.each_open(|namespace, set, elements| {
            if (*namespace == self.machine.root) != (side == Side::Root) {
                return;
            }
            let keys: Vec<_> = elements.iter().map(|element| element.key).collect();
            netfw::nft::load(namespace, &ruleset::clear(SESSION_TABLE, set, &keys)).unwrap();
        });
    }

    fn each_open(&self, change: impl Fn(&Namespace, &str, &[Element])) {
        let sessions = self.plan.sessions.iter().flat_map(|sessions| &sessions.ports);
        for session in sessions {
            let openings = self.open.iter().filter(|(port, _)| *port == session.port);
            let openings: Vec<_> = openings.map(|(_, opening)| *opening).collect();
            if openings.is_empty() {
                continue;
            }
            let sides = [
                (
                    self.machine.root.clone(),
                    session.root_elements(&openings, OPEN_FOR),
                ),
                (
                    self.machine.port(session.port.as_str()),
                    session.port_elements(&openings, OPEN_FOR),
                ),
            ];
            for (namespace, sets) in sides {
                for (set, elements) in sets {
                    change(&namespace, set, &elements);
                }
            }
        }
    }
}
