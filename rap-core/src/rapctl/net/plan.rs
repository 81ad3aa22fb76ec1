//! `rapctl net plan`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use netfw::model::{Addressing, Host, Ipv6, Network, Port};
use netfw::plan::NetPlan;
use netfw::ruleset::Table;
use serde_json::{Value, json};

use crate::site::Site;

use super::print;

pub(super) fn run(file: &Path, as_json: bool, as_nft: bool) -> ExitCode {
    let site = match Site::load(file) {
        Ok(site) => site,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    let network = match site.network() {
        Ok(network) => network,
        Err(faults) => {
            eprintln!("rapctl: {}: {faults}", file.display());
            return ExitCode::from(2);
        }
    };
    let text = if as_json {
        format!("{}\n", json(&site, &network))
    } else if as_nft {
        nft(&network)
    } else {
        render(&site, &network)
    };
    print(&text);
    ExitCode::SUCCESS
}

/// Each namespace's tables, the port's own and the one of sessions.
fn tables(network: &Network) -> Vec<(String, Vec<Table>)> {
    let plan = NetPlan::new(network);
    let mut all = vec![(plan.root.name.clone(), vec![plan.root.table])];
    all.extend(plan.ports.into_iter().map(|port| (port.name, vec![port.table])));
    let Some(sessions) = plan.sessions else {
        return all;
    };
    for (name, tables) in &mut all {
        let port = sessions.ports.iter().find(|port| port.port.as_str() == name);
        tables.extend(port.map(|port| port.table.clone()));
        if name == "root" {
            tables.push(sessions.root_table.clone());
        }
    }
    all
}

/// In nft's language; a namespace begins with a comment that names it.
pub(super) fn nft(network: &Network) -> String {
    let mut text = String::new();
    for (name, tables) in tables(network) {
        let _ = writeln!(text, "# namespace {name}");
        for table in tables {
            let _ = writeln!(text, "{}", table.text());
        }
    }
    text
}

pub(super) fn json(site: &Site, network: &Network) -> Value {
    let namespaces: serde_json::Map<_, _> = tables(network)
        .into_iter()
        .map(|(name, tables)| {
            let tables: Vec<_> = tables.iter().map(Table::json).collect();
            (name, json!({ "transactions": tables }))
        })
        .collect();
    let ports: Vec<_> = network
        .ports
        .iter()
        .map(|port| port_json(port, network))
        .collect();
    json!({
        "name": site.name,
        "uplink": {
            "nic": network.uplink.nic.to_string(),
            "vlan": network.uplink.vlan.map(|vlan| vlan.number()),
            "mtu": network.uplink.mtu.map(|mtu| mtu.bytes()),
            "ipv4": ipv4(network),
            "ipv6": ipv6(network),
            "dns": network.uplink.dns,
            "search": network.uplink.search.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "endpoints": network.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "sessions": network.sessions,
        "ports": ports,
        "namespaces": namespaces,
    })
}

fn port_json(port: &Port, network: &Network) -> Value {
    json!({
        "name": port.name.to_string(),
        "nic": port.nic.to_string(),
        "address": port.address,
        "instrument": port.instrument,
        "mac": port.mac.map(|mac| mac.to_string()),
        "dhcp": port.dhcp,
        "services": services(port),
        "remote": port.remote.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "service-address": network.service_address(&port.name),
        "limits": {
            "connections": port.limits.connections,
            "connections-per-second": port.limits.connections_per_second,
            "packets-per-second": port.limits.packets_per_second,
        },
    })
}

/// For a person.
pub(super) fn render(site: &Site, network: &Network) -> String {
    let mut text = format!("{}\n\n", site.name);
    // Writing to a String cannot fail.
    let _ = write_uplink(network, &mut text);
    for port in &network.ports {
        let _ = write_port(port, network, &mut text);
    }
    text.push_str("\nEverything else is dropped. The rules: rapctl net plan --nft\n");
    text
}

fn write_uplink(network: &Network, text: &mut String) -> std::fmt::Result {
    let uplink = &network.uplink;
    write!(text, "uplink  {}", uplink.nic)?;
    if let Some(vlan) = uplink.vlan {
        write!(text, ", VLAN {vlan}")?;
    }
    if let Some(mtu) = uplink.mtu {
        write!(text, ", MTU {mtu}")?;
    }
    writeln!(text, "\n  IPv4 {}\n  IPv6 {}", ipv4(network), ipv6(network))?;
    let dns: Vec<_> = uplink.dns.iter().map(ToString::to_string).collect();
    if !dns.is_empty() {
        writeln!(text, "  may ask {}", dns.join(", "))?;
    }
    let endpoints: Vec<_> = network.endpoints.iter().map(endpoint).collect();
    writeln!(text, "  may reach {}", endpoints.join(", "))?;
    if let Some(prefix) = network.sessions {
        writeln!(text, "  sessions from {prefix}, none open by itself")?;
    }
    Ok(())
}

fn write_port(port: &Port, network: &Network, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n{}  {}\n  the box {}", port.name, port.nic, port.address)?;
    let mac = port.mac.map_or_else(String::new, |mac| format!(", only {mac}"));
    writeln!(text, "  the instrument {}{mac}", port.instrument)?;
    writeln!(text, "  may use {}", services(port).join(", "))?;
    let limits = port.limits;
    writeln!(
        text,
        "  at most {} connections, {} new ones and {} packets a second",
        limits.connections, limits.connections_per_second, limits.packets_per_second
    )?;
    if let Some(address) = network
        .service_address(&port.name)
        .filter(|_| !port.remote.is_empty())
    {
        let remote: Vec<_> = port.remote.iter().map(ToString::to_string).collect();
        writeln!(text, "  sessions to {} at {address}", remote.join(", "))?;
    }
    Ok(())
}

fn services(port: &Port) -> Vec<String> {
    let dhcp = port.dhcp.then(|| "DHCP".to_owned());
    let own = port.services.iter();
    let own = own.map(|service| format!("{} {}/{}", service.name, service.protocol, service.port));
    dhcp.into_iter().chain(own).collect()
}

fn ipv4(network: &Network) -> String {
    match network.uplink.addressing {
        Addressing::Dhcp => "by DHCP".to_owned(),
        Addressing::Static {
            address,
            gateway: None,
        } => address.to_string(),
        Addressing::Static {
            address,
            gateway: Some(gateway),
        } => format!("{address} via {gateway}"),
    }
}

fn ipv6(network: &Network) -> String {
    match network.uplink.ipv6 {
        Ipv6::Off => "off".to_owned(),
        Ipv6::Slaac => "by router advertisements".to_owned(),
        Ipv6::Static {
            address,
            gateway: None,
        } => address.to_string(),
        Ipv6::Static {
            address,
            gateway: Some(gateway),
        } => format!("{address} via {gateway}"),
    }
}

fn endpoint(endpoint: &netfw::model::Endpoint) -> String {
    let host = match &endpoint.host {
        Host::Ip(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    };
    format!("{} {host} {}/{}", endpoint.name, endpoint.protocol, endpoint.port)
}
