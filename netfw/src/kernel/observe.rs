//! What the kernel has: links with what identifies their card, and their addresses, routes and neighbours.

use std::net::Ipv4Addr;
use std::path::Path;

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::model::{Nic, PciPath};

/// One link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address: the card's permanent one, or the present one of a card that has none.
    pub mac: Vec<u8>,
    /// The PCI function it belongs to, directly or through a virtio device.
    pub pci: Option<PciPath>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable with something at its other end is plugged in.
    pub carrier: bool,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Net>,
    /// Routers of default routes through it.
    pub gateways: Vec<Ipv4Addr>,
    /// Pinned neighbours.
    pub neighbours: Vec<(Ipv4Addr, Vec<u8>)>,
}

impl Link {
    /// Whether this is the card `nic`.
    #[must_use]
    pub fn is(&self, nic: &Nic) -> bool {
        match nic {
            Nic::Pci(path) => self.pci.as_ref() == Some(path),
            Nic::Mac(mac) => self.mac == mac.bytes(),
        }
    }
}

/// Everything in the namespace of `handle`.
pub(super) async fn links(handle: &Handle) -> Result<Vec<Link>, rtnetlink::Error> {
    let found: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let mut links: Vec<Link> = found.iter().map(link).collect();
    add_addresses(handle, &mut links).await?;
    add_gateways(handle, &mut links).await?;
    add_neighbours(handle, &mut links).await?;
    Ok(links)
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: Vec::new(),
        pci: None,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        addresses: Vec::new(),
        gateways: Vec::new(),
        neighbours: Vec::new(),
    };
    let (mut permanent, mut bus, mut device) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::PermAddress(mac) => permanent = Some(mac.clone()),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::ParentDevName(name) => device = Some(name),
            _ => {}
        }
    }
    link.mac = permanent.unwrap_or(link.mac);
    link.pci = bus.zip(device).and_then(|(bus, device)| pci_path(bus, device));
    link
}

/// The innermost PCI function a device hangs on. The tree of busses is the same in every namespace, which
/// `/sys/class/net` is not.
fn pci_path(bus: &str, device: &str) -> Option<PciPath> {
    let place = std::fs::canonicalize(Path::new("/sys/bus").join(bus).join("devices").join(device)).ok()?;
    place
        .components()
        .rev()
        .find_map(|part| part.as_os_str().to_str()?.parse().ok())
}

async fn add_addresses(handle: &Handle, links: &mut [Link]) -> Result<(), rtnetlink::Error> {
    let mut found = Box::pin(handle.address().get().execute());
    while let Some(message) = found.try_next().await? {
        if message.header.family != AddressFamily::Inet {
            continue;
        }
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
            _ => None,
        });
        let network = local.and_then(|address| Ipv4Net::new(address, message.header.prefix_len).ok());
        let link = links.iter_mut().find(|link| link.index == message.header.index);
        if let (Some(network), Some(link)) = (network, link) {
            link.addresses.push(network);
        }
    }
    Ok(())
}

async fn add_gateways(handle: &Handle, links: &mut [Link]) -> Result<(), rtnetlink::Error> {
    let mut found = Box::pin(
        handle
            .route()
            .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
            .execute(),
    );
    while let Some(message) = found.try_next().await? {
        let (index, gateway) = way_out(&message);
        if message.header.destination_prefix_length != 0 {
            continue;
        }
        let link = links.iter_mut().find(|link| Some(link.index) == index);
        if let (Some(gateway), Some(link)) = (gateway, link) {
            link.gateways.push(gateway);
        }
    }
    Ok(())
}

fn way_out(message: &RouteMessage) -> (Option<u32>, Option<Ipv4Addr>) {
    let (mut index, mut gateway) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(*address),
            _ => {}
        }
    }
    (index, gateway)
}

async fn add_neighbours(handle: &Handle, links: &mut [Link]) -> Result<(), rtnetlink::Error> {
    let mut found = Box::pin(
        handle
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Inet)
            .execute(),
    );
    while let Some(message) = found.try_next().await? {
        if message.header.state != NeighbourState::Permanent {
            continue;
        }
        let (mut address, mut station) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => address = Some(*found),
                NeighbourAttribute::LinkLayerAddress(found) => station = Some(found.to_vec()),
                _ => {}
            }
        }
        let link = links.iter_mut().find(|link| link.index == message.header.ifindex);
        if let (Some(address), Some(station), Some(link)) = (address, station, link) {
            link.neighbours.push((address, station));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_on_a_bus_is_found_at_its_pci_function() {
        // Whatever PCI devices this machine has, the virtio devices below them among them.
        let buses = ["pci", "virtio"].map(|bus| (bus, Path::new("/sys/bus").join(bus).join("devices")));
        for (bus, devices) in buses {
            for device in std::fs::read_dir(devices).into_iter().flatten() {
                let name = device.unwrap().file_name().into_string().unwrap();
                let path = pci_path(bus, &name);
                if bus == "pci" {
                    assert_eq!(path.unwrap().as_str(), name);
                } else if let Some(path) = path {
                    let below = Path::new("/sys/bus/pci/devices").join(path.as_str()).join(&name);
                    assert!(below.exists(), "{}", below.display());
                }
            }
        }
        assert_eq!(pci_path("pci", "../../../etc"), None);
        assert_eq!(pci_path("virtio", "none"), None);
    }
}
