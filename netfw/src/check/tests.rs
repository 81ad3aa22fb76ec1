use crate::sample;

use super::*;

/// Rebuilds the sample after `change`; the faults' paths.
fn paths(change: impl FnOnce(&mut Network)) -> Vec<String> {
    faults(change).0.into_iter().map(|fault| fault.path).collect()
}

fn faults(change: impl FnOnce(&mut Network)) -> Faults {
    build(change).unwrap_err()
}

fn build(change: impl FnOnce(&mut Network)) -> Result<Network, Faults> {
    let mut network = sample::network();
    change(&mut network);
    Network::new(network.uplink, network.ports, network.endpoints, network.sessions)
}

#[test]
fn the_sample_is_valid_and_two_instruments_may_share_an_address() {
    let network = build(|_| ()).unwrap();
    assert_eq!(network.ports[0].instrument, network.ports[1].instrument);
}

#[test]
fn every_fault_is_reported_in_one_run() {
    let found = paths(|network| {
        network.ports[0].nic = network.uplink.nic.clone();
        network.ports[0].instrument = network.ports[0].address.addr();
        network.ports[1].name = network.ports[0].name.clone();
        network.ports[1].address = "10.9.0.77/16".parse().unwrap();
        network.endpoints[0].host = Host::Ip("2001:db8::1".parse().unwrap());
        network.endpoints[0].port = 0;
    });
    assert_eq!(
        found,
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
        let found = paths(|network| network.ports[0].instrument = wrong.parse().unwrap());
        assert_eq!(found, ["ports.port1.instrument"], "{wrong}");
    }
}

#[test]
fn the_message_says_what_to_write_instead() {
    let found = faults(|network| network.ports[0].instrument = "192.168.2.50".parse().unwrap());
    assert_eq!(
        found.to_string(),
        "ports.port1.instrument: found 192.168.2.50, expected a host's address in 192.168.1.0/24 that is not 192.168.1.1"
    );
}
