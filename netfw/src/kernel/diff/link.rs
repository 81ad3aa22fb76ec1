//! One link to its plan: its card to its place, then what differs.
//!
//! The kernel's rules behind the order: a link that is on cannot be renamed; one that is switched off forgets its
//! routes, its neighbours and its IPv6 addresses; one that changes its namespace forgets everything but its MTU.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::seen::{Address, Kind, Link, Origin, Place, SeenPlace};
use super::super::step::Action;
use super::Steps;
use crate::model::Mtu;
use crate::plan::{LinkPlan, TRUNK, Trunk};

/// The MTU of Ethernet (IEEE 802.3 §3.2.7), in bytes.
const ETHERNET_MTU: u32 = 1500;

impl<'a> Steps<'a> {
    /// The card to its place, and the link to its plan.
    pub(super) fn settle(&mut self, place: &Place, plan: &LinkPlan) {
        let name = plan.trunk.as_ref().map_or(plan.name.as_str(), |_| TRUNK);
        let Some((card, found)) = self.fetch(place, plan, name) else {
            return;
        };
        match &plan.trunk {
            None => self.arrange(place, plan, &card, found),
            Some(trunk) => self.settle_vlan(place, plan, trunk, &card, found),
        }
    }

    /// Brings the card here under `name`. Returns it as it is then, and what is known of the settings under that name.
    fn fetch(&mut self, place: &Place, plan: &LinkPlan, name: &str) -> Option<(Link, Option<&'a SeenPlace>)> {
        let here = self.seen.place(place);
        let own = here.and_then(|found| found.links.iter().find(|link| link.is(&plan.nic)));
        if let Some(link) = own.filter(|link| link.name == name) {
            return Some((link.clone(), here));
        }
        let elsewhere = || self.seen.find(&plan.nic);
        let (from, link) = own.map(|link| (place, link)).or_else(elsewhere)?;
        let mut link = link.clone();
        // One that is in another port is switched off when it is sent away from there.
        if link.up && (from == place || *from == Place::Root) {
            let link = link.name.clone();
            self.push(from, Action::SwitchOff { link });
        }
        forget(&mut link, from == place);
        let (nic, name) = (plan.nic.clone(), name.to_owned());
        self.push(
            place,
            Action::Bring {
                nic,
                name: name.clone(),
            },
        );
        link.name = name;
        Some((link, None))
    }

    /// The card below a VLAN has nothing but settings; the VLAN has the rest.
    fn settle_vlan(
        &mut self,
        place: &Place,
        plan: &LinkPlan,
        trunk: &Trunk,
        card: &Link,
        found: Option<&'a SeenPlace>,
    ) {
        self.set(place, Some(&card.name), &trunk.sysctls, found);
        self.set_mtu(place, plan.mtu, card);
        for address in &card.addresses {
            let (link, address) = (card.name.clone(), address.network);
            self.push(place, Action::RemoveAddress { link, address });
        }
        if !card.up {
            let link = card.name.clone();
            self.push(place, Action::SwitchOn { link });
        }
        let id = trunk.vlan.number();
        let link = plan.name.clone();
        let here = self.seen.place(place);
        // One on another card is gone already.
        match here.and_then(|here| here.link(&plan.name)) {
            Some(old)
                if old.kind
                    == (Kind::Vlan {
                        id,
                        below: card.index,
                    }) =>
            {
                return self.arrange(place, plan, old, here);
            }
            Some(old) if matches!(old.kind, Kind::Vlan { below, .. } if below == card.index) => {
                self.push(place, Action::Delete { link: link.clone() });
            }
            _ => {}
        }
        let below = card.name.clone();
        self.push(
            place,
            Action::MakeVlan {
                link: link.clone(),
                below,
                id,
            },
        );
        let mut fresh = card.clone();
        forget(&mut fresh, false);
        fresh.name = link;
        self.arrange(place, plan, &fresh, None);
    }

    /// What differs on the link itself. Settings come before it is on, what needs it to be on after.
    fn arrange(&mut self, place: &Place, plan: &LinkPlan, link: &Link, found: Option<&'a SeenPlace>) {
        let name = || link.name.clone();
        self.set(place, Some(&link.name), &plan.sysctls, found);
        self.set_mtu(place, plan.mtu, link);
        let wanted = Wanted::of(plan);
        let mut link = link.clone();
        self.remove_addresses(place, &wanted, &mut link);
        let missing = |address: &&IpNet| link.addresses.iter().all(|found| found.network != **address);
        let missing = wanted.addresses.iter().filter(missing).copied();
        let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = missing.partition(|address| address.addr().is_ipv4());
        self.add_addresses(place, &link, v4);
        if !link.up {
            self.push(place, Action::SwitchOn { link: name() });
        }
        self.add_addresses(place, &link, v6);
        self.arrange_gateways(place, &wanted, &link);
        self.arrange_neighbours(place, plan, &link);
    }

    /// Removes addresses that are not wanted. With the first address of a network its others go, and with the last
    /// one of IPv4 all routes: what went that way is not on `link` any more.
    fn remove_addresses(&mut self, place: &Place, wanted: &Wanted, link: &mut Link) {
        let unwelcome = |found: &Address| wanted.unwelcome(found.network, found.origin);
        for found in link.addresses.iter().filter(|found| unwelcome(found)) {
            let (link, address) = (link.name.clone(), found.network);
            self.push(place, Action::RemoveAddress { link, address });
        }
        let v4 = |found: &Address| found.network.addr().is_ipv4();
        if !link.addresses.iter().any(|found| v4(found) && unwelcome(found)) {
            return;
        }
        link.addresses
            .retain(|found| !(unwelcome(found) || v4(found) && found.secondary));
        if !link.addresses.iter().any(v4) {
            link.gateways.retain(|gateway| gateway.router.is_ipv6());
        }
    }

    fn add_addresses(&mut self, place: &Place, link: &Link, addresses: Vec<IpNet>) {
        for address in addresses {
            let link = link.name.clone();
            self.push(place, Action::AddAddress { link, address });
        }
    }

    fn arrange_gateways(&mut self, place: &Place, wanted: &Wanted, link: &Link) {
        let name = || link.name.clone();
        for found in &link.gateways {
            let right = wanted.gateways.contains(&found.router);
            if !right && wanted.governs(found.router, found.origin) {
                let gateway = found.router;
                self.push(
                    place,
                    Action::RemoveGateway {
                        link: name(),
                        gateway,
                    },
                );
            }
        }
        for gateway in &wanted.gateways {
            if link.gateways.iter().all(|found| found.router != *gateway) {
                let gateway = *gateway;
                self.push(
                    place,
                    Action::AddGateway {
                        link: name(),
                        gateway,
                    },
                );
            }
        }
    }

    fn arrange_neighbours(&mut self, place: &Place, plan: &LinkPlan, link: &Link) {
        let name = || link.name.clone();
        let wanted = plan.neighbour.map(|(address, mac)| (IpAddr::V4(address), mac));
        for found in &link.neighbours {
            if wanted.is_none_or(|(address, _)| address != found.address) {
                let address = found.address;
                self.push(
                    place,
                    Action::Unpin {
                        link: name(),
                        address,
                    },
                );
            }
        }
        let Some((address, mac)) = wanted else { return };
        let pinned =
            |found: &super::super::seen::Neighbour| found.address == address && found.mac == mac.bytes();
        if !link.neighbours.iter().any(pinned) {
            self.push(
                place,
                Action::Pin {
                    link: name(),
                    address,
                    mac,
                },
            );
        }
    }

    pub(super) fn set_mtu(&mut self, place: &Place, planned: Option<Mtu>, link: &Link) {
        let mtu = planned.map_or(ETHERNET_MTU.min(link.largest_mtu), Mtu::bytes);
        if mtu != link.mtu {
            let link = link.name.clone();
            self.push(place, Action::SetMtu { link, mtu });
        }
    }
}

/// What a link that is switched off, and perhaps leaves its namespace, does not know any more.
fn forget(link: &mut Link, stays: bool) {
    link.up = false;
    link.gateways.clear();
    link.neighbours.clear();
    link.addresses
        .retain(|address| stays && address.network.addr().is_ipv4());
}

/// The addresses and routers a link is to have, by family: configured, or left to those who learn them.
struct Wanted {
    addresses: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    /// Whether we alone decide on IPv4, and on IPv6.
    alone: (bool, bool),
}

impl Wanted {
    fn of(plan: &LinkPlan) -> Self {
        let v6 = plan.ipv6;
        let v4 = plan.address.map(IpNet::V4);
        let v4_gateway = plan.gateway.map(IpAddr::V4);
        let v6_gateway = v6.and_then(|(_, gateway)| gateway).map(IpAddr::V6);
        Self {
            addresses: v4
                .into_iter()
                .chain(v6.map(|(address, _)| IpNet::V6(address)))
                .collect(),
            gateways: v4_gateway.into_iter().chain(v6_gateway).collect(),
            alone: (v4.is_some(), v6.is_some()),
        }
    }

    fn unwelcome(&self, address: IpNet, origin: Origin) -> bool {
        !self.addresses.contains(&address) && self.governs(address.addr(), origin)
    }

    /// Whether something of this family and origin is ours to remove. What others learn is theirs while they look
    /// after the family; what we put there before they did is not.
    fn governs(&self, address: IpAddr, origin: Origin) -> bool {
        let alone = if address.is_ipv4() {
            self.alone.0
        } else {
            self.alone.1
        };
        alone || origin == Origin::Us
    }
}
