//! The uplink's lease: written by the DHCP client's hook, read by netd. There is no shell on the box, so the hook is
//! this program.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use netfw::model::Network;
use netfw::ruleset::{Element, Key};
use serde::{Deserialize, Serialize};

/// Where the lease and the resolver's configuration are; `/etc/resolv.conf` on the box is a link to the latter.
pub(super) const RUNTIME: &str = "/run/rap/net";
/// Where the hook writes, when not to [`RUNTIME`]; netd sets it for the client.
pub(super) const RUNTIME_VARIABLE: &str = "RAP_NET_RUNTIME";
const LEASE: &str = "lease.json";
const RESOLVER: &str = "resolv.conf";
/// How long a name server of the lease stays allowed after netd last said so; netd says so every minute.
const NAME_SERVER_TIME: Duration = Duration::from_secs(3600);

/// What the hospital's DHCP server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Lease {
    /// The box's address and prefix length, as text for the status.
    pub(super) address: String,
    /// The default router, if any.
    pub(super) gateway: Option<Ipv4Addr>,
    /// The name servers.
    pub(super) dns: Vec<Ipv4Addr>,
}

/// The entry of the DHCP client's hook: reads the lease from the environment (dhcpcd-run-hooks(8)), writes it down.
///
/// # Errors
/// When it cannot be written.
pub fn dhcp_hook() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let runtime = variable(RUNTIME_VARIABLE).unwrap_or_else(|| RUNTIME.to_owned());
    match Event::of(variable) {
        Event::Bound(lease) => lease.write(Path::new(&runtime)),
        Event::Lost => Lease::forget(Path::new(&runtime)),
        Event::Other => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Bound(Lease),
    Lost,
    Other,
}

impl Event {
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let reason = variable("reason").unwrap_or_default();
        match reason.as_str() {
            "BOUND" | "RENEW" | "REBIND" | "REBOOT" | "INFORM" | "STATIC" | "TIMEOUT" => {
                Self::bound(variable).unwrap_or(Self::Other)
            }
            "EXPIRE" | "FAIL" | "NAK" | "RELEASE" | "STOP" | "STOPPED" | "NOCARRIER" | "DEPARTED" => {
                Self::Lost
            }
            _ => Self::Other,
        }
    }

    fn bound(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let address: Ipv4Addr = variable("new_ip_address")?.parse().ok()?;
        let length: u8 = variable("new_subnet_cidr")?
            .parse()
            .ok()
            .filter(|length| *length <= 32)?;
        let list = |name| -> Vec<Ipv4Addr> {
            let text = variable(name).unwrap_or_default();
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect()
        };
        Some(Self::Bound(Lease {
            address: format!("{address}/{length}"),
            gateway: list("new_routers").first().copied(),
            dns: list("new_domain_name_servers"),
        }))
    }
}

impl Lease {
    /// The lease that holds now, if any.
    pub(super) fn read(runtime: &Path) -> Option<Self> {
        let text = std::fs::read(runtime.join(LEASE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Removes the lease; one that is not there is removed.
    pub(super) fn forget(runtime: &Path) -> anyhow::Result<()> {
        match std::fs::remove_file(runtime.join(LEASE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot remove the old lease")
            }
            _ => Ok(()),
        }
    }

    /// The name servers, unless the site names its own.
    pub(super) fn name_server_elements(&self, network: &Network) -> Vec<Element> {
        if !network.uplink.dns.is_empty() {
            return Vec::new();
        }
        let element = |address: &Ipv4Addr| Element {
            key: Key::Address((*address).into()),
            timeout: Some(NAME_SERVER_TIME),
            comment: "the uplink's lease".to_owned(),
        };
        self.dns.iter().map(element).collect()
    }

    fn write(&self, runtime: &Path) -> anyhow::Result<()> {
        replace(runtime, LEASE, &serde_json::to_vec(self)?)
    }
}

/// Writes what the resolver reads (resolv.conf(5)).
pub(super) fn write_resolver(runtime: &Path, servers: &[impl std::fmt::Display]) -> anyhow::Result<()> {
    let lines: String = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    replace(runtime, RESOLVER, lines.as_bytes())
}

fn replace(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let temporary = directory.join(format!(".{name}"));
    std::fs::write(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, directory.join(name)))
        .with_context(|| format!("cannot write {}", directory.join(name).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pairs: &[(&str, &str)]) -> Event {
        Event::of(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_bound_client_gives_a_lease() {
        let found = event(&[
            ("reason", "BOUND"),
            ("new_ip_address", "10.9.0.2"),
            ("new_subnet_cidr", "24"),
            ("new_routers", "10.9.0.1"),
            ("new_domain_name_servers", "10.9.0.1 10.9.0.3"),
        ]);
        let lease = Lease {
            address: "10.9.0.2/24".to_owned(),
            gateway: Some([10, 9, 0, 1].into()),
            dns: vec![[10, 9, 0, 1].into(), [10, 9, 0, 3].into()],
        };
        assert_eq!(found, Event::Bound(lease));
    }

    #[test]
    fn a_servers_nonsense_is_no_lease() {
        for (key, value) in [("new_ip_address", "$(reboot)"), ("new_subnet_cidr", "99")] {
            let mut pairs = vec![
                ("reason", "BOUND"),
                ("new_ip_address", "10.9.0.2"),
                ("new_subnet_cidr", "24"),
            ];
            pairs.retain(|(name, _)| *name != key);
            pairs.push((key, value));
            assert_eq!(event(&pairs), Event::Other, "{key}");
        }
        assert_eq!(event(&[("reason", "EXPIRE")]), Event::Lost);
        assert_eq!(event(&[("reason", "PREINIT")]), Event::Other);
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_forgotten_twice() {
        let directory = tempfile::tempdir().unwrap();
        let lease = Lease {
            address: "10.9.0.2/24".to_owned(),
            gateway: None,
            dns: vec![],
        };
        lease.write(directory.path()).unwrap();
        assert_eq!(Lease::read(directory.path()), Some(lease));
        Lease::forget(directory.path()).unwrap();
        Lease::forget(directory.path()).unwrap();
        assert_eq!(Lease::read(directory.path()), None);
    }
}
