//! The site as netfw sees it.

use std::net::IpAddr;

use netfw::Faults;
use netfw::model::{Endpoint, Ipv6, Limits, Network, Port, Protocol, Service, Uplink};

use crate::site::{self, Exit, Ingest, Site};

/// The network of `site`: ingest is the one service of a port; the endpoints are where packets go that leave the box: the
/// service centre, or the proxy on the way to it.
///
/// # Errors
/// Where the parts do not fit together.
pub(super) fn of(site: &Site) -> Result<Network, Faults> {
    let uplink = Uplink {
        nic: site.uplink.nic.clone(),
        vlan: None,
        mtu: None,
        addressing: site.uplink.addressing.clone(),
        ipv6: Ipv6::Off,
        dns: site.uplink.dns.iter().copied().map(IpAddr::V4).collect(),
        search: Vec::new(),
    };
    let endpoints = site.exits().into_iter().map(endpoint).collect();
    Network::new(uplink, site.ports.iter().map(port).collect(), endpoints, None)
}

fn endpoint(exit: Exit) -> Endpoint {
    Endpoint {
        name: exit.name,
        host: exit.target.host,
        protocol: Protocol::Tcp,
        port: exit.target.port,
    }
}

/// The TCP port of a port's ingest.
pub(super) fn ingest_port(port: &site::Port) -> u16 {
    match port.ingest {
        Ingest::Tls => site::INGEST_TLS_PORT,
        Ingest::Http => site::INGEST_HTTP_PORT,
    }
}

fn port(port: &site::Port) -> Port {
    Port {
        name: port.name.clone(),
        nic: port.nic.clone(),
        address: port.address,
        instrument: port.instrument,
        dhcp: port.dhcp,
        mac: port.mac,
        services: vec![Service {
            name: "ingest",
            protocol: Protocol::Tcp,
            port: ingest_port(port),
        }],
        remote: Vec::new(),
        limits: Limits::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netfw::model::Host;

    use super::*;

    #[test]
    fn the_example_site_becomes_a_network() {
        let site = Site::parse(include_str!("../site/example.toml"), Path::new("example.toml")).unwrap();
        let network = of(&site).unwrap();
        let services: Vec<_> = network.ports.iter().map(|port| port.services[0].port).collect();
        assert_eq!(services, [8443, 8080]);
        assert_eq!(network.endpoints[0].port, 8443);
        assert!(network.ports[0].mac.is_some());
    }

    #[test]
    fn behind_a_proxy_the_centre_itself_is_no_endpoint() {
        let text = site::EXAMPLE.replace("default = \"direct\"", "default = \"hospital\"");
        let network = of(&Site::parse(&text, Path::new("site.toml")).unwrap()).unwrap();
        let endpoints = network.endpoints.iter();
        let endpoints: Vec<_> = endpoints
            .map(|endpoint| (endpoint.name.as_str(), &endpoint.host, endpoint.port))
            .collect();
        let proxy = Host::Name("proxy.hospital.example".to_owned());
        assert_eq!(endpoints, [("proxy-hospital", &proxy, 3128)]);
    }
}
