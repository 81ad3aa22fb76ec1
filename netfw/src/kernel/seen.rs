//! What the kernel has, as values: what [`super::observe`] finds and [`super::diff`] compares with the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::model::{Nic, PciPath};

/// A namespace of the machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The one with the uplink.
    Root,
    /// A port's, by the port's name.
    Port(String),
}

/// Everything a plan is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The root namespace, those of the plan that are there, and those that carry our table without being planned.
    pub places: BTreeMap<Place, SeenPlace>,
    /// Those that could not be looked into, and why. Nothing is changed in them.
    pub blind: BTreeMap<Place, String>,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeenPlace {
    /// Our tables (family `inet`) by name: their chains and rules, as [`crate::ruleset::Table::summary`] writes them.
    pub tables: BTreeMap<String, Vec<String>>,
    /// The values of those settings of the plan that are there, by path.
    pub sysctls: BTreeMap<String, String>,
    /// Whether this kernel knows IPv6 here; where it does not, there is nothing to switch off.
    pub ipv6: bool,
    /// Its links.
    pub links: Vec<Link>,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it was called before it was brought into its place, if it was.
    pub alias: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Its Ethernet address: the card's permanent one, or the present one of a card that has none.
    #[serde(serialize_with = "station")]
    pub mac: Vec<u8>,
    /// The PCI function it belongs to, directly or through a virtio device.
    #[serde(serialize_with = "pci")]
    pub pci: Option<PciPath>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable with something at its other end is plugged in.
    pub carrier: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// The largest MTU its driver can do, in bytes.
    pub largest_mtu: u32,
    /// Its addresses, but for the link-local ones the kernel makes by itself (RFC 4291 §2.5.6).
    pub addresses: Vec<Address>,
    /// Default routes through it.
    pub gateways: Vec<Gateway>,
    /// Pinned neighbours.
    pub neighbours: Vec<Neighbour>,
}

/// What kind of link it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A network card, or one end of the virtual cable that stands in for one.
    Card,
    /// One VLAN (IEEE 802.1Q) of the link with this index.
    Vlan {
        /// Its number.
        id: u16,
        /// The index of the link below.
        below: u32,
    },
    /// Anything else, such as loopback.
    Other,
}

/// Who an address or a route is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// netfw.
    Us,
    /// The network: a DHCP client or a router advertisement.
    Learned,
    /// Somebody by hand.
    Other,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address, and the length of its network's prefix.
    pub network: IpNet,
    /// Who it is from.
    pub origin: Origin,
    /// Whether it goes with another address of the same network, which was there before it.
    pub secondary: bool,
}

/// A default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// The router.
    pub router: IpAddr,
    /// Who it is from.
    pub origin: Origin,
}

/// A neighbour whose Ethernet address is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    #[serde(serialize_with = "station")]
    pub mac: Vec<u8>,
}

impl Seen {
    /// The namespace, where it is there.
    #[must_use]
    pub fn place(&self, place: &Place) -> Option<&SeenPlace> {
        self.places.get(place)
    }

    /// The ports' namespaces.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&Place, &SeenPlace)> {
        self.places.iter().filter(|(place, _)| **place != Place::Root)
    }

    /// Where the card `nic` is.
    #[must_use]
    pub fn find(&self, nic: &Nic) -> Option<(&Place, &Link)> {
        self.places
            .iter()
            .flat_map(|(place, seen)| seen.links.iter().map(move |link| (place, link)))
            .find(|(_, link)| link.is(nic))
    }
}

impl SeenPlace {
    /// The link called `name`.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Link {
    /// Whether this is the card `nic`.
    #[must_use]
    pub fn is(&self, nic: &Nic) -> bool {
        self.kind == Kind::Card
            && match nic {
                Nic::Pci(path) => self.pci.as_ref() == Some(path),
                Nic::Mac(mac) => self.mac == mac.bytes(),
            }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Port(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An Ethernet address as it is written.
fn station<S: Serializer>(mac: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let parts: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    serializer.serialize_str(&parts.join(":"))
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn pci<S: Serializer>(path: &Option<PciPath>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(PciPath::as_str).serialize(serializer)
}
