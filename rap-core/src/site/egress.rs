//! `[[proxy]]` and `[egress]`: which way each destination is reached.
//!
//! Rules are tried in their order and the first that fits decides; without one the default does. Names are compared
//! as they are written and never resolved, so that a box whose hospital resolves nothing for it can still decide.
//! Invariant: every [`Via`] of an [`Egress`] names one of its proxies.

use std::net::IpAddr;

use ipnet::IpNet;
use netfw::model::Host;

use super::target::{Target, is_name};
use super::{BitRate, Centre, Site};

mod decode;
#[cfg(test)]
mod tests;

pub(super) use decode::decode;

/// What leaves the box, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// The proxies, each with its own name.
    pub proxies: Vec<Proxy>,
    default: Via,
    rules: Vec<Rule>,
}

/// `[[proxy]]`: one of the hospital's proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `name = "hospital"`; also in the name of its password's file.
    pub name: String,
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is.
    pub target: Target,
    /// `user = "rap-ward-3"`; the password is in the identity.
    pub user: Option<String>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// `http://`: CONNECT (RFC 9110 §9.3.6), with Basic authentication (RFC 7617) where there is a user.
    Http,
    /// `socks5h://`: SOCKS 5 (RFC 1928), with user and password (RFC 1929) where there is a user.
    Socks5,
}

/// One way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Via {
    /// Straight to the destination.
    #[default]
    Direct,
    /// Through this one of [`Egress::proxies`].
    Proxy(usize),
}

/// `[[egress.rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    to: To,
    via: Via,
}

/// The destinations a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Name(String),
    /// Everything below this domain, without the domain itself.
    Below(String),
    Net(IpNet),
}

/// Something the box may talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// A short name for rules and status files, such as `centre`.
    pub name: &'static str,
    /// What messages call it.
    pub title: &'static str,
    /// Where it is.
    pub target: Target,
    /// No more than this is taken from it; what the box sends is limited by who sends it.
    pub rate_limit: Option<BitRate>,
}

/// Where packets themselves go when they leave the box: a destination, or the proxy on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// A short name for rules, such as `centre` or `proxy-hospital`.
    pub name: String,
    /// Where it is.
    pub target: Target,
}

impl Site {
    /// Everything the box may talk to. The one table of it: firewall and relay are made from this.
    #[must_use]
    pub fn destinations(&self) -> Vec<Destination> {
        let centre = Destination {
            name: "centre",
            title: "the service centre",
            target: Centre::target(&self.centre),
            rate_limit: None,
        };
        let updates = self.updates.as_ref().map(|updates| Destination {
            name: "update",
            title: "the update repository",
            target: updates.repository.target.clone(),
            rate_limit: None,
        });
        // The centre may keep the repository itself.
        let updates = updates.filter(|updates| updates.target != centre.target);
        let sessions = self.sessions.as_ref();
        let tunnel = sessions.and_then(|sessions| Some((sessions, sessions.tunnel.clone()?)));
        let tunnel = tunnel.map(|(sessions, target)| Destination {
            name: "tunnel",
            title: "the tunnel of remote sessions",
            target,
            rate_limit: sessions.rate_limit,
        });
        let tunnel = tunnel.filter(|tunnel| tunnel.target != centre.target);
        let collector = self.audit.as_ref().map(|audit| Destination {
            name: "collector",
            title: "the audit collector",
            target: audit.collector.clone(),
            rate_limit: None,
        });
        let collector = collector.filter(|collector| collector.target != centre.target);
        let others = updates.into_iter().chain(tunnel).chain(collector);
        std::iter::once(centre).chain(others).collect()
    }

    /// Where packets may go, each place once: a destination that is reached through a proxy is not among them.
    #[must_use]
    pub fn exits(&self) -> Vec<Exit> {
        let mut exits: Vec<Exit> = Vec::new();
        for destination in self.destinations() {
            let exit = match self.egress.proxy_to(&destination.target.host) {
                Some(proxy) => Exit {
                    name: format!("proxy-{}", proxy.name),
                    target: proxy.target.clone(),
                },
                None => Exit {
                    name: destination.name.to_owned(),
                    target: destination.target,
                },
            };
            if !exits.contains(&exit) {
                exits.push(exit);
            }
        }
        exits
    }
}

impl Egress {
    /// The way to `host`.
    #[must_use]
    pub fn way_to(&self, host: &Host) -> Via {
        let rule = self.rules.iter().find(|rule| rule.to.holds(host));
        rule.map_or(self.default, |rule| rule.via)
    }

    /// The proxy on the way to `host`; `None` where the way is direct.
    #[must_use]
    pub fn proxy_to(&self, host: &Host) -> Option<&Proxy> {
        match self.way_to(host) {
            Via::Direct => None,
            Via::Proxy(index) => self.proxies.get(index),
        }
    }
}

impl Proxy {
    /// The name of the file of the identity that holds its password.
    #[must_use]
    pub fn password_file(&self) -> String {
        format!("proxy-{}.password", self.name)
    }

    /// Its address as `site.toml` writes it; never with a user.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5h",
        };
        format!("{scheme}://{}", self.target)
    }
}

/// Whether a proxy may be called `name`: 1 to 32 of a-z, 0-9 and -, starting with a letter, and not `direct`. It is a part
/// of a file's name.
#[must_use]
pub fn is_proxy_name(name: &str) -> bool {
    let clean = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=32).contains(&name.len()) && name.chars().all(clean) && name != "direct";
    fits && name.starts_with(|c: char| c.is_ascii_lowercase())
}

impl To {
    fn holds(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Name(name), Host::Name(host)) => name == host,
            (Self::Below(domain), Host::Name(host)) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|front| front.ends_with('.')),
            (Self::Net(net), Host::Ip(address)) => net.contains(address),
            _ => false,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Net(address.into()));
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(Self::Net(net));
        }
        match lower.strip_prefix("*.") {
            Some(domain) => is_name(domain).then(|| Self::Below(domain.to_owned())),
            None => is_name(&lower).then_some(Self::Name(lower)),
        }
    }
}
