//! The house's rules: what of a directive the site allows at all, whoever signed it. Pure.

use ipnet::Ipv4Net;
use netfw::model::{Addressing, Opening, PortName};

use crate::directive::OpenSession;
use crate::site::{Sessions, Site};

/// What the site says.
#[derive(Debug, Clone)]
pub(super) struct House {
    /// The box's name.
    pub(super) name: String,
    /// `[sessions]`.
    pub(super) sessions: Option<Sessions>,
    ports: Vec<(PortName, Vec<Opening>)>,
    /// The networks that a tunnel's must not overlap.
    taken: Vec<Ipv4Net>,
}

impl House {
    /// The rules of `site`.
    pub(super) fn new(site: &Site) -> Self {
        let mut taken: Vec<_> = site.ports.iter().map(|port| port.address).collect();
        taken.extend(site.sessions.as_ref().map(|sessions| sessions.prefix));
        if let Addressing::Static { address, .. } = site.uplink.addressing {
            taken.push(address);
        }
        let ports = site.ports.iter();
        Self {
            name: site.name.clone(),
            sessions: site.sessions.clone(),
            ports: ports
                .map(|port| (port.name.clone(), port.remote.clone()))
                .collect(),
            taken,
        }
    }

    /// Why the site does not allow this command, if it does not.
    pub(super) fn forbids(&self, command: &str) -> Option<String> {
        let forbidden = self
            .sessions
            .as_ref()
            .is_some_and(|sessions| sessions.forbids(command));
        forbidden.then(|| format!("the hospital forbids {command} (sessions.forbid in site.toml)"))
    }

    /// The port of this name, if there is one.
    pub(super) fn port(&self, name: &str) -> Option<&PortName> {
        let mut names = self.ports.iter().map(|(port, _)| port);
        names.find(|port| port.as_str() == name)
    }

    /// Whether the site allows to ask for this session.
    ///
    /// # Errors
    /// Why not, in words for the service centre.
    pub(super) fn admits(&self, ticket: &OpenSession) -> Result<(), String> {
        let sessions = self
            .sessions
            .as_ref()
            .filter(|sessions| sessions.tunnel.is_some());
        let sessions = sessions.ok_or("this site has no remote sessions (sessions.tunnel in site.toml)")?;
        if ticket.time() > sessions.longest {
            let (asked, longest) = (ticket.seconds, sessions.longest.as_secs());
            return Err(format!(
                "{asked} s are asked for, and the site allows {longest} at most"
            ));
        }
        let port = self.ports.iter().find(|(name, _)| *name == ticket.instrument);
        let Some((name, allowed)) = port else {
            return Err(format!("this box has no port {}", ticket.instrument));
        };
        if let Some(other) = ticket.services.iter().find(|service| !allowed.contains(service)) {
            return Err(format!(
                "{other} of {name} may not be opened (remote in site.toml)"
            ));
        }
        let overlap =
            |net: &&Ipv4Net| net.contains(&ticket.tunnel.network()) || ticket.tunnel.contains(&net.network());
        match self.taken.iter().find(overlap) {
            Some(net) => Err(format!(
                "the tunnel's network {} overlaps this box's {net}",
                ticket.tunnel
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::super::course::tests::ticket;
    use super::*;
    use crate::site::EXAMPLE;

    pub(crate) fn house() -> House {
        let prefix = "prefix = \"100.64.7.0/24\"\n";
        let more = "tunnel = \"10.9.0.10:443\"\nlongest = \"20m\"\nforbid = [\"put-settings\"]\n";
        let text = EXAMPLE.replace(prefix, &format!("{prefix}{more}"));
        House::new(&Site::parse(&text, Path::new("site.toml")).unwrap())
    }

    #[test]
    fn the_site_says_what_may_be_asked_for() {
        let house = house();
        assert_eq!(house.admits(&ticket()), Ok(()));
        let says = |change: &dyn Fn(&mut OpenSession), words: &str| {
            let mut ticket = ticket();
            change(&mut ticket);
            let why = house.admits(&ticket).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        says(&|t| t.seconds = 1201, "the site allows 1200 at most");
        says(&|t| t.instrument = "port9".parse().unwrap(), "no port port9");
        says(
            &|t| t.instrument = "port2".parse().unwrap(),
            "tcp/5900 of port2 may not be opened",
        );
        says(&|t| t.services[0].port = 22, "tcp/22 of port1 may not be opened");
        for net in ["100.64.0.0/16", "192.168.1.128/25", "10.9.0.0/16"] {
            says(&|t| t.tunnel = net.parse().unwrap(), "overlaps this box's");
        }
        assert!(house.forbids("put-settings").is_some() && house.forbids("diagnose").is_none());
        let without = House::new(&Site::parse(EXAMPLE, Path::new("site.toml")).unwrap());
        assert!(
            without
                .admits(&ticket())
                .unwrap_err()
                .contains("no remote sessions")
        );
    }
}
