//! The policy in sentences, for whoever has to agree to it.

use std::net::Ipv4Addr;

use crate::model::{Addressing, Endpoint, Host, Ipv6, Network, Port};

impl Network {
    /// Who may talk to whom, one sentence each; what is not said here is not possible.
    pub fn promises(&self) -> impl Iterator<Item = String> + '_ {
        let instruments = self.ports.iter().flat_map(|port| self.of_port(port));
        let endpoints = self.endpoints.iter().map(to_endpoint);
        instruments
            .chain(endpoints)
            .chain(self.of_uplink())
            .chain(std::iter::once(
                "Nobody else reaches anybody: no instrument another one or the hospital's network, nobody in the \
                 hospital's network an instrument."
                    .to_owned(),
            ))
    }

    fn of_port(&self, port: &Port) -> Vec<String> {
        let (name, limits) = (&port.name, port.limits);
        let who = format!("The instrument at {name} ({})", port.instrument);
        let gateway = port.address.addr();
        let mut sentences: Vec<_> = port
            .services
            .iter()
            .map(|service| {
                format!(
                    "{who} may use {} at {gateway}, {}/{}: {} connections at once, {} new ones a second.",
                    service.name,
                    service.protocol,
                    service.port,
                    limits.connections,
                    limits.connections_per_second
                )
            })
            .collect();
        let address = if port.dhcp {
            ", is given its address by DHCP,"
        } else {
            ""
        };
        let pinned = port.mac.map(|mac| format!(", and only from the station {mac}"));
        sentences.push(format!(
            "{who}{address} and may ping {gateway}; it may send {} packets a second in all{}.",
            limits.packets_per_second,
            pinned.unwrap_or_default()
        ));
        sentences.extend(self.service_address(name).and_then(|at| remote(port, at)));
        sentences
    }

    fn of_uplink(&self) -> Vec<String> {
        let uplink = &self.uplink;
        let mut sentences = Vec::new();
        let servers: Vec<_> = uplink.dns.iter().map(ToString::to_string).collect();
        let servers = match (servers.as_slice(), &uplink.addressing) {
            ([], Addressing::Dhcp) => "those its DHCP server names".to_owned(),
            ([], Addressing::Static { .. }) => String::new(),
            (some, _) => some.join(", "),
        };
        if !servers.is_empty() {
            sentences.push(format!("The box may ask name servers: {servers}."));
        }
        if uplink.addressing == Addressing::Dhcp {
            sentences.push("The box may ask for the uplink's address by DHCP.".to_owned());
        }
        sentences.push(match uplink.ipv6 {
            Ipv6::Off => "The uplink does not speak IPv6.".to_owned(),
            Ipv6::Slaac => "The uplink takes IPv6 addresses from routers on its own link.".to_owned(),
            Ipv6::Static { address, .. } => format!("The uplink has the IPv6 address {address}."),
        });
        sentences.push(
            "Nobody in the hospital's network may open a connection to the box; who tries is told so."
                .to_owned(),
        );
        sentences
    }
}

fn remote(port: &Port, at: Ipv4Addr) -> Option<String> {
    let openings: Vec<_> = port.remote.iter().map(ToString::to_string).collect();
    (!openings.is_empty()).then(|| {
        format!(
            "A remote session, while it is open and never longer, may reach {} of the instrument at {}, as {at}.",
            openings.join(", "),
            port.name
        )
    })
}

fn to_endpoint(endpoint: &Endpoint) -> String {
    let host = match &endpoint.host {
        Host::Ip(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    };
    format!(
        "The box may reach {} at {host}, {}/{}.",
        endpoint.name, endpoint.protocol, endpoint.port
    )
}
