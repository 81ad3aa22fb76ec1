//! Looking: everything in the kernel that a plan speaks of, and the namespaces that were ours before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::diff::sysctls_of;
use super::netlink::{Family, Socket};
use super::seen::{Address, Gateway, Kind, Link, Neighbour, Origin, Place, Seen, SeenPlace};
use super::{Error, Machine, parallel, tables};
use crate::model::{PciPath, PortName};
use crate::netns::{self, Namespace};
use crate::plan::{NetPlan, Sysctl};
use crate::ruleset;

/// Marks addresses of netfw's own (`IFA_PROTO`, kept by the kernel since Linux 5.18 and given no meaning by it), so that
/// they can be told from those of a DHCP client. No other program is known to use this number.
pub(super) const OURS: u8 = 0x6e;

/// Everything on `machine` that `plan` speaks of, and the namespaces that carry our table without being planned.
///
/// # Errors
/// When the root namespace cannot be looked into. Other namespaces that cannot are listed as blind.
pub fn observe(machine: &Machine, plan: &NetPlan) -> Result<Seen, Error> {
    let planned = plan.ports.iter().map(|port| Place::Port(port.name.clone()));
    let planned = planned.filter(|place| machine.place(place).exists());
    let others = others(machine, plan).into_iter().filter_map(|name| {
        let place = Place::Port(name);
        match marked(&machine.place(&place)) {
            Ok(marked) => marked.then_some(place),
            Err(error) => {
                log::debug!("cannot tell whether {place} is ours: {error}");
                None
            }
        }
    });
    let places: Vec<_> = [Place::Root].into_iter().chain(planned).chain(others).collect();
    let mut seen = Seen::default();
    let looks = parallel::map(&places, |place| look(machine, plan, place));
    for (place, looked) in places.into_iter().zip(looks) {
        match looked {
            Err(error) if place == Place::Root => return Err(error),
            looked => seen.take(place, looked),
        }
    }
    Ok(seen)
}

impl Seen {
    fn take(&mut self, place: Place, looked: Result<SeenPlace, Error>) {
        match looked {
            Ok(found) => drop(self.places.insert(place, found)),
            Err(error) => drop(self.blind.insert(place, error.chain())),
        }
    }
}

/// Names of namespaces that could be ports of ours but are not planned, in order.
fn others(machine: &Machine, plan: &NetPlan) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(netns::DIRECTORY)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| machine.root.name() != name)
        .filter_map(|name| name.strip_prefix(&machine.prefix).map(str::to_owned))
        .filter(|name| name.parse::<PortName>().is_ok())
        .filter(|name| plan.ports.iter().all(|port| port.name != *name))
        .filter(|name| machine.port(name).exists())
        .collect();
    names.sort_unstable();
    names
}

fn marked(namespace: &Namespace) -> Result<bool, Error> {
    let mut socket = Socket::open(namespace, Family::Netfilter)?;
    let tables = tables::tables(&mut socket).map_err(Error::read("tables", namespace))?;
    let marker = |line: &String| line.starts_with("chain plan_");
    Ok(tables
        .get(ruleset::TABLE)
        .is_some_and(|lines| lines.iter().any(marker)))
}

fn look(machine: &Machine, plan: &NetPlan, place: &Place) -> Result<SeenPlace, Error> {
    let namespace = &machine.place(place);
    let mut netfilter = Socket::open(namespace, Family::Netfilter)?;
    let mut route = Socket::open(namespace, Family::Route)?;
    let (sysctls, ipv6) = namespace.run(|| settings(&sysctls_of(plan, place)))?;
    Ok(SeenPlace {
        tables: tables::tables(&mut netfilter).map_err(Error::read("tables", namespace))?,
        sysctls,
        ipv6,
        links: links(&mut route).map_err(Error::read("links", namespace))?,
    })
}

/// The kernel shows each thread the `/proc/sys/net` of its namespace.
fn settings(planned: &[&Sysctl]) -> (BTreeMap<String, String>, bool) {
    let root = Path::new("/proc/sys");
    let values = planned.iter().filter_map(|setting| {
        let value = fs::read_to_string(root.join(&setting.path)).ok()?;
        Some((setting.path.clone(), value.trim().to_owned()))
    });
    (values.collect(), root.join("net/ipv6").exists())
}

/// All links in the socket's namespace, with everything on them.
pub(super) fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    for message in socket.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            links.push(link(&message));
        }
    }
    for message in socket.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(found) = address(&message)
            && let Some(link) = at(&mut links, message.header.index)
        {
            link.addresses.push(found);
        }
    }
    for message in socket.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        if let RouteNetlinkMessage::NewRoute(message) = message
            && let Some((index, found)) = gateway(&message)
            && let Some(link) = at(&mut links, index)
        {
            link.gateways.push(found);
        }
    }
    for message in socket.dump(&RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))? {
        if let RouteNetlinkMessage::NewNeighbour(message) = message
            && let Some(found) = neighbour(&message)
            && let Some(link) = at(&mut links, message.header.ifindex)
        {
            link.neighbours.push(found);
        }
    }
    Ok(links)
}

fn at(links: &mut [Link], index: u32) -> Option<&mut Link> {
    links.iter_mut().find(|link| link.index == index)
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        alias: None,
        kind: Kind::Other,
        mac: Vec::new(),
        pci: None,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        mtu: 0,
        largest_mtu: u32::MAX,
        addresses: Vec::new(),
        gateways: Vec::new(),
        neighbours: Vec::new(),
    };
    let (mut permanent, mut bus, mut device, mut below) = (None, None, None, 0);
    let mut information: &[LinkInfo] = &[];
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::PermAddress(mac) => permanent = Some(mac.clone()),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::ParentDevName(name) => device = Some(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            // Zero is how the kernel writes that there is no limit.
            LinkAttribute::MaxMtu(mtu) if *mtu > 0 => link.largest_mtu = *mtu,
            LinkAttribute::Link(index) => below = *index,
            LinkAttribute::LinkInfo(found) => information = found,
            _ => {}
        }
    }
    link.mac = permanent.unwrap_or(link.mac);
    link.pci = bus.zip(device).and_then(|(bus, device)| pci_path(bus, device));
    link.kind = kind(message.header.link_layer_type, information, below);
    link
}

/// Hardware has no kind in the kernel's words; virtual links have one.
fn kind(layer: LinkLayerType, information: &[LinkInfo], below: u32) -> Kind {
    let kind = information.iter().find_map(|part| match part {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    let id = information.iter().find_map(|part| match part {
        LinkInfo::Data(InfoData::Vlan(parts)) => parts.iter().find_map(|part| match part {
            InfoVlan::Id(id) => Some(*id),
            _ => None,
        }),
        _ => None,
    });
    match (layer, kind, id) {
        (LinkLayerType::Ether, None | Some(InfoKind::Veth | InfoKind::Tun), _) => Kind::Card,
        (_, Some(InfoKind::Vlan), Some(id)) => Kind::Vlan { id, below },
        _ => Kind::Other,
    }
}

/// The innermost PCI function a device hangs on. The tree of busses is the same in every namespace, which
/// `/sys/class/net` is not.
fn pci_path(bus: &str, device: &str) -> Option<PciPath> {
    let place = fs::canonicalize(Path::new("/sys/bus").join(bus).join("devices").join(device)).ok()?;
    place
        .components()
        .rev()
        .find_map(|part| part.as_os_str().to_str()?.parse().ok())
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer, mut ours) = (None, None, false);
    // The same bit means something else in IPv6.
    let (address_is_v4, mut secondary) = (message.header.family == AddressFamily::Inet, false);
    let mut permanent = message.header.flags.contains(AddressHeaderFlags::Permanent);
    for attribute in &message.attributes {
        match attribute {
            // IPv6 has no `IFA_LOCAL` on links of this kind; on IPv4 `IFA_ADDRESS` may be the other end's.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(flags) => {
                permanent = flags.contains(AddressFlags::Permanent);
                secondary = address_is_v4 && flags.contains(AddressFlags::Secondary);
            }
            AddressAttribute::Protocol(AddressProtocol::Other(OURS)) => ours = true,
            _ => {}
        }
    }
    let address = local.or(peer)?;
    if address.is_ipv6() && message.header.scope == AddressScope::Link {
        return None;
    }
    Some(Address {
        network: IpNet::new(address, message.header.prefix_len).ok()?,
        origin: match (ours, permanent) {
            (true, _) => Origin::Us,
            (false, false) => Origin::Learned,
            (false, true) => Origin::Other,
        },
        secondary,
    })
}

/// The link a default route leads through, and the router.
fn gateway(message: &RouteMessage) -> Option<(u32, Gateway)> {
    let (mut index, mut router) = (None, None);
    let mut table = u32::from(message.header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => router = Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => router = Some(IpAddr::V6(*address)),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let default = message.header.destination_prefix_length == 0
        && message.header.kind == RouteType::Unicast
        && table == u32::from(RouteHeader::RT_TABLE_MAIN);
    let origin = match message.header.protocol {
        RouteProtocol::Static => Origin::Us,
        RouteProtocol::Dhcp | RouteProtocol::Ra => Origin::Learned,
        _ => Origin::Other,
    };
    let router = router.filter(|_| default)?;
    Some((index?, Gateway { router, origin }))
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let bridged = message.header.family == AddressFamily::Bridge;
    if message.header.state != NeighbourState::Permanent || bridged {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some(IpAddr::V4(*found));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                address = Some(IpAddr::V6(*found));
            }
            NeighbourAttribute::LinkLayerAddress(found) => mac = Some(found.to_vec()),
            _ => {}
        }
    }
    Some(Neighbour {
        address: address?,
        mac: mac?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_on_a_bus_is_found_at_its_pci_function() {
        // Whatever PCI devices this machine has, the virtio devices below them among them.
        let buses = ["pci", "virtio"].map(|bus| (bus, Path::new("/sys/bus").join(bus).join("devices")));
        for (bus, devices) in buses {
            for device in fs::read_dir(devices).into_iter().flatten() {
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

    #[test]
    fn cards_and_what_stands_in_for_them_are_told_from_virtual_links() {
        let ether = LinkLayerType::Ether;
        assert_eq!(kind(ether, &[], 0), Kind::Card);
        assert_eq!(kind(ether, &[LinkInfo::Kind(InfoKind::Veth)], 0), Kind::Card);
        assert_eq!(kind(ether, &[LinkInfo::Kind(InfoKind::Dummy)], 0), Kind::Other);
        assert_eq!(kind(LinkLayerType::Loopback, &[], 0), Kind::Other);
        let vlan = [
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(7)])),
        ];
        assert_eq!(kind(ether, &vlan, 3), Kind::Vlan { id: 7, below: 3 });
    }
}
