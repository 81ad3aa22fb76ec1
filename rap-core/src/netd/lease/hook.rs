//! The DHCP client's hook: what dhcpcd-run-hooks(8) puts into its environment, written down for netd.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::{Lease, RUNTIME};
use crate::moment;

/// Where the hook writes, when not to [`RUNTIME`]; netd sets it for the client.
pub(in crate::netd) const RUNTIME_VARIABLE: &str = "RAP_NET_RUNTIME";
/// The card the client works for, as the site writes it; netd sets it for the client.
pub(in crate::netd) const NIC_VARIABLE: &str = "RAP_NET_NIC";
/// A lease for ever (RFC 2131 §3.3).
const FOR_EVER: u64 = 0xffff_ffff;

/// The entry of the DHCP client's hook: reads the lease from the environment, writes it down.
///
/// # Errors
/// When it cannot be written.
pub fn dhcp_hook() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let runtime = variable(RUNTIME_VARIABLE).unwrap_or_else(|| RUNTIME.to_owned());
    match Event::of(variable, moment::since_boot()) {
        Event::Bound(lease) => lease.write(Path::new(&runtime)),
        Event::Lost => Lease::forget(Path::new(&runtime)),
        Event::Other => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Bound(Lease),
    Lost,
    Other,
}

impl Event {
    /// What happened, `now` since boot.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>, now: Duration) -> Self {
        let reason = variable("reason").unwrap_or_default();
        match reason.as_str() {
            // What a server gives that is no lease is none.
            "BOUND" | "RENEW" | "REBIND" | "REBOOT" | "INFORM" | "STATIC" | "TIMEOUT" => {
                bound(variable, now).map_or(Self::Lost, Self::Bound)
            }
            "EXPIRE" | "FAIL" | "NAK" | "RELEASE" | "NOCARRIER" | "DEPARTED" => Self::Lost,
            // A client that ends takes no lease with it: netd starts it again, and the lease has its own end.
            _ => Self::Other,
        }
    }
}

fn bound(variable: impl Fn(&str) -> Option<String>, now: Duration) -> Option<Lease> {
    let number = |name| variable(name)?.parse::<u64>().ok();
    let own: Ipv4Addr = variable("new_ip_address")?.parse().ok()?;
    let length: u8 = variable("new_subnet_cidr")?.parse().ok()?;
    let address = Ipv4Net::new(own, length).ok().filter(is_host)?;
    let list = |name| -> Vec<Ipv4Addr> {
        let text = variable(name).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect()
    };
    let is_router = |router: &Ipv4Addr| address.contains(router) && *router != own;
    let seconds = number("new_dhcp_lease_time").filter(|seconds| *seconds < FOR_EVER);
    let end = seconds.map(|seconds| now + Duration::from_secs(seconds));
    Some(Lease {
        nic: variable(NIC_VARIABLE).unwrap_or_default(),
        address,
        gateway: list("new_routers").into_iter().find(is_router),
        dns: list("new_domain_name_servers"),
        mtu: number("new_interface_mtu").and_then(|bytes| u32::try_from(bytes).ok()),
        until: end.and_then(|end| u64::try_from(end.as_millis()).ok()),
    })
}

/// Whether this is the address of one host in a network (RFC 1122 §3.2.1.3).
fn is_host(address: &Ipv4Net) -> bool {
    let own = address.addr();
    let special = own == address.network() || own == address.broadcast();
    let first = own.octets()[0];
    !(special && address.prefix_len() < 31) && first != 0 && first != 127 && first < 224
}
