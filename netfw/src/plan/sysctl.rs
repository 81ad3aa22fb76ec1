//! Kernel settings: what a namespace and each kind of link gets.
//!
//! Source of the names and their meanings: `Documentation/networking/ip-sysctl.rst`.

use super::UPLINK;
use crate::model::Ipv6;

/// One kernel setting below `/proc/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, e.g. `net/ipv4/ip_forward`.
    pub path: String,
    /// Its value.
    pub value: &'static str,
}

impl Sysctl {
    fn new(path: impl Into<String>, value: &'static str) -> Self {
        Self {
            path: path.into(),
            value,
        }
    }

    /// The path of the same setting for all links at once; none when it is not one of a link.
    pub(crate) fn of_all_links(&self) -> Option<String> {
        let (family, rest) = self.path.split_once("/conf/")?;
        let (_, key) = rest.split_once('/')?;
        Some(format!("{family}/conf/all/{key}"))
    }

    /// Whether packets that come in by `link` may be forwarded. The setting of all links at once (`ip_forward`) is
    /// never touched while the box runs: a change of it resets others, and would let the uplink forward.
    pub(super) fn forwarding(link: &str, on: bool) -> Self {
        Self::new(
            format!("net/ipv4/conf/{link}/forwarding"),
            if on { "1" } else { "0" },
        )
    }
}

/// Forwarding first: the kernel resets the others when it changes.
pub(super) fn of_namespace() -> Vec<Sysctl> {
    let mut settings = vec![
        Sysctl::new("net/ipv4/ip_forward", "0"),
        Sysctl::new("net/ipv4/tcp_syncookies", "1"),
        Sysctl::new("net/ipv4/icmp_echo_ignore_broadcasts", "1"),
        // A connection begins with a SYN, not with any segment of one nobody saw begin
        // (`Documentation/networking/nf_conntrack-sysctl.rst`).
        Sysctl::new("net/netfilter/nf_conntrack_tcp_loose", "0"),
    ];
    // What a link gets when it comes, and what holds for all of them whatever each says.
    settings.extend(of_link("default"));
    settings.extend(of_link("all"));
    settings
}

/// As any namespace. Where IPv6 is on, loopback speaks it too: refusals go to the program that is refused that way.
pub(super) fn of_root(ipv6: Ipv6) -> Vec<Sysctl> {
    let mut settings = of_namespace();
    let off = if ipv6 == Ipv6::Off { "1" } else { "0" };
    settings.push(Sysctl::new("net/ipv6/conf/lo/disable_ipv6", off));
    settings
}

/// arp_ignore 1, answer only for an address of the link the question came by; arp_announce 2, ask only with an address
/// of the link; rp_filter 1, RFC 3704 strict.
pub(super) fn of_link(link: &str) -> Vec<Sysctl> {
    let mut settings = vec![Sysctl::new(format!("net/ipv6/conf/{link}/disable_ipv6"), "1")];
    settings.extend(ipv4(link));
    settings
}

/// As any link, with IPv6 as described; the same settings whether it is off or on, so that one description leaves
/// nothing behind for the next. Switching it on comes last, so that no advertisement is heard before it is known what to
/// do with one.
pub(super) fn of_uplink(ipv6: Ipv6) -> Vec<Sysctl> {
    let disabled = if ipv6 == Ipv6::Off { "1" } else { "0" };
    let advertised = if ipv6 == Ipv6::Slaac { "1" } else { "0" };
    let v6 = |key: &str, value| Sysctl::new(format!("net/ipv6/conf/{UPLINK}/{key}"), value);
    let mut settings = ipv4(UPLINK);
    settings.extend([
        v6("forwarding", "0"),
        v6("accept_ra", advertised),
        v6("autoconf", advertised),
        v6("accept_redirects", "0"),
        v6("accept_source_route", "0"),
        v6("disable_ipv6", disabled),
    ]);
    settings
}

fn ipv4(link: &str) -> Vec<Sysctl> {
    let setting = |key: &str, value| Sysctl::new(format!("net/ipv4/conf/{link}/{key}"), value);
    vec![
        setting("rp_filter", "1"),
        setting("arp_ignore", "1"),
        setting("arp_announce", "2"),
        setting("accept_redirects", "0"),
        setting("secure_redirects", "0"),
        setting("send_redirects", "0"),
        setting("accept_source_route", "0"),
    ]
}
