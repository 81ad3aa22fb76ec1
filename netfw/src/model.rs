//! What a network is to netfw: one uplink, instrument ports, and the endpoints traffic may leave to.
//!
//! Invariant: a value of these types is valid by itself (a newtype can only hold what its rule allows), and a
//! [`Network`] made by [`Network::new`] is valid as a whole: names, NICs and PCI paths are used once, the
//! instrument lies inside its port's prefix and is not the gateway, no port's prefix overlaps the static uplink.
//! Two ports *may* use the same prefix and the same instrument address: each port is its own namespace.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::Ipv4Net;

/// The name of a port: 1–11 of `a-z`, `0-9`, `-`, starting with a letter.
///
/// Eleven, because links are named after it with a prefix of up to four bytes, and the kernel's `IFNAMSIZ` is 16
/// with the terminator (`include/uapi/linux/if.h`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortName(String);

/// An Ethernet address of one station: neither multicast nor all zero (IEEE 802-2014 §8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

/// A PCI function `dddd:bb:dd.f` in hexadecimal, as the kernel prints it in `/sys/bus/pci/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciPath(String);

/// How a network card is recognised; never by probe order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nic {
    /// By where it is soldered: written `pci:0000:00:03.0`.
    Pci(PciPath),
    /// By its permanent Ethernet address: written `mac:52:54:00:12:34:56`.
    Mac(Mac),
}

/// A transport protocol netfw can open a port for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

/// A service the box itself offers to the instrument at a port's gateway address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// What it is, for rule comments and socket names, e.g. `ingest`.
    pub name: &'static str,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port number, never 0.
    pub port: u16,
}

/// The host of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name, resolved on the box.
    Name(String),
}

/// One destination beyond the uplink that the box itself may talk to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What it is, for rule comments, e.g. `centre`.
    pub name: String,
    /// Its host.
    pub host: Host,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port number, never 0.
    pub port: u16,
}

/// How the uplink gets its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// From the hospital's DHCP server, by a client that netfw does not run.
    Dhcp,
    /// Configured.
    Static {
        /// The box's address and the prefix length of its network.
        address: Ipv4Net,
        /// The default router, if there is one.
        gateway: Option<Ipv4Addr>,
    },
}

/// The one link into the hospital's network. It stays in the root namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Its card.
    pub nic: Nic,
    /// Its addressing.
    pub addressing: Addressing,
    /// Name servers; each is also an allowed endpoint on port 53.
    pub dns: Vec<Ipv4Addr>,
}

/// One instrument's port. It is moved into a namespace of its own, named [`Port::name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, and its namespace's.
    pub name: PortName,
    /// Its card.
    pub nic: Nic,
    /// The box's address on this port (the instrument's gateway) and the prefix length.
    pub address: Ipv4Net,
    /// The instrument's one address: fixed, or handed out as the only lease.
    pub instrument: Ipv4Addr,
    /// Whether the box answers DHCP here with that one lease.
    pub dhcp: bool,
    /// The instrument's Ethernet address, when it is pinned.
    pub mac: Option<Mac>,
    /// What the box offers here besides DHCP.
    pub services: Vec<Service>,
}

/// The whole description, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The uplink.
    pub uplink: Uplink,
    /// The ports, in the order they were described.
    pub ports: Vec<Port>,
    /// Where the box may connect to through the uplink.
    pub endpoints: Vec<Endpoint>,
}

/// Why a text is not a value of one of the newtypes here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found \"{found}\", expected {expected}")]
pub struct Invalid {
    /// What stood there.
    pub found: String,
    /// What would have been right, in words.
    pub expected: &'static str,
}

impl Invalid {
    fn new(found: &str, expected: &'static str) -> Self {
        Self {
            found: found.to_owned(),
            expected,
        }
    }
}

impl PortName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PortName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=11).contains(&text.len());
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let clean = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if fits && starts && clean {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                text,
                "1 to 11 of a-z, 0-9 and -, starting with a letter",
            ))
        }
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mac {
    /// The six bytes in the order they go over the wire.
    #[must_use]
    pub fn bytes(&self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                text,
                "six hexadecimal bytes of one station, such as 52:54:00:12:34:56",
            )
        };
        let mut bytes = [0_u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        let one_station = bytes[0] & 1 == 0 && bytes != [0; 6];
        if parts.next().is_none() && one_station {
            Ok(Self(bytes))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl PciPath {
    /// The path as the kernel prints it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PciPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let shape = "hhhh:hh:hh.o";
        let fits = text.len() == shape.len()
            && text.chars().zip(shape.chars()).all(|(c, s)| match s {
                'h' => c.is_ascii_digit() || ('a'..='f').contains(&c),
                'o' => ('0'..='7').contains(&c),
                _ => c == s,
            });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                text,
                "a PCI function in lower case, such as 0000:00:03.0",
            ))
        }
    }
}

impl FromStr for Nic {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = text.strip_prefix("pci:") {
            path.parse().map(Self::Pci)
        } else if let Some(mac) = text.strip_prefix("mac:") {
            mac.parse().map(Self::Mac)
        } else {
            Err(Invalid::new(
                text,
                "pci: and a PCI function, or mac: and an Ethernet address",
            ))
        }
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(path) => write!(f, "pci:{}", path.as_str()),
            Self::Mac(mac) => write!(f, "mac:{mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_name_is_a_short_label() {
        assert!("port1".parse::<PortName>().is_ok());
        for wrong in ["", "1port", "Port", "a-name-too-long", "p_1"] {
            assert!(wrong.parse::<PortName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mac_is_one_station() {
        assert_eq!(
            "52:54:00:12:34:56".parse::<Mac>().unwrap().to_string(),
            "52:54:00:12:34:56"
        );
        for wrong in [
            "",
            "52:54:00:12:34",
            "53:54:00:12:34:56",
            "00:00:00:00:00:00",
            "52:54:00:12:34:56:78",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_nic_says_how_it_is_recognised() {
        for text in ["pci:0000:00:03.0", "mac:52:54:00:12:34:56"] {
            assert_eq!(text.parse::<Nic>().unwrap().to_string(), text);
        }
        assert!("eth0".parse::<Nic>().is_err());
        assert!("pci:0:3.0".parse::<Nic>().is_err());
    }
}
