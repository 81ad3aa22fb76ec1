//! The pieces rules are made of, each in nft's JSON and in nft's language.
//!
//! Built with the types of the `nftables` crate where these are right. Raw where they are not: its `fib` flags are a
//! hash set, so their order would change from run to run.

use std::net::Ipv4Addr;

use nftables::expr::{CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, SetItem};
use nftables::stmt::{CTCount, Limit, Match, Operator, Reject, RejectType, Statement};
use nftables::types::RejectCode;
use serde_json::{Value, json};

use crate::model::{Mac, Protocol};

/// One match or verdict of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The link a packet came in by.
    In(String),
    /// The link a packet leaves by.
    Out(String),
    /// The sender's Ethernet address.
    FromStation(Mac),
    /// The source is one of these.
    From(Vec<Ipv4Addr>),
    /// The destination is one of these.
    To(Vec<Ipv4Addr>),
    /// The way back to the source leads through the link the packet came in by.
    ReversePath,
    /// A source and a destination port of UDP.
    Udp(u16, u16),
    /// A destination port.
    Port(Protocol, u16),
    /// Any segment of TCP.
    AnyTcp,
    /// Port 53 over UDP or TCP at an address in this set.
    DnsIn(&'static str),
    /// Destination, protocol and port are in this set.
    ToSet(&'static str),
    /// An answer within a connection, or an ICMP error about one.
    Reply,
    /// The connection is in one of these states.
    State(&'static [&'static str]),
    /// An ICMP echo request.
    Echo,
    /// No more than this many a second, after a burst.
    Within(u32, u32),
    /// More than this many a second, after a burst.
    Beyond(u32, u32),
    /// More than this many connections at once.
    MoreConnections(u32),
    /// Let it pass.
    Accept,
    /// Throw it away in silence.
    Drop,
    /// Answer with a TCP reset.
    Reset,
    /// Answer that an administrator forbids it.
    Prohibited,
}

impl Part {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::In(name) => format!("iifname \"{name}\""),
            Self::Out(name) => format!("oifname \"{name}\""),
            Self::FromStation(mac) => format!("ether saddr {mac}"),
            Self::From(addresses) => format!("ip saddr {}", any_of(addresses)),
            Self::To(addresses) => format!("ip daddr {}", any_of(addresses)),
            Self::ReversePath => "fib saddr . iif oif exists".to_owned(),
            Self::Udp(source, destination) => format!("udp sport {source} udp dport {destination}"),
            Self::Port(protocol, port) => format!("{} dport {port}", protocol.name()),
            Self::AnyTcp => "meta l4proto tcp".to_owned(),
            Self::DnsIn(set) => format!("ip daddr @{set} meta l4proto {{ tcp, udp }} th dport 53"),
            Self::ToSet(set) => format!("ip daddr . meta l4proto . th dport @{set}"),
            Self::Reply => "ct direction reply ct state established,related".to_owned(),
            Self::State(states) => format!("ct state {}", states.join(",")),
            Self::Echo => "icmp type echo-request".to_owned(),
            Self::Within(rate, burst) => format!("limit rate {rate}/second burst {burst} packets"),
            Self::Beyond(rate, burst) => format!("limit rate over {rate}/second burst {burst} packets"),
            Self::MoreConnections(count) => format!("ct count over {count}"),
            Self::Accept => "accept".to_owned(),
            Self::Drop => "drop".to_owned(),
            Self::Reset => "reject with tcp reset".to_owned(),
            Self::Prohibited => "reject with icmpx admin-prohibited".to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        match self {
            Self::In(name) => vec![equal(meta(MetaKey::Iifname), word(name))],
            Self::Out(name) => vec![equal(meta(MetaKey::Oifname), word(name))],
            Self::FromStation(mac) => vec![equal(payload("ether", "saddr"), word(&mac.to_string()))],
            Self::From(addresses) => vec![equal(payload("ip", "saddr"), one_of(addresses))],
            Self::To(addresses) => vec![equal(payload("ip", "daddr"), one_of(addresses))],
            Self::ReversePath => vec![json!({"match": {
                "op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": true,
            }})],
            Self::Udp(source, destination) => vec![
                equal(payload("udp", "sport"), number(*source)),
                equal(payload("udp", "dport"), number(*destination)),
            ],
            Self::Port(protocol, port) => vec![equal(payload(protocol.name(), "dport"), number(*port))],
            Self::AnyTcp => vec![equal(meta(MetaKey::L4proto), word("tcp"))],
            Self::DnsIn(set) => vec![
                equal(payload("ip", "daddr"), word(&format!("@{set}"))),
                equal(meta(MetaKey::L4proto), set_of(vec![word("tcp"), word("udp")])),
                equal(payload("th", "dport"), number(53)),
            ],
            Self::ToSet(set) => {
                let key = vec![
                    payload("ip", "daddr"),
                    meta(MetaKey::L4proto),
                    payload("th", "dport"),
                ];
                let key = Expression::Named(NamedExpression::Concat(key));
                vec![equal(key, word(&format!("@{set}")))]
            }
            Self::Reply => vec![
                equal(tracked("direction"), word("reply")),
                state(&["established", "related"]),
            ],
            Self::State(states) => vec![state(states)],
            Self::Echo => vec![equal(payload("icmp", "type"), word("echo-request"))],
            Self::Within(rate, burst) => vec![limit(*rate, *burst, false)],
            Self::Beyond(rate, burst) => vec![limit(*rate, *burst, true)],
            Self::MoreConnections(count) => vec![json!(Statement::CTCount(CTCount {
                val: Expression::Number(*count),
                inv: Some(true),
            }))],
            Self::Accept => vec![json!(Statement::Accept(None))],
            Self::Drop => vec![json!(Statement::Drop(None))],
            Self::Reset => vec![reject(RejectType::TCPReset, None)],
            Self::Prohibited => vec![reject(RejectType::ICMPX, Some(RejectCode::AdminProhibited))],
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

fn one_of(addresses: &[Ipv4Addr]) -> Expression<'static> {
    match addresses {
        [one] => word(&one.to_string()),
        many => set_of(many.iter().map(|address| word(&address.to_string())).collect()),
    }
}

fn equal(left: Expression<'_>, right: Expression<'_>) -> Value {
    json!(Statement::Match(Match {
        left,
        right,
        op: Operator::EQ,
    }))
}

fn state(states: &[&str]) -> Value {
    json!(Statement::Match(Match {
        left: tracked("state"),
        right: Expression::List(states.iter().map(|state| word(state)).collect()),
        op: Operator::IN,
    }))
}

fn limit(rate: u32, burst: u32, inverse: bool) -> Value {
    json!(Statement::Limit(Limit {
        rate,
        rate_unit: None,
        per: Some("second".into()),
        burst: Some(burst),
        burst_unit: None,
        inv: inverse.then_some(true),
    }))
}

fn reject(kind: RejectType, code: Option<RejectCode>) -> Value {
    json!(Statement::Reject(Some(Reject::new(Some(kind), code))))
}

fn word(text: &str) -> Expression<'static> {
    Expression::String(text.to_owned().into())
}

fn number(value: u16) -> Expression<'static> {
    Expression::Number(value.into())
}

fn set_of(items: Vec<Expression<'static>>) -> Expression<'static> {
    Expression::Named(NamedExpression::Set(
        items.into_iter().map(SetItem::Element).collect(),
    ))
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    })))
}

fn tracked(key: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        ..CT::default()
    }))
}
