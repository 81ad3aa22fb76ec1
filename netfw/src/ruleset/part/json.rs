//! The pieces in nft's JSON (libnftables-json(5)).
//!
//! Built with the types of the `nftables` crate where these are right, raw where it has none or where they would come
//! out in an order that changes from run to run.

use std::net::Ipv4Addr;

use nftables::expr::{CT, CTDir, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, SetItem};
use nftables::stmt::{CTCount, Limit, Match, Operator, Reject, RejectType, Statement};
use nftables::types::RejectCode;
use serde_json::{Value, json};

use super::{Field, LOG_GROUP, LOG_RATE, Part, SESSION_MARK};

impl Part {
    /// The statements of this piece, in order.
    pub(crate) fn json(&self) -> Vec<Value> {
        match self {
            Self::In(name) => vec![equal(meta(MetaKey::Iifname), word(name))],
            Self::Out(name) => vec![equal(meta(MetaKey::Oifname), word(name))],
            Self::FromStation(mac) => vec![equal(payload("ether", "saddr"), word(&mac.to_string()))],
            Self::From(addresses) => vec![equal(payload("ip", "saddr"), one_of(addresses))],
            Self::To(addresses) => vec![equal(payload("ip", "daddr"), one_of(addresses))],
            Self::FromLinkLocal => vec![json!({"match": {
                "op": "==", "left": payload("ip6", "saddr"), "right": {"prefix": {"addr": "fe80::", "len": 10}},
            }})],
            Self::Udp(source, destination) => vec![
                equal(payload("udp", "sport"), number(*source)),
                equal(payload("udp", "dport"), number(*destination)),
            ],
            Self::Port(protocol, port) => vec![equal(payload(protocol.name(), "dport"), number(*port))],
            Self::AnyTcp => vec![equal(meta(MetaKey::L4proto), word("tcp"))],
            Self::Dns => vec![
                equal(meta(MetaKey::L4proto), set_of(vec![word("tcp"), word("udp")])),
                equal(payload("th", "dport"), number(53)),
            ],
            Self::Member(fields, set) => vec![equal(joined(fields), word(&format!("@{set}")))],
            Self::Reply => vec![
                equal(tracked("direction"), word("reply")),
                state(&["established", "related"]),
            ],
            Self::Answer => vec![
                equal(tracked("direction"), word("reply")),
                state(&["established"]),
            ],
            Self::State(name) => vec![state(&[name])],
            Self::Echo => vec![equal(payload("icmp", "type"), word("echo-request"))],
            Self::Unreachable => vec![equal(payload("icmp", "type"), word("destination-unreachable"))],
            Self::Icmpv6([one]) => vec![equal(payload("icmpv6", "type"), word(one))],
            Self::Icmpv6(types) => {
                let types = types.iter().map(|name| word(name)).collect();
                vec![equal(payload("icmpv6", "type"), set_of(types))]
            }
            Self::Untouched => vec![equal(payload("ip6", "hoplimit"), number(255))],
            Self::Marked => vec![equal(meta(MetaKey::Mark), Expression::Number(SESSION_MARK))],
            Self::Within(rate, burst) => vec![limit(*rate, *burst, false)],
            Self::Beyond(rate, burst) => vec![limit(*rate, *burst, true)],
            Self::MoreConnections(count) => vec![json!(Statement::CTCount(CTCount {
                val: Expression::Number(*count),
                inv: Some(true),
            }))],
            Self::Accept => vec![json!(Statement::Accept(None))],
            Self::Discard(why) => vec![json!({"goto": {"target": why.name()}})],
            Self::Reset => vec![reject(RejectType::TCPReset, None)],
            Self::Prohibited => vec![reject(RejectType::ICMPX, Some(RejectCode::AdminProhibited))],
            Self::Mark => vec![json!({"mangle": {"key": meta(MetaKey::Mark), "value": SESSION_MARK}})],
            Self::Redirect(address) => {
                vec![json!({"dnat": {"family": "ip", "addr": address.to_string()}})]
            }
            Self::Masquerade => vec![json!({"masquerade": null})],
            Self::Log(words) => {
                let (rate, burst) = LOG_RATE;
                let log = json!({"log": {"prefix": words, "group": LOG_GROUP}});
                vec![limit(rate, burst, false), log]
            }
        }
    }
}

impl Field {
    fn json(self) -> Expression<'static> {
        match self {
            Self::Source => payload("ip", "saddr"),
            Self::Destination => payload("ip", "daddr"),
            Self::Destination6 => payload("ip6", "daddr"),
            Self::Protocol => meta(MetaKey::L4proto),
            Self::SourcePort => payload("th", "sport"),
            Self::DestinationPort => payload("th", "dport"),
            Self::FirstDestination => Expression::Named(NamedExpression::CT(CT {
                key: "ip daddr".into(),
                dir: Some(CTDir::Original),
                ..CT::default()
            })),
        }
    }
}

fn joined(fields: &[Field]) -> Expression<'static> {
    match fields {
        [one] => one.json(),
        many => Expression::Named(NamedExpression::Concat(
            many.iter().map(|field| field.json()).collect(),
        )),
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
