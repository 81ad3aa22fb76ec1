//! The site as netfw sees it.

use netfw::Faults;
use netfw::model::{Endpoint, Network, Port, Protocol, Service, Uplink};

use super::{Exit, INGEST_HTTP_PORT, INGEST_TLS_PORT, Ingest, PAGE_PORT, Site};

impl Site {
    /// The network: ingest is the one service of a port; the endpoints are where packets go that leave the box: the
    /// service centre, or the proxy on the way to it.
    ///
    /// # Errors
    /// Where the parts do not fit together; of a site that [`Site::parse`] returned, only a destination on loopback.
    pub fn network(&self) -> Result<Network, Faults> {
        let uplink = Uplink {
            nic: self.uplink.nic.clone(),
            vlan: self.uplink.vlan,
            mtu: self.uplink.mtu,
            addressing: self.uplink.addressing.clone(),
            ipv6: self.uplink.ipv6,
            dns: self.uplink.dns.clone(),
            search: self.uplink.search.clone(),
        };
        let endpoints = self.exits().into_iter().map(endpoint).collect();
        Network::new(
            uplink,
            self.ports.iter().map(port).collect(),
            endpoints,
            self.sessions.as_ref().map(|sessions| sessions.prefix),
        )
    }
}

fn endpoint(exit: Exit) -> Endpoint {
    Endpoint {
        name: exit.name,
        host: exit.target.host,
        protocol: Protocol::Tcp,
        port: exit.target.port,
    }
}

impl super::Port {
    /// The TCP port of its ingest.
    #[must_use]
    pub fn ingest_port(&self) -> u16 {
        match self.ingest {
            Ingest::Tls => INGEST_TLS_PORT,
            Ingest::Http => INGEST_HTTP_PORT,
        }
    }
}

fn port(port: &super::Port) -> Port {
    Port {
        name: port.name.clone(),
        nic: port.nic.clone(),
        address: port.address,
        instrument: port.instrument,
        dhcp: port.dhcp,
        mac: port.mac,
        services: [("ingest", port.ingest_port()), ("page", PAGE_PORT)]
            .map(|(name, port)| Service {
                name,
                protocol: Protocol::Tcp,
                port,
            })
            .into(),
        remote: port.remote.clone(),
        limits: port.limits,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netfw::model::Host;

    use super::*;

    #[test]
    fn the_example_site_becomes_a_network() {
        let site = Site::parse(include_str!("example.toml"), Path::new("example.toml")).unwrap();
        let network = site.network().unwrap();
        let services = network
            .ports
            .iter()
            .map(|port| [port.services[0].port, port.services[1].port]);
        assert_eq!(services.collect::<Vec<_>>(), [[8443, 443], [8080, 443]]);
        assert_eq!(network.endpoints[0].port, 8443);
        assert!(network.ports[0].mac.is_some());
    }

    #[test]
    fn behind_a_proxy_the_centre_itself_is_no_endpoint() {
        let text = crate::site::EXAMPLE.replace("default = \"direct\"", "default = \"hospital\"");
        let network = Site::parse(&text, Path::new("site.toml"))
            .unwrap()
            .network()
            .unwrap();
        let endpoints = network.endpoints.iter();
        let endpoints: Vec<_> = endpoints
            .map(|endpoint| (endpoint.name.as_str(), &endpoint.host, endpoint.port))
            .collect();
        let proxy = Host::Name("proxy.hospital.example".to_owned());
        assert_eq!(endpoints, [("proxy-hospital", &proxy, 3128)]);
    }
}
