//! `site.toml`: the one description of a box at its place, read by the builder on the desk and by the box.
//!
//! Invariants: a [`Site`] is valid as a whole; [`Site::parse`] reports *every* mistake of a file in one run.

mod audit;
mod bit_rate;
mod decode;
mod egress;
mod files;
mod mistake;
mod network;
mod read;
mod sessions;
mod target;
#[cfg(test)]
mod tests;
pub mod triggers;
pub mod updates;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnet::Ipv4Net;
use netfw::model::{Addressing, Domain, Host, Ipv6, Limits, Mac, Mtu, Nic, Opening, PortName, VlanId};
use sha2::{Digest as _, Sha256};

pub use audit::Audit;
pub use bit_rate::{BitRate, InvalidRate};
pub use egress::{Destination, Egress, Exit, Proxy, ProxyKind, Via, is_proxy_name};
pub use files::Files;
pub use mistake::{Fault, Mistake, Mistakes};
pub use sessions::Sessions;
pub use target::Target;
pub use triggers::Trigger;
pub use updates::Updates;

/// A complete `site.toml` with a comment on every field; valid, and used by the documentation and the tests.
pub const EXAMPLE: &str = include_str!("example.toml");
/// TCP port of the ingest API over TLS at each port's gateway address.
pub const INGEST_TLS_PORT: u16 = 8443;
/// TCP port of the local page at each port's gateway address.
pub const PAGE_PORT: u16 = 443;
/// TCP port of the ingest API over plain HTTP at each port's gateway address, where the site allows it.
pub const INGEST_HTTP_PORT: u16 = 8080;

/// A whole, valid site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The box's host name (RFC 1123 label).
    pub name: String,
    /// The link into the hospital's network.
    pub uplink: Uplink,
    /// The service centre.
    pub centre: Centre,
    /// Remote sessions; `None`: there are none.
    pub sessions: Option<Sessions>,
    /// The instruments' ports, at least one.
    pub ports: Vec<Port>,
    /// How what leaves the box gets out.
    pub egress: Egress,
    /// The rules that make alerts of reports.
    pub triggers: Vec<Trigger>,
    /// The room for instruments' data files.
    pub files: Files,
    /// Where updates come from and when they are installed; `None`: only a file updates the box.
    pub updates: Option<Updates>,
    /// The hospital's collector of the audit trail; `None`: only the service centre has a copy.
    pub audit: Option<Audit>,
}

impl Site {
    /// Reads the text of a `site.toml`; `file` is what mistakes call it.
    ///
    /// # Errors
    /// Every mistake in the text. After a syntax error only the syntax errors: the rest cannot be told.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Mistakes> {
        decode::decode(text).map_err(|list| Mistakes {
            file: file.to_owned(),
            list,
        })
    }

    /// Reads the `site.toml` at `path`.
    ///
    /// # Errors
    /// As [`Site::parse`], and one mistake [`Fault::Unreadable`] when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path).map_err(|error| Mistakes {
            file: path.to_owned(),
            list: vec![Mistake {
                fault: Fault::Unreadable,
                line: 0,
                column: 0,
                field: String::new(),
                found: error.to_string(),
                expected: "a readable site.toml in UTF-8".to_owned(),
                fix: "check the path, or make the file from the example in the documentation".to_owned(),
            }],
        })?;
        Self::parse(&text, path)
    }
}

/// SHA-256 of a site's text in hexadecimal: by it the box's services tell one another which site they mean.
#[must_use]
pub fn fingerprint(text: &[u8]) -> String {
    use std::fmt::Write as _;
    let hash = Sha256::digest(text);
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `[uplink]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// `nic = "pci:0000:00:10.0"`.
    pub nic: Nic,
    /// `address = "dhcp"`, or `address = "10.9.0.2/24"` with an optional `gateway`.
    pub addressing: Addressing,
    /// `vlan = 120`: the uplink is that VLAN on the card.
    pub vlan: Option<VlanId>,
    /// `mtu = 1400`.
    pub mtu: Option<Mtu>,
    /// `ipv6 = "off"` (the default), `"slaac"`, or `"2001:db8::2/64"` with an optional `gateway6`.
    pub ipv6: Ipv6,
    /// `dns = ["10.9.0.1"]`; with DHCP the lease's servers are used when this is empty.
    pub dns: Vec<IpAddr>,
    /// `search = ["hospital.example"]`: where names without a dot are looked up.
    pub search: Vec<Domain>,
}

/// `[centre]`: `url = "https://10.9.0.10:8443"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Centre {
    /// Host of the URL; also the name its certificate must carry.
    pub host: Host,
    /// Port of the URL, 443 when not written.
    pub port: u16,
    /// `rate-limit = "96 kbit/s"`: no more than this is sent to it.
    pub rate_limit: Option<BitRate>,
}

impl Centre {
    /// Where it is.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
        }
    }
}

/// How agents on one port post their reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingest {
    /// `ingest = "tls"` (the default) on [`INGEST_TLS_PORT`].
    Tls,
    /// `ingest = "http"` on [`INGEST_HTTP_PORT`], for agents that cannot do TLS.
    Http,
}

/// `[[port]]`: one instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// `name = "port1"`.
    pub name: PortName,
    /// `nic = "pci:0000:00:11.0"`.
    pub nic: Nic,
    /// `address = "192.168.1.1/24"`: the box's own address here.
    pub address: Ipv4Net,
    /// `instrument = "192.168.1.50"`: the instrument's address, fixed or leased.
    pub instrument: Ipv4Addr,
    /// `dhcp = true` (the default): answer DHCP with that one lease.
    pub dhcp: bool,
    /// `mac = "52:54:00:12:34:56"`: pin the instrument's Ethernet address.
    pub mac: Option<Mac>,
    /// `ingest = "tls"`.
    pub ingest: Ingest,
    /// `limits = { connections = 64, … }`: what the instrument may use of the box.
    pub limits: Limits,
    /// `remote = ["tcp/5900"]`: what a remote session may be opened to.
    pub remote: Vec<Opening>,
}
