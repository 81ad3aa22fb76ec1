//! The rules a [`Network`] keeps as a whole; every breach is reported at once.

mod address;
mod port;
mod session;
mod uplink;

use std::collections::{HashMap, HashSet};
use std::fmt;

use ipnet::Ipv4Net;

use crate::model::{Domain, Endpoint, Host, Ipv6, Network, Port, Uplink};

/// One thing that is wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in the terms of [`crate::model`], e.g. `ports.port1.instrument`.
    pub path: String,
    /// What stood there.
    pub found: String,
    /// What would have been right, in words.
    pub expected: String,
}

/// Everything that is wrong with a description; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}, expected {}",
            self.path, self.found, self.expected
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl Network {
    /// Joins the parts to a network that is valid as a whole. `sessions` is the prefix remote sessions take their
    /// addresses from, where there are any.
    ///
    /// # Errors
    /// All breaches of the invariants in [`crate::model`] at once.
    pub fn new(
        uplink: Uplink,
        ports: Vec<Port>,
        endpoints: Vec<Endpoint>,
        sessions: Option<Ipv4Net>,
    ) -> Result<Self, Faults> {
        let network = Self {
            uplink,
            ports,
            endpoints,
            sessions,
        };
        let mut list = List::default();
        network.check_uniqueness(&mut list);
        uplink::check(&network.uplink, &mut list);
        for port in &network.ports {
            port::check(port, &network, &mut list);
        }
        for endpoint in &network.endpoints {
            check_endpoint(endpoint, network.uplink.ipv6, &mut list);
        }
        session::check(&network, &mut list);
        list.end().map(|()| network)
    }

    /// Whether the uplink can have the address `lease` that a DHCP server hands out while the box runs: its network
    /// must not be an instrument's or the sessions', or the two cannot be told apart. The rules isolate all the same.
    ///
    /// # Errors
    /// Everything it collides with.
    pub fn check_lease(&self, lease: Ipv4Net) -> Result<(), Faults> {
        let mut list = List::default();
        for port in &self.ports {
            if address::overlap(lease, port.address) {
                let expected = format!(
                    "a network that does not overlap {} of port {}; change the one or the other",
                    port.address.trunc(),
                    port.name
                );
                list.add("uplink.lease", lease, expected);
            }
        }
        if let Some(sessions) = self.sessions.filter(|prefix| address::overlap(lease, *prefix)) {
            let expected = format!("a network that does not overlap the session prefix {sessions}");
            list.add("uplink.lease", lease, expected);
        }
        list.end()
    }

    fn check_uniqueness(&self, list: &mut List) {
        let mut nics = HashMap::from([(&self.uplink.nic, "the uplink".to_owned())]);
        let mut names = HashSet::new();
        for port in &self.ports {
            if !names.insert(&port.name) {
                list.add(
                    format!("ports.{}", port.name),
                    "a second port of this name",
                    "each name once",
                );
            }
            if let Some(other) = nics.insert(&port.nic, format!("port {}", port.name)) {
                list.add(
                    format!("ports.{}.nic", port.name),
                    &port.nic,
                    format!("a card of its own; {other} has this one"),
                );
            }
        }
        let mut names = HashSet::new();
        for endpoint in &self.endpoints {
            if !names.insert(&endpoint.name) {
                list.add(
                    format!("endpoints.{}", endpoint.name),
                    "a second endpoint of this name",
                    "each name once",
                );
            }
        }
    }
}

fn check_endpoint(endpoint: &Endpoint, ipv6: Ipv6, list: &mut List) {
    let path = |field: &str| format!("endpoints.{}.{field}", endpoint.name);
    if !is_plain(&endpoint.name) {
        list.add(
            path("name"),
            format!("{:?}", endpoint.name),
            "1 to 32 letters, digits, - and .",
        );
    }
    if endpoint.port == 0 {
        list.add(path("port"), 0, "a port number from 1 to 65535");
    }
    match &endpoint.host {
        Host::Ip(host) => address::check_remote(*host, ipv6, path("host"), list),
        Host::Name(name) => {
            if let Err(invalid) = name.parse::<Domain>() {
                list.add(path("host"), format!("{name:?}"), invalid.expected);
            }
        }
    }
}

/// Whether a name can stand in a rule's comment: short, and nothing nft's language would take for more than a word.
fn is_plain(name: &str) -> bool {
    let clean = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    (1..=32).contains(&name.len()) && clean
}

/// The faults so far.
#[derive(Default)]
struct List(Vec<Fault>);

impl List {
    fn add(&mut self, path: impl Into<String>, found: impl fmt::Display, expected: impl Into<String>) {
        self.0.push(Fault {
            path: path.into(),
            found: found.to_string(),
            expected: expected.into(),
        });
    }

    fn end(self) -> Result<(), Faults> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Faults(self.0))
        }
    }
}

#[cfg(test)]
mod tests;
