//! A host and one of its ports, as the authority of a URL writes them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netfw::model::Host;

/// Where a connection goes: `centre.example:443`, `10.9.0.10:8443`, `[2001:db8::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host; names are in lower case.
    pub host: Host,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Target {
    /// Reads `HOST:PORT`, or `HOST` alone where there is a `default` port (RFC 3986 §3.2 without user information;
    /// names by RFC 1123 §2.1).
    #[must_use]
    pub fn parse(text: &str, default: Option<u16>) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.contains(']') => (host, port_number(port)?),
            _ => (text, default?),
        };
        Some(Self {
            host: parse_host(host)?,
            port,
        })
    }

    /// The host as it stands in front of the port.
    #[must_use]
    pub fn host_text(&self) -> String {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Ip(IpAddr::V4(address)) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host_text(), self.port)
    }
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Ip(address.into()));
    }
    if text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Some(Host::Ip(text.parse::<Ipv4Addr>().ok()?.into()));
    }
    is_name(text).then(|| Host::Name(text.to_ascii_lowercase()))
}

/// RFC 1123 §2.1: labels of letters, digits and hyphens, neither first nor last a hyphen; 253 in all.
pub(super) fn is_name(text: &str) -> bool {
    let label = |l: &str| {
        let clean = l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (1..=63).contains(&l.len()) && clean && !l.starts_with('-') && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["centre.example:443", "10.9.0.10:8443", "[2001:db8::1]:443", "a:1"] {
            assert_eq!(Target::parse(text, None).unwrap().to_string(), text);
        }
        assert_eq!(
            Target::parse("Centre.Example", Some(443)).unwrap().to_string(),
            "centre.example:443"
        );
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "", ":1", "a", "a:", "a:0", "a:65536", "a:+1", "a b:1", "-a:1", "1.2.3:1", "[::1:1", "[::1]",
            "user@a:1", "a..b:1", "ä:1", "a\r\nb:1",
        ] {
            assert_eq!(Target::parse(text, None), None, "{text:?}");
        }
    }
}
