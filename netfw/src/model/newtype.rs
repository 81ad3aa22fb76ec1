//! Small values that can only hold what their rule allows, so that nothing behind them checks again.

use std::fmt;
use std::str::FromStr;

/// The name of a port: 1–11 of `a-z`, `0-9`, `-`, starting with a letter, and not a name netfw or the kernel uses.
///
/// Eleven, because links are named after it with a prefix of up to four bytes, and the kernel's `IFNAMSIZ` is 16
/// with the terminator (`include/uapi/linux/if.h`). `all` and `default` are settings and not links in
/// `/proc/sys/net/ipv4/conf`; the others are links and namespaces of netfw.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortName(String);

/// Names a port cannot have.
const TAKEN: [&str; 8] = [
    "all", "default", "lo", "root", "session", "trunk", "tunnel", "uplink",
];

/// The number of a VLAN, 1–4094 (IEEE 802.1Q-2018 §9.6: 0 means no VLAN, 4095 is reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

/// The largest packet a link carries, in bytes, 1280–9216.
///
/// 1280 is the least IPv6 asks of a link (RFC 8200 §5), and DHCP servers and tunnels need no less; 9216 is what jumbo
/// frames of common switches carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mtu(u32);

/// A domain name: labels of 1–63 letters, digits and inner hyphens, 253 bytes in all (RFC 1123 §2.1, RFC 1035 §2.3.4).
/// Kept in lower case and without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

/// Why a value is not one of the newtypes of [`crate::model`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found \"{found}\", expected {expected}")]
pub struct Invalid {
    /// What stood there.
    pub found: String,
    /// What would have been right, in words.
    pub expected: &'static str,
}

impl Invalid {
    pub(super) fn new(found: impl fmt::Display, expected: &'static str) -> Self {
        Self {
            found: found.to_string(),
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
        if !(fits && starts && clean) {
            return Err(Invalid::new(
                text,
                "1 to 11 of a-z, 0-9 and -, starting with a letter",
            ));
        }
        if TAKEN.contains(&text) {
            return Err(Invalid::new(
                text,
                "a name that no link or setting of the box has already, such as port1",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VlanId {
    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = Invalid;

    fn try_from(number: u16) -> Result<Self, Invalid> {
        if (1..=4094).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid::new(number, "a VLAN's number from 1 to 4094"))
        }
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Mtu {
    /// The size in bytes, as netlink takes it.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Mtu {
    type Error = Invalid;

    fn try_from(bytes: u32) -> Result<Self, Invalid> {
        if (1280..=9216).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(Invalid::new(bytes, "an MTU from 1280 to 9216 bytes"))
        }
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Domain {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.len() <= 253 && name.split('.').all(is_label) {
            Ok(Self(name))
        } else {
            Err(Invalid::new(
                text,
                "a domain name of letters, digits, inner hyphens and dots, such as lab.hospital.example",
            ))
        }
    }
}

fn is_label(label: &str) -> bool {
    let clean = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (1..=63).contains(&label.len()) && clean && !label.starts_with('-') && !label.ends_with('-')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_name_is_a_short_label_nobody_else_has() {
        for right in ["port1", "p", "a-name-of11"] {
            assert_eq!(right.parse::<PortName>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "1port",
            "Port",
            "a-name-too-long",
            "p_1",
            "all",
            "lo",
            "uplink",
            "session",
        ] {
            assert!(wrong.parse::<PortName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_end_where_their_standards_say() {
        for (number, right) in [(0, false), (1, true), (4094, true), (4095, false)] {
            assert_eq!(VlanId::try_from(number).is_ok(), right, "VLAN {number}");
        }
        for (bytes, right) in [(1279, false), (1280, true), (9216, true), (9217, false)] {
            assert_eq!(Mtu::try_from(bytes).is_ok(), right, "MTU {bytes}");
        }
        assert_eq!(
            VlanId::try_from(4095).unwrap_err().to_string(),
            "found \"4095\", expected a VLAN's number from 1 to 4094"
        );
    }

    #[test]
    fn a_domain_is_dotted_labels_in_one_spelling() {
        assert_eq!(
            "Lab.Hospital.example.".parse::<Domain>().unwrap().as_str(),
            "lab.hospital.example"
        );
        let long = format!("{}.example", "a".repeat(64));
        for wrong in ["", ".", "a..b", "-a.b", "a-.b", "under_score.b", "a b", &long] {
            assert!(wrong.parse::<Domain>().is_err(), "{wrong}");
        }
    }
}
