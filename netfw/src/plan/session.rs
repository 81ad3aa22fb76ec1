//! What a remote session needs: for each instrument a pair of links between the root namespace and its own, and a
//! table on either side. The tables are loaded once and pass nothing by themselves; the links, and forwarding on
//! exactly the links of the way, exist only while a session is open.
//!
//! ```text
//! tunnel ─ root ─ s-port1 ════ session ─ port1's namespace ─ port1 ─ instrument
//!          even address of the pair     odd address: the instrument's service address
//! ```

use std::time::Duration;

use ipnet::Ipv4Net;

use super::sysctl::{self, Sysctl};
use super::{SESSION, TUNNEL};
use crate::model::{Network, Opening, Port, PortName};
use crate::ruleset::{self, Element, Key, Table};

/// What sessions need on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPlan {
    /// The table in the root namespace that holds what is open to whom.
    pub root_table: Table,
    /// Settings of the link [`TUNNEL`] in the root namespace, while any session is open.
    pub tunnel: Vec<Sysctl>,
    /// The ports of which something may be opened, in the order they were described.
    pub ports: Vec<PortSession>,
}

/// What a session to one instrument needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSession {
    /// The port.
    pub port: PortName,
    /// The end in the root namespace.
    pub outer: SessionEnd,
    /// The end in the port's namespace; its address is the instrument's service address.
    pub inner: SessionEnd,
    /// The table in the port's namespace.
    pub table: Table,
    /// Settings of the port's own link while the session is open.
    pub link_open: Vec<Sysctl>,
    /// The same settings when it is closed.
    pub link_closed: Vec<Sysctl>,
    /// What may be opened.
    pub allowed: Vec<Opening>,
}

/// One end of the pair of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// Its name in its namespace.
    pub name: String,
    /// Its address, a /31.
    pub address: Ipv4Net,
    /// Its settings, made before it is brought up.
    pub sysctls: Vec<Sysctl>,
}

impl SessionPlan {
    pub(super) fn new(network: &Network) -> Option<Self> {
        let ports = network.ports.iter().enumerate();
        let ports: Vec<_> = ports
            .filter(|(_, port)| !port.remote.is_empty())
            .filter_map(|(nth, port)| {
                let (outer, inner) = network.session_pair(nth)?;
                Some(PortSession::new(port, outer, inner))
            })
            .collect();
        (!ports.is_empty()).then(|| Self {
            root_table: ruleset::root_session_table(),
            tunnel: passing(TUNNEL),
            ports,
        })
    }
}

/// The name in the root namespace of the link to a port's namespace.
pub(crate) fn outer_name(port: &PortName) -> String {
    format!("s-{port}")
}

impl SessionEnd {
    fn new(name: String, address: Ipv4Net) -> Self {
        Self {
            sysctls: passing(&name),
            name,
            address,
        }
    }
}

impl PortSession {
    fn new(port: &Port, outer: Ipv4Net, inner: Ipv4Net) -> Self {
        let link = port.name.as_str();
        Self {
            port: port.name.clone(),
            outer: SessionEnd::new(outer_name(&port.name), outer),
            inner: SessionEnd::new(SESSION.to_owned(), inner),
            table: ruleset::port_session_table(port, inner.addr()),
            link_open: vec![Sysctl::forwarding(link, true)],
            link_closed: vec![Sysctl::forwarding(link, false)],
            allowed: port.remote.clone(),
        }
    }

    /// What goes into the sets `set` of the session table in the root namespace to open `openings` for `time`.
    #[must_use]
    pub fn root_elements(&self, openings: &[Opening], time: Duration) -> Vec<(&'static str, Vec<Element>)> {
        let service = self.inner.address.addr().into();
        let open = openings
            .iter()
            .map(|opening| Key::Service(service, opening.protocol, opening.port));
        self.elements(open.collect(), time)
    }

    /// The same for the session table in the port's namespace.
    #[must_use]
    pub fn port_elements(&self, openings: &[Opening], time: Duration) -> Vec<(&'static str, Vec<Element>)> {
        let open = openings
            .iter()
            .map(|opening| Key::Opening(opening.protocol, opening.port));
        self.elements(open.collect(), time)
    }

    fn elements(&self, open: Vec<Key>, time: Duration) -> Vec<(&'static str, Vec<Element>)> {
        let element = |key| Element {
            key,
            timeout: Some(time),
            comment: format!("ports.{}.remote", self.port),
        };
        let instrument = Key::Address(self.inner.address.addr().into());
        vec![
            (ruleset::OPEN, open.into_iter().map(element).collect()),
            (ruleset::INSTRUMENTS, vec![element(instrument)]),
        ]
    }
}

fn passing(link: &str) -> Vec<Sysctl> {
    let mut settings = sysctl::of_link(link);
    settings.push(Sysctl::forwarding(link, true));
    settings
}
