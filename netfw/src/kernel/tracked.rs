//! Tracked connections, forgotten when the session they belong to has ended. They pass nothing then; forgotten they also
//! say nothing any more, and what an instrument still sends on one is a stray packet and counted as such.
//!
//! The message is that of `linux/netfilter/nfnetlink_conntrack.h`: a deletion without a connection means all of those
//! that its filter lets through (`ctnetlink_flush_conntrack` in `net/netfilter/nf_conntrack_netlink.c`, since Linux 5.8).

use std::net::Ipv4Addr;

use super::Error;
use super::netlink::{Family, Socket};
use crate::netns::Namespace;

/// `IPCTNL_MSG_CT_DELETE` of `NFNL_SUBSYS_CTNETLINK`.
const DELETE: u16 = (1 << 8) | 2;
/// `struct nfgenmsg`: the family `NFPROTO_IPV4`; a version that says that the family counts; no resource.
const GENERIC: [u8; 4] = [2, 1, 0, 0];
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_IP: u16 = 1;
const IP_V4_DESTINATION: u16 = 2;
const FILTER: u16 = 25;
const FILTER_ORIGINAL_FLAGS: u16 = 1;
/// `CTA_FILTER_F_CTA_IP_DST`.
const BY_DESTINATION: u32 = 1 << 1;

/// Forgets every connection in `namespace` that was made to `service`.
///
/// # Errors
/// The kernel's.
pub(super) fn forget(namespace: &Namespace, service: Ipv4Addr) -> Result<(), Error> {
    let mut socket = Socket::open(namespace, Family::Netfilter)?;
    socket
        .change_raw(DELETE, &deletion(service))
        .map_err(|source| Error::Netlink {
            operation: format!("forget connections to {service}"),
            namespace: namespace.name().to_owned(),
            source,
        })
}

/// The body of the message.
fn deletion(service: Ipv4Addr) -> Vec<u8> {
    let ip = attribute(IP_V4_DESTINATION, &service.octets());
    let tuple = attribute(TUPLE_ORIGINAL | NESTED, &attribute(TUPLE_IP | NESTED, &ip));
    let flags = attribute(FILTER_ORIGINAL_FLAGS, &BY_DESTINATION.to_ne_bytes());
    [&GENERIC[..], &tuple, &attribute(FILTER | NESTED, &flags)].concat()
}

/// `struct nlattr` and its content; all contents here are multiples of four bytes, so there is nothing to pad.
fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_message_is_what_the_kernel_reads() {
        let bytes = [
            2, 1, 0, 0, // IPv4, by family
            16, 0, 1, 128, 12, 0, 1, 128, 8, 0, 2, 0, 10, 200, 0,
            1, // original tuple, addresses, destination
            12, 0, 25, 128, 8, 0, 1, 0, 2, 0, 0,
            0, // filter, flags of the original tuple, the destination
        ];
        assert_eq!(deletion(Ipv4Addr::new(10, 200, 0, 1)), bytes);
    }
}
