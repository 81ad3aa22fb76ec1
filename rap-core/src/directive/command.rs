//! The closed list of what can be asked. There is no command that takes a command.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use netfw::model::{Opening, PortName};
use serde::{Deserialize, Serialize};

use super::{SessionId, Words};
use crate::digest::Sha256;
use crate::forward::files::FileName;

/// The names of all commands, for messages and for the hospital's policy.
pub const COMMANDS: [&str; 9] = [
    "open-session",
    "end-session",
    "put-file",
    "get-file",
    "put-settings",
    "check-update",
    "refresh-certificate",
    "diagnose",
    "install-certificate",
];

/// Openings of one session, at most.
const MOST_OPENINGS: usize = 8;
/// How long a session may be asked for: the site may allow less.
const LONGEST: Duration = Duration::from_secs(8 * 60 * 60);
/// The shortest time that is of use, and the least an idle limit may be.
const SHORTEST: Duration = Duration::from_secs(1);
/// Bytes of a site's text in a directive.
const SITE_LIMIT: usize = 24 << 10;
/// Bytes of certificates in a directive.
const CERTIFICATES_LIMIT: usize = 24 << 10;
/// Bytes of a file that is put.
const FILE_LIMIT: u64 = 1 << 30;
/// For how long an instrument's agent may be waited for: seconds of thirty days.
const LONGEST_WAIT: u64 = 30 * 24 * 60 * 60;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Ask the person at an instrument to let an engineer in.
    OpenSession(OpenSession),
    /// End a session, or take back the request for one.
    EndSession {
        /// Which.
        session: SessionId,
    },
    /// Keep a file for an instrument.
    PutFile(PutFile),
    /// Ask an instrument's agent for a file.
    GetFile(FileRequest),
    /// Try another `site.toml`, by commit-confirm.
    PutSettings {
        /// Its text.
        site: String,
    },
    /// Look for an update now.
    CheckUpdate {},
    /// Have the box make new keys, and tell the request for their certificates.
    RefreshCertificate {},
    /// Take the answer to that request; it is used when the service centre took it.
    InstallCertificate {
        /// In PEM.
        certificates: String,
    },
    /// One of a short list of looks at the network.
    Diagnose(Diagnostic),
}

/// `open-session`: what becomes the ticket once somebody says yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OpenSession {
    /// Its name from now on.
    pub session: SessionId,
    /// The port of the instrument.
    #[serde(with = "text")]
    pub instrument: PortName,
    /// What is to be reached there, such as `tcp/5900`.
    #[serde(with = "openings")]
    pub services: Vec<Opening>,
    /// Who asks, for the person who decides.
    pub engineer: Words,
    /// Why, likewise.
    pub purpose: Words,
    /// For how long after the yes.
    pub seconds: u64,
    /// Without a packet for so long it ends.
    pub idle_seconds: u64,
    /// The network of the tunnel: the box's address there, and the engineers'.
    pub tunnel: Ipv4Net,
}

/// `put-file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PutFile {
    /// The port of the instrument.
    #[serde(with = "text")]
    pub instrument: PortName,
    /// What people call it.
    #[serde(with = "file_name")]
    pub name: FileName,
    /// What it is for.
    pub purpose: Purpose,
    /// Its bytes.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Sha256,
    /// For how long it is brought and then shown, from when the box takes the directive.
    pub seconds: u64,
}

/// What a file that is put is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Help for the people at the instrument.
    Help,
    /// Settings of the instrument.
    Settings,
}

/// `get-file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileRequest {
    /// The port of the instrument.
    #[serde(with = "text")]
    pub instrument: PortName,
    /// What its agent calls it.
    #[serde(with = "file_name")]
    pub name: FileName,
    /// For how long the agent is asked, from when the box takes the directive.
    pub seconds: u64,
}

/// `diagnose`: a look at the network, made by the box's own code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "look", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Diagnostic {
    /// Ping the instrument at a port.
    Ping {
        /// The port.
        #[serde(with = "text")]
        instrument: PortName,
        /// How often, 1 to 10.
        count: u8,
    },
    /// Whether a TCP port of the instrument answers.
    Tcp {
        /// The port.
        #[serde(with = "text")]
        instrument: PortName,
        /// The TCP port.
        port: u16,
    },
    /// What a port's counters say.
    Counters {
        /// The port.
        #[serde(with = "text")]
        instrument: PortName,
    },
    /// What the site's name servers say of a name.
    Dns {
        /// The name.
        name: Words,
    },
}

impl Command {
    /// Its name in [`COMMANDS`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        let index = match self {
            Self::OpenSession(_) => 0,
            Self::EndSession { .. } => 1,
            Self::PutFile(_) => 2,
            Self::GetFile(_) => 3,
            Self::PutSettings { .. } => 4,
            Self::CheckUpdate {} => 5,
            Self::RefreshCertificate {} => 6,
            Self::Diagnose(_) => 7,
            Self::InstallCertificate { .. } => 8,
        };
        COMMANDS[index]
    }

    /// What its numbers say of each other and of their bounds.
    pub(super) fn checked(self) -> Result<Self, String> {
        match &self {
            Self::OpenSession(open) => open.check()?,
            Self::PutSettings { site } if site.len() > SITE_LIMIT => {
                return Err(format!(
                    "site has {} bytes, expected at most {SITE_LIMIT}",
                    site.len()
                ));
            }
            Self::PutFile(PutFile { seconds, .. }) | Self::GetFile(FileRequest { seconds, .. })
                if !(1..=LONGEST_WAIT).contains(seconds) =>
            {
                return Err(format!("seconds is {seconds}, expected 1 to {LONGEST_WAIT}"));
            }
            Self::InstallCertificate { certificates } if certificates.len() > CERTIFICATES_LIMIT => {
                return Err(format!(
                    "certificates has {} bytes, expected at most {CERTIFICATES_LIMIT}",
                    certificates.len()
                ));
            }
            Self::PutFile(put) if !(1..=FILE_LIMIT).contains(&put.bytes) => {
                return Err(format!("bytes is {}, expected 1 to {FILE_LIMIT}", put.bytes));
            }
            Self::Diagnose(Diagnostic::Ping { count, .. }) if !(1..=10).contains(count) => {
                return Err(format!("count is {count}, expected 1 to 10"));
            }
            Self::Diagnose(Diagnostic::Tcp { port: 0, .. }) => {
                return Err("port is 0, expected 1 to 65535".to_owned());
            }
            _ => {}
        }
        Ok(self)
    }
}

impl OpenSession {
    /// For how long after the yes.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Without a packet for so long it ends.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    fn check(&self) -> Result<(), String> {
        if !(SHORTEST..=LONGEST).contains(&self.time()) {
            return Err(format!(
                "seconds is {}, expected 1 to {}",
                self.seconds,
                LONGEST.as_secs()
            ));
        }
        if !(SHORTEST..=LONGEST).contains(&self.idle()) {
            return Err(format!(
                "idle-seconds is {}, expected 1 to {}",
                self.idle_seconds,
                LONGEST.as_secs()
            ));
        }
        let private = |address: Ipv4Addr| address.is_private() || is_shared(address);
        let (first, last) = (self.tunnel.network(), self.tunnel.broadcast());
        let fits = (16..=30).contains(&self.tunnel.prefix_len()) && private(first) && private(last);
        if !fits || self.tunnel.addr() != first {
            return Err(format!(
                "tunnel is {}, expected a private network from /16 to /30, written by its first address",
                self.tunnel
            ));
        }
        Ok(())
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 100 && (64..128).contains(&b)
}

/// What has `Display` and `FromStr`, as a text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod file_name {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::forward::files::FileName;

    pub(super) fn serialize<S: Serializer>(name: &FileName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<FileName, D::Error> {
        FileName::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// `["tcp/22", …]`: at least one, each once.
mod openings {
    use netfw::model::{Opening, Protocol};
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::MOST_OPENINGS;

    pub(super) fn serialize<S: Serializer>(list: &[Opening], to: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<_> = list.iter().map(Opening::to_string).collect();
        texts.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Opening>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        if !(1..=MOST_OPENINGS).contains(&texts.len()) {
            let count = texts.len();
            return Err(D::Error::custom(format!(
                "found {count} services, expected 1 to {MOST_OPENINGS}"
            )));
        }
        let mut list = Vec::new();
        for text in &texts {
            let opening = parse(text).filter(|opening| !list.contains(opening));
            list.push(opening.ok_or_else(|| {
                D::Error::custom(
                    "expected each service once, as tcp/PORT or udp/PORT with a port from 1 to 65535",
                )
            })?);
        }
        Ok(list)
    }

    fn parse(text: &str) -> Option<Opening> {
        let (protocol, port) = text.split_once('/')?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0)?;
        Some(Opening { protocol, port })
    }
}
