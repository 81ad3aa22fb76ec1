//! Endpoints given as names: resolved again and again, and allowed for as long as they may be used.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::Context as _;
use netfw::Machine;
use netfw::model::{Endpoint, Host, Ipv6, Network};
use netfw::ruleset::{ENDPOINTS, ENDPOINTS6, Element, Key};

use super::stop::Stop;

/// How often names are resolved.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often while a name does not resolve.
const RETRY: Duration = Duration::from_secs(3);
/// How long an address stays allowed after its name last led to it: name servers may be away for as long.
const VALID: Duration = Duration::from_secs(3600);

/// Starts resolving, when there is anything to resolve, until told to stop.
pub(super) fn start(machine: &Machine, network: &Network, stop: Stop) -> anyhow::Result<()> {
    let named = network
        .endpoints
        .iter()
        .any(|endpoint| matches!(endpoint.host, Host::Name(_)));
    if !named {
        return Ok(());
    }
    let (machine, network) = (machine.clone(), network.clone());
    let resolve = move || {
        loop {
            let complete = network
                .endpoints
                .iter()
                .all(|endpoint| allow(&machine, &network, endpoint));
            if !stop.pause(if complete { INTERVAL } else { RETRY }) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(resolve)
        .context("cannot start the resolver's thread")?;
    Ok(())
}

/// Resolves one endpoint and allows what it leads to; says whether that worked.
fn allow(machine: &Machine, network: &Network, endpoint: &Endpoint) -> bool {
    let Host::Name(name) = &endpoint.host else {
        return true;
    };
    let resolved = machine
        .root
        .run(|| (name.as_str(), endpoint.port).to_socket_addrs());
    let addresses: Vec<_> = match resolved {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            log::warn!("cannot resolve {name}: {error}");
            return false;
        }
        Err(error) => {
            log::warn!("cannot resolve {name}: {error}");
            return false;
        }
    };
    let (v4, v6): (Vec<_>, Vec<_>) = elements(endpoint, &addresses, network.uplink.ipv6)
        .into_iter()
        .partition(|element| element.key.address().is_some_and(|address| address.is_ipv4()));
    let found = !v4.is_empty() || !v6.is_empty();
    let filled = [(ENDPOINTS, v4), (ENDPOINTS6, v6)]
        .iter()
        .try_for_each(|(set, elements)| netfw::fill(machine, network, set, elements));
    if let Err(error) = filled {
        log::warn!("cannot allow {name}: {:#}", anyhow::Error::from(error));
        return false;
    }
    found
}

fn elements(endpoint: &Endpoint, addresses: &[IpAddr], ipv6: Ipv6) -> Vec<Element> {
    let mut addresses: Vec<_> = addresses
        .iter()
        .filter(|address| address.is_ipv4() || ipv6 != Ipv6::Off)
        // A name server must not make the box talk to itself.
        .filter(|address| !address.is_loopback() && !address.is_unspecified() && !address.is_multicast())
        .copied()
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let element = |address| Element {
        key: Key::Service(address, endpoint.protocol, endpoint.port),
        timeout: Some(VALID),
        comment: format!("endpoints.{}", endpoint.name),
    };
    addresses.into_iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use netfw::model::Protocol;

    use super::*;

    #[test]
    fn only_addresses_of_others_are_allowed_each_once_and_ipv6_where_it_is_on() {
        let endpoint = Endpoint {
            name: "centre".to_owned(),
            host: Host::Name("centre.example".to_owned()),
            protocol: Protocol::Tcp,
            port: 443,
        };
        let found = [
            "10.9.0.10",
            "127.0.0.1",
            "::1",
            "10.9.0.10",
            "0.0.0.0",
            "2001:db8::1",
        ];
        let found = found.map(|text| text.parse().unwrap());
        let allowed = |ipv6| -> Vec<_> {
            let elements = elements(&endpoint, &found, ipv6);
            elements.into_iter().map(|element| element.key).collect()
        };
        let key = |text: &str| Key::Service(text.parse().unwrap(), Protocol::Tcp, 443);
        assert_eq!(allowed(Ipv6::Off), [key("10.9.0.10")]);
        assert_eq!(allowed(Ipv6::Slaac), [key("10.9.0.10"), key("2001:db8::1")]);
    }
}
