//! The pieces rules are made of, each in nft's language here and in nft's JSON in [`json`].

mod json;

use std::net::Ipv4Addr;

use super::Hook;
use crate::model::{Mac, Protocol};

/// What a packet of an open session carries between the chain that knows the sessions and the chain that decides.
/// Sets cannot be shared between tables, marks can. The kernel clears it at every change of namespace.
pub const SESSION_MARK: u32 = 0x6e66_7701;
/// The group of `nfnetlink_log` that dropped packets are told to.
pub const LOG_GROUP: u32 = 1;
/// Packets a second each rule tells of, and the burst before: enough to see who, too few to fill anything.
const LOG_RATE: (u32, u32) = (2, 10);

/// One match or verdict of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The link a packet came in by; `*` at the end stands for any rest.
    In(String),
    /// The link a packet leaves by; `*` as above.
    Out(String),
    /// The sender's Ethernet address.
    FromStation(Mac),
    /// The source is one of these.
    From(Vec<Ipv4Addr>),
    /// The destination is one of these.
    To(Vec<Ipv4Addr>),
    /// The source is an IPv6 link-local address.
    FromLinkLocal,
    /// A source and a destination port of UDP.
    Udp(u16, u16),
    /// A destination port.
    Port(Protocol, u16),
    /// Any segment of TCP.
    AnyTcp,
    /// Port 53 over UDP or TCP.
    Dns,
    /// These fields of the packet together are an element of this set.
    Member(&'static [Field], &'static str),
    /// An answer within a connection, or an ICMP error about one.
    Reply,
    /// An answer within a connection.
    Answer,
    /// The connection is in this state.
    State(&'static str),
    /// An ICMP echo request.
    Echo,
    /// The ICMP error that path MTU discovery needs, among others of its type: destination unreachable.
    Unreachable,
    /// One of these ICMPv6 messages.
    Icmpv6(&'static [&'static str]),
    /// An IPv6 packet that no router has touched (RFC 4861 §6.1).
    Untouched,
    /// [`SESSION_MARK`] is on the packet.
    Marked,
    /// No more than this many a second, after a burst.
    Within(u32, u32),
    /// More than this many a second, after a burst.
    Beyond(u32, u32),
    /// More than this many connections at once.
    MoreConnections(u32),
    /// Let it pass.
    Accept,
    /// Throw it away in silence, by way of a chain that tells of it.
    Discard(Hook),
    /// Answer with a TCP reset.
    Reset,
    /// Answer that an administrator forbids it.
    Prohibited,
    /// Put [`SESSION_MARK`] on the packet.
    Mark,
    /// Send the connection there instead.
    Redirect(Ipv4Addr),
    /// Let the connection come from the address of the link it leaves by.
    Masquerade,
    /// Tell [`LOG_GROUP`] of it, in these words before the packet, no more than a few a second.
    Log(String),
}

/// A field of a packet, or of the connection it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The IPv4 source.
    Source,
    /// The IPv4 destination.
    Destination,
    /// The IPv6 destination.
    Destination6,
    /// The transport protocol.
    Protocol,
    /// The port of the sender.
    SourcePort,
    /// The port of the receiver.
    DestinationPort,
    /// The IPv4 destination of the connection's first packet.
    FirstDestination,
}

/// Destination, protocol and port.
pub(super) const TO_SERVICE: &[Field] = &[Field::Destination, Field::Protocol, Field::DestinationPort];
/// The same for IPv6.
pub(super) const TO_SERVICE6: &[Field] = &[Field::Destination6, Field::Protocol, Field::DestinationPort];
/// Source, protocol and port.
pub(super) const FROM_SERVICE: &[Field] = &[Field::Source, Field::Protocol, Field::SourcePort];

impl Part {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::In(name) => format!("iifname \"{name}\""),
            Self::Out(name) => format!("oifname \"{name}\""),
            Self::FromStation(mac) => format!("ether saddr {mac}"),
            Self::From(addresses) => format!("ip saddr {}", any_of(addresses)),
            Self::To(addresses) => format!("ip daddr {}", any_of(addresses)),
            Self::FromLinkLocal => "ip6 saddr fe80::/10".to_owned(),
            Self::Udp(source, destination) => format!("udp sport {source} udp dport {destination}"),
            Self::Port(protocol, port) => format!("{protocol} dport {port}"),
            Self::AnyTcp => "meta l4proto tcp".to_owned(),
            Self::Dns => "meta l4proto { tcp, udp } th dport 53".to_owned(),
            Self::Member(fields, set) => {
                let fields: Vec<_> = fields.iter().map(|field| field.text()).collect();
                format!("{} @{set}", fields.join(" . "))
            }
            Self::Reply => "ct direction reply ct state established,related".to_owned(),
            Self::Answer => "ct direction reply ct state established".to_owned(),
            Self::State(state) => format!("ct state {state}"),
            Self::Echo => "icmp type echo-request".to_owned(),
            Self::Unreachable => "icmp type destination-unreachable".to_owned(),
            Self::Icmpv6([one]) => format!("icmpv6 type {one}"),
            Self::Icmpv6(types) => format!("icmpv6 type {{ {} }}", types.join(", ")),
            Self::Untouched => "ip6 hoplimit 255".to_owned(),
            Self::Marked => format!("meta mark {SESSION_MARK:#x}"),
            Self::Within(rate, burst) => format!("limit rate {rate}/second burst {burst} packets"),
            Self::Beyond(rate, burst) => format!("limit rate over {rate}/second burst {burst} packets"),
            Self::MoreConnections(count) => format!("ct count over {count}"),
            Self::Accept => "accept".to_owned(),
            Self::Discard(why) => format!("goto {}", why.name()),
            Self::Reset => "reject with tcp reset".to_owned(),
            Self::Prohibited => "reject with icmpx admin-prohibited".to_owned(),
            Self::Mark => format!("meta mark set {SESSION_MARK:#x}"),
            Self::Redirect(address) => format!("dnat ip to {address}"),
            Self::Masquerade => "masquerade".to_owned(),
            Self::Log(words) => {
                let (rate, burst) = LOG_RATE;
                format!(
                    "limit rate {rate}/second burst {burst} packets log prefix \"{words}\" group {LOG_GROUP}"
                )
            }
        }
    }
}

impl Field {
    fn text(self) -> &'static str {
        match self {
            Self::Source => "ip saddr",
            Self::Destination => "ip daddr",
            Self::Destination6 => "ip6 daddr",
            Self::Protocol => "meta l4proto",
            Self::SourcePort => "th sport",
            Self::DestinationPort => "th dport",
            Self::FirstDestination => "ct original ip daddr",
        }
    }
}

fn any_of(addresses: &[Ipv4Addr]) -> String {
    match addresses {
        [one] => one.to_string(),
        many => {
            let many: Vec<_> = many.iter().map(Ipv4Addr::to_string).collect();
            format!("{{ {} }}", many.join(", "))
        }
    }
}
