//! The rules a [`Network`] keeps as a whole; every breach is reported at once.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::model::{Addressing, Endpoint, Host, Network, Port, Uplink};

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
    /// Joins the parts to a network that is valid as a whole.
    ///
    /// # Errors
    /// All breaches of the invariants in [`crate::model`] at once.
    pub fn new(uplink: Uplink, ports: Vec<Port>, endpoints: Vec<Endpoint>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        check_uniqueness(&uplink, &ports, &mut faults);
        check_uplink(&uplink, &mut faults);
        for port in &ports {
            check_port(port, &uplink, &mut faults);
        }
        for endpoint in &endpoints {
            check_endpoint(endpoint, &mut faults);
        }
        if faults.is_empty() {
            Ok(Self {
                uplink,
                ports,
                endpoints,
            })
        } else {
            Err(Faults(faults))
        }
    }
}

fn fault(faults: &mut Vec<Fault>, path: String, found: impl fmt::Display, expected: impl Into<String>) {
    faults.push(Fault {
        path,
        found: found.to_string(),
        expected: expected.into(),
    });
}

fn check_uniqueness(uplink: &Uplink, ports: &[Port], faults: &mut Vec<Fault>) {
    let mut nics = HashMap::from([(uplink.nic.clone(), "the uplink".to_owned())]);
    let mut names = std::collections::HashSet::new();
    for port in ports {
        if !names.insert(&port.name) {
            fault(
                faults,
                format!("ports.{}", port.name),
                "a second port of this name",
                "each name once",
            );
        }
        if let Some(other) = nics.insert(port.nic.clone(), format!("port {}", port.name)) {
            fault(
                faults,
                format!("ports.{}.nic", port.name),
                &port.nic,
                format!("a card of its own; {other} has this one"),
            );
        }
    }
}

fn check_uplink(uplink: &Uplink, faults: &mut Vec<Fault>) {
    let Addressing::Static { address, gateway } = &uplink.addressing else {
        return;
    };
    if !is_host_in(address.addr(), *address) {
        let path = "uplink.address".to_owned();
        fault(
            faults,
            path,
            address,
            "a host's address, not the network's or broadcast",
        );
    }
    if let Some(gateway) = gateway
        && (!is_host_in(*gateway, *address) || *gateway == address.addr())
    {
        let expected = format!("another host's address in {}", address.trunc());
        fault(faults, "uplink.gateway".to_owned(), gateway, expected);
    }
}

fn check_port(port: &Port, uplink: &Uplink, faults: &mut Vec<Fault>) {
    let path = |field: &str| format!("ports.{}.{field}", port.name);
    let network = port.address;
    if !is_host_in(network.addr(), network) {
        fault(
            faults,
            path("address"),
            network,
            "a host's address, not the network's or broadcast",
        );
    }
    if !is_host_in(port.instrument, network) || port.instrument == network.addr() {
        let expected = format!(
            "a host's address in {} that is not {}",
            network.trunc(),
            network.addr()
        );
        fault(faults, path("instrument"), port.instrument, expected);
    }
    if let Addressing::Static { address, .. } = &uplink.addressing
        && (address.contains(&network.network()) || network.contains(&address.network()))
    {
        let expected = format!("a prefix that does not overlap the uplink's {}", address.trunc());
        fault(faults, path("address"), network, expected);
    }
    let mut used = std::collections::HashSet::new();
    for service in &port.services {
        let once = used.insert((service.protocol, service.port));
        if service.port == 0 || !once {
            let path = path(&format!("services.{}", service.name));
            fault(
                faults,
                path,
                service.port,
                "a port number of its own from 1 to 65535",
            );
        }
    }
}

fn check_endpoint(endpoint: &Endpoint, faults: &mut Vec<Fault>) {
    let path = |field: &str| format!("endpoints.{}.{field}", endpoint.name);
    if endpoint.port == 0 {
        fault(faults, path("port"), 0, "a port number from 1 to 65535");
    }
    if let Host::Ip(address @ IpAddr::V6(_)) = endpoint.host {
        fault(
            faults,
            path("host"),
            address,
            "an IPv4 address or a name: IPv6 is switched off",
        );
    }
}

/// Whether `address` can be a host's in `network`; /31 (RFC 3021) and /32 have neither network nor broadcast address.
fn is_host_in(address: Ipv4Addr, network: Ipv4Net) -> bool {
    let special =
        network.prefix_len() < 31 && (address == network.network() || address == network.broadcast());
    network.contains(&address) && !special && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use crate::sample;

    use super::*;

    fn paths(uplink: Uplink, ports: Vec<Port>, endpoints: Vec<Endpoint>) -> Vec<String> {
        let faults = Network::new(uplink, ports, endpoints).unwrap_err();
        faults.0.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn the_sample_is_valid_and_two_instruments_may_share_an_address() {
        let Network {
            uplink,
            ports,
            endpoints,
        } = sample::network();
        assert_eq!(ports[0].instrument, ports[1].instrument);
        Network::new(uplink, ports, endpoints).unwrap();
    }

    #[test]
    fn every_fault_is_reported_in_one_run() {
        let Network {
            uplink,
            mut ports,
            mut endpoints,
        } = sample::network();
        ports[0].nic = uplink.nic.clone();
        ports[0].instrument = ports[0].address.addr();
        ports[1].name = ports[0].name.clone();
        ports[1].address = "10.9.0.77/16".parse().unwrap();
        endpoints[0].host = Host::Ip("2001:db8::1".parse().unwrap());
        endpoints[0].port = 0;
        assert_eq!(
            paths(uplink, ports, endpoints),
            [
                "ports.port1.nic",
                "ports.port1",
                "ports.port1.instrument",
                "ports.port1.instrument",
                "ports.port1.address",
                "endpoints.centre.port",
                "endpoints.centre.host",
            ]
        );
    }

    #[test]
    fn network_and_broadcast_are_nobodys_address() {
        for wrong in ["192.168.1.0", "192.168.1.255", "192.168.2.50", "192.168.1.1"] {
            let Network {
                uplink,
                mut ports,
                endpoints,
            } = sample::network();
            ports[0].instrument = wrong.parse().unwrap();
            assert_eq!(
                paths(uplink, ports, endpoints),
                ["ports.port1.instrument"],
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_message_says_what_to_write_instead() {
        let Network {
            uplink,
            mut ports,
            endpoints,
        } = sample::network();
        ports[0].instrument = "192.168.2.50".parse().unwrap();
        let message = Network::new(uplink, ports, endpoints).unwrap_err().to_string();
        assert_eq!(
            message,
            "ports.port1.instrument: found 192.168.2.50, expected a host's address in 192.168.1.0/24 that is not 192.168.1.1"
        );
    }
}
