//! What the resolver reads (resolv.conf(5)): the site's name servers or else the lease's, and the search domains.

use std::path::Path;

use anyhow::Context as _;
use netfw::model::Network;

use super::lease::Lease;

const RESOLVER: &str = "resolv.conf";

/// Writes the file where it differs.
///
/// # Errors
/// When it cannot be written.
pub(super) fn settle(runtime: &Path, network: &Network, lease: Option<&Lease>) -> anyhow::Result<()> {
    let text = text(network, lease);
    let found = std::fs::read(runtime.join(RESOLVER)).ok();
    if found.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    replace(runtime, RESOLVER, text.as_bytes())
}

fn text(network: &Network, lease: Option<&Lease>) -> String {
    let uplink = &network.uplink;
    let mut servers: Vec<String> = uplink.dns.iter().map(ToString::to_string).collect();
    if let Some(lease) = lease.filter(|_| servers.is_empty()) {
        servers.extend(lease.dns.iter().map(ToString::to_string));
    }
    let mut text: String = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    if !uplink.search.is_empty() {
        let domains: Vec<_> = uplink.search.iter().map(ToString::to_string).collect();
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    text
}

/// Puts `content` into a file of the runtime's folder, as a whole.
///
/// # Errors
/// When it cannot be written.
pub(super) fn replace(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let temporary = directory.join(format!(".{name}"));
    std::fs::write(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, directory.join(name)))
        .with_context(|| format!("cannot write {}", directory.join(name).display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::{EXAMPLE, Site};

    fn network(text: &str) -> Network {
        let site = Site::parse(text, Path::new("site.toml")).unwrap();
        site.network().unwrap()
    }

    #[test]
    fn the_sites_servers_come_before_the_leases_and_the_domains_follow() {
        let lease = Lease {
            nic: String::new(),
            address: "10.9.0.2/24".parse().unwrap(),
            gateway: None,
            dns: vec![[10, 9, 0, 77].into()],
            mtu: None,
            until: None,
        };
        let search = "search hospital.example\n";
        let own = network(EXAMPLE);
        assert_eq!(text(&own, Some(&lease)), format!("nameserver 10.9.0.1\n{search}"));
        let none = network(&EXAMPLE.replace("dns = [\"10.9.0.1\"]\n", ""));
        assert_eq!(
            text(&none, Some(&lease)),
            format!("nameserver 10.9.0.77\n{search}")
        );
        assert_eq!(text(&none, None), search);
    }
}
