//! The uplink's lease: brought by the DHCP client's hook, judged and used by netd.
//!
//! There is no shell on the box, so the hook is this program. The client configures nothing: the hook writes down what
//! the hospital's server gave, and netd gives the link that address, or refuses it and says why.
//!
//! Invariant: a lease whose network overlaps an instrument's or the sessions' is never on the link.

mod hook;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ipnet::Ipv4Net;
use netfw::model::{Addressing, Mtu, Network};
use netfw::plan::NetPlan;
use netfw::ruleset::{Element, Key};
use serde::{Deserialize, Serialize};

pub use hook::dhcp_hook;
pub(super) use hook::{NIC_VARIABLE, RUNTIME_VARIABLE};

/// Where the lease and the resolver's configuration are; `/etc/resolv.conf` on the box is a link to the latter.
pub(crate) const RUNTIME: &str = "/run/rap/net";
const LEASE: &str = "lease.json";
/// How long a name server of the lease stays allowed after netd last said so; netd says so every minute.
const NAME_SERVER_TIME: Duration = Duration::from_secs(3600);
/// How long a refused lease is spoken of after it was last seen: the client is made to ask for another one meanwhile.
const REFUSED_TIME: Duration = Duration::from_secs(90);

/// What the hospital's DHCP server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Lease {
    /// The card it was given to, as the site writes it.
    pub(crate) nic: String,
    /// The box's address and the length of its network's prefix.
    pub(crate) address: Ipv4Net,
    /// The default router, if any; always in the network of the address.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The name servers.
    pub(crate) dns: Vec<Ipv4Addr>,
    /// The largest packet the network carries, in bytes, if the server says so.
    pub(crate) mtu: Option<u32>,
    /// When it ends, in milliseconds since boot; `None`: never.
    pub(crate) until: Option<u64>,
}

/// The lease of a DHCP uplink, or what there is instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leasehold {
    /// The lease in use.
    pub(super) used: Option<Lease>,
    /// Why there is none, as far as it is known.
    pub(super) trouble: Option<String>,
    /// When a lease was last refused, since boot.
    refused: Option<Duration>,
}

impl Leasehold {
    /// Takes in what the client's hook wrote; says whether that changes anything. `now` is since boot.
    pub(super) fn take(&mut self, found: Option<Lease>, network: &Network, now: Duration) -> bool {
        if network.uplink.addressing != Addressing::Dhcp {
            return std::mem::take(self) != Self::default();
        }
        let before = (self.used.clone().map(Lease::without_end), self.trouble.clone());
        let valid = |lease: &Lease| lease.is_of(network) && !lease.is_over(now);
        match found.filter(valid) {
            Some(lease) => match lease.check(network) {
                Ok(()) => {
                    *self = Self {
                        used: Some(lease),
                        ..Self::default()
                    };
                }
                Err(why) => {
                    *self = Self {
                        used: None,
                        trouble: Some(why),
                        refused: Some(now),
                    };
                }
            },
            None => self.lose(now),
        }
        before != (self.used.clone().map(Lease::without_end), self.trouble.clone())
    }

    fn lose(&mut self, now: Duration) {
        if let Some(lease) = self.used.take() {
            self.trouble = Some(format!(
                "the lease of {} has ended, and the hospital's DHCP server gives no other yet; the box keeps asking",
                lease.address
            ));
        }
        if self.refused.is_some_and(|last| now >= last + REFUSED_TIME) {
            self.refused = None;
            self.trouble = None;
        }
    }

    /// `network` as the kernel is to have it now: with the lease on the uplink, or with nothing there.
    pub(super) fn plan(&self, network: &Network) -> NetPlan {
        let mut plan = NetPlan::new(network);
        if let Some(lease) = &self.used {
            let uplink = &mut plan.root.link;
            uplink.address = Some(lease.address);
            uplink.gateway = lease.gateway;
            let mtu = lease.mtu.and_then(|bytes| Mtu::try_from(bytes).ok());
            uplink.mtu = uplink.mtu.or(mtu);
        }
        plan
    }

    /// The name servers, unless the site names its own.
    pub(super) fn name_servers(&self, network: &Network) -> Vec<Element> {
        let element = |address: &Ipv4Addr| Element {
            key: Key::Address((*address).into()),
            timeout: Some(NAME_SERVER_TIME),
            comment: "the uplink's lease".to_owned(),
        };
        let lease = self.used.as_ref().filter(|_| network.uplink.dns.is_empty());
        lease
            .map(|lease| lease.dns.iter().map(element).collect())
            .unwrap_or_default()
    }
}

impl Lease {
    /// The lease that the hook last wrote, if any.
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

    /// Whether it can be used beside the ports of `network`.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn check(&self, network: &Network) -> Result<(), String> {
        network.check_lease(self.address).map_err(|faults| {
            let wanted: Vec<_> = faults.0.into_iter().map(|fault| fault.expected).collect();
            format!(
                "the lease of {} from the hospital's DHCP server is not used: expected {}",
                self.address,
                wanted.join("; ")
            )
        })
    }

    fn is_of(&self, network: &Network) -> bool {
        self.nic == network.uplink.nic.to_string()
    }

    fn is_over(&self, now: Duration) -> bool {
        self.until
            .is_some_and(|until| now >= Duration::from_millis(until))
    }

    /// A renewed lease is the same lease.
    fn without_end(self) -> Self {
        Self { until: None, ..self }
    }

    fn write(&self, runtime: &Path) -> anyhow::Result<()> {
        super::resolver::replace(runtime, LEASE, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests;
