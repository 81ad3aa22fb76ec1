//! How a network card is recognised: by where it is or by what it is, never by the order it was found in.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

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
